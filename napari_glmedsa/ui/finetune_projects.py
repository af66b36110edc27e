"""Which project the "Fine-tune" dock shows, and the way into it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from psygnal import Signal
from qtpy.QtWidgets import QFileDialog

from napari_glmedsa.ui.finetune_form import FineTuneForm
from napari_glmedsa.ui.project_dialog import ProjectDialog


class ProjectChoice:
    """Offers the projects used last and any folder, and opens a project's dialog.

    It touches no file: what was used last, it is told.

    Parameters
    ----------
    form : FineTuneForm
        With the box and the buttons.
    """

    changed = Signal()
    """Another project is picked."""
    filled = Signal()
    """Images may have come into the picked project."""

    def __init__(self, form: FineTuneForm) -> None:
        self._form = form
        self._offered: tuple[Path, ...] = ()
        self._dialog: ProjectDialog | None = None
        form.project.changed.connect(self._on_picked)
        form.choose_button.changed.connect(self._on_choose_pressed)
        form.images_button.changed.connect(self._on_images_pressed)

    @property
    def picked(self) -> Path | None:
        """Folder of the project, None if there is none to pick."""
        picked: Path | None = self._form.project.value
        return picked

    @property
    def dialog(self) -> ProjectDialog | None:
        """The dialog, once it was opened."""
        return self._dialog

    def offer(self, recent: Sequence[Path]) -> None:
        """Offer the projects used last; the picked one stays so."""
        picked = self.picked
        if picked is not None and picked not in recent:
            recent = (picked, *recent)
        if tuple(recent) != self._offered:  # the user may be choosing now
            self._offered = tuple(recent)
            self._form.offer_projects(recent)

    def open(self, folder: Path) -> None:
        """Pick another project."""
        folder = folder.absolute()
        self.offer((folder, *(known for known in self._offered if known != folder)))
        self._form.project.value = folder

    def close_down(self) -> None:
        """End what the dialog is doing."""
        if self._dialog is not None:
            self._dialog.close_down()

    def _on_picked(self) -> None:
        self._form.images_button.enabled = self.picked is not None
        self.changed.emit()

    def _on_choose_pressed(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self._form, "Open an annotation project", str(self.picked or Path.home())
        )
        if folder:
            self.open(Path(folder))

    def _on_images_pressed(self) -> None:
        if self.picked is not None:
            if self._dialog is None:
                self._dialog = ProjectDialog(self._form)
                self._dialog.changed.connect(self.filled.emit)
            self._dialog.present(self.picked)
