"""Which folder the dock "Worklist" lists: those used last, or any other."""

from __future__ import annotations

from pathlib import Path

from psygnal import Signal
from qtpy.QtWidgets import QFileDialog

from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.ui.worklist_form import WorklistForm


class FolderChoice:
    """Tells which folder the user wants; it opens nothing itself.

    Parameters
    ----------
    form : WorklistForm
        With the box and the button.
    recent : RecentProjects
        What was used last.
    """

    picked = Signal(Path)
    """The user wants this folder."""

    def __init__(self, form: WorklistForm, recent: RecentProjects) -> None:
        self._form, self._recent = form, recent
        self._open: Path | None = None
        form.folder.changed.connect(self._on_picked)
        form.choose_button.changed.connect(self._on_choose_pressed)
        self.show(None)

    def show(self, folder: Path | None) -> None:
        """Show which folder is open, and offer others."""
        self._open = folder
        recent = self._recent.paths()
        if folder is not None and folder not in recent:
            recent = (folder, *recent)
        self._form.offer_folders(recent, folder)

    def _on_picked(self, folder: Path | None) -> None:
        if folder is not None and folder != self._open:
            self.picked.emit(folder)

    def _on_choose_pressed(self) -> None:
        near = self._open.parent if self._open else Path.home()
        folder = QFileDialog.getExistingDirectory(
            self._form, "Open a folder of photographs, or a project", str(near)
        )
        if folder:
            self.picked.emit(Path(folder))
