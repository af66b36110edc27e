"""The picker of an annotation project: recent ones, any folder, a new one, none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFileDialog, QInputDialog, QLineEdit

from napari_glmedsa.ui import forms
from napari_glmedsa.ui.project_names import project_names

NONE, OPEN, CREATE, SIGN = "None", "Open folder…", "New project…", "Annotator: {}…"

TOOLTIP = """<p>The annotation project that learns from you. <i>Accept</i> also saves
the photograph, its accepted lesions and their clicks there.</p>
<p>When you choose a project, the lesions accepted on the current photograph go into it.
Those of other photographs follow when you return to them. When you open a photograph
that is in the project, its lesions come back.</p>"""


class ProjectPicker:
    """A box that tells which project the user wants; it opens nothing itself.

    Attributes
    ----------
    label : str
        What the box is about.
    native : QComboBox
        The box.
    """

    opened = Signal(Path)
    """The user wants this project."""
    created = Signal(Path)
    """The user wants a new project in this folder."""
    closed = Signal()
    """The user wants none."""
    signed = Signal(str)
    """The user is called so."""

    label = "Project"

    def __init__(self) -> None:
        self.native = QComboBox()
        self.native.setToolTip(TOOLTIP)
        self.native.setAccessibleName(self.label)
        forms.narrow_box(self.native)
        self._folder: Path | None = None
        self._recent: tuple[Path, ...] = ()
        self._annotator = ""
        self._fill()
        # Only what a person does: setting the index does not emit this.
        self.native.activated.connect(self._on_activated)

    def offer(self, recent: Sequence[Path], *, annotator: str) -> None:
        """Offer these projects, and the annotator's name to be changed."""
        offered = (tuple(recent), annotator)
        if offered != (self._recent, self._annotator):  # the user may be choosing now
            self._recent, self._annotator = offered
            self._fill()

    def show_project(self, folder: Path | None) -> None:
        """Show which project is open."""
        self._folder = folder
        self._fill()

    def _fill(self) -> None:
        box = self.native
        box.clear()
        box.addItem(NONE)
        folders = self._recent
        if self._folder is not None and self._folder not in folders:
            folders = (self._folder, *folders)
        for folder, name in zip(folders, project_names(folders), strict=True):
            box.addItem(name, folder)
            box.setItemData(box.count() - 1, str(folder), Qt.ItemDataRole.ToolTipRole)
        box.insertSeparator(box.count())
        box.addItem(OPEN, OPEN)
        box.addItem(CREATE, CREATE)
        box.insertSeparator(box.count())
        box.addItem(SIGN.format(self._annotator), SIGN)
        self._show_choice()

    def _show_choice(self) -> None:
        folders = [self.native.itemData(i) for i in range(self.native.count())]
        self.native.setCurrentIndex(folders.index(self._folder))

    def _on_activated(self, index: int) -> None:
        chosen = self.native.itemData(index)
        self._show_choice()  # what is shown is what is open, not what is wanted
        if chosen is None:
            self.closed.emit()
        elif chosen == OPEN:
            self._ask_for_folder()
        elif chosen == CREATE:
            self._ask_for_new_folder()
        elif chosen == SIGN:
            self._ask_for_name()
        else:
            self.opened.emit(chosen)

    def _ask_for_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(
            self.native, "Open an annotation project", str(self._near())
        )
        if path:
            self.opened.emit(Path(path))

    def _ask_for_new_folder(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self.native,
            "New annotation project: name its folder",
            str(self._near() / "lesions"),
            options=QFileDialog.Option.ShowDirsOnly
            | QFileDialog.Option.DontConfirmOverwrite,
        )
        if path:
            self.created.emit(Path(path))

    def _ask_for_name(self) -> None:
        name, accepted = QInputDialog.getText(
            self.native,
            "Annotator",
            "Your name, kept with every lesion that you accept:",
            QLineEdit.EchoMode.Normal,
            self._annotator,
        )
        if accepted:
            self.signed.emit(name)

    def _near(self) -> Path:
        """Return the folder in which the user keeps projects."""
        return self._recent[0].parent if self._recent else Path.home()
