"""Where photographs and finished masks come from, and into which part they go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QWidget,
)

from napari_glmedsa.project import SPLITS
from napari_glmedsa.ui.project_table import PART_WORDS
from napari_glmedsa.ui.project_work import ImportRequest

if TYPE_CHECKING:
    from napari_glmedsa.export.incoming import IncomingFormat

_BUTTON_WIDTH = 32
_KINDS: dict[IncomingFormat, tuple[str, str]] = {
    "isic-png": ("black and white, one lesion each", "mole.png or mole_segmentation"),
    "label-map": ("label maps, every grey value a lesion", "PNG or TIFF, named alike"),
    "coco": ("COCO (JSON)", "One file with the names of the photographs"),
    "dicom-seg": ("DICOM SEG", "They name their photographs, or are named alike"),
}


class ImportForm(QWidget):
    """Rows for photographs, masks, a table and a part, and the button that imports."""

    wanted = Signal(object)
    """The user wants this `ImportRequest`."""

    def __init__(self) -> None:
        super().__init__()
        self.images = PathRow("Folder", _ask_for_folder)
        self.masks = PathRow("Folder; without it, photographs alone", self._ask_masks)
        self.kind = QComboBox()
        for name, (words, _) in _KINDS.items():
            self.kind.addItem(words, name)
        self.groups = PathRow("CSV with columns image,group; optional", _ask_for_table)
        self.part = QComboBox()
        self.part.addItem("as the project decides", None)
        for split in SPLITS:
            self.part.addItem(f"all: {PART_WORDS[split]}", split)
        self.button = QPushButton("Import")
        self.button.setAutoDefault(False)
        self.button.clicked.connect(lambda: self.wanted.emit(self.request()))
        for row in (self.images, self.masks):
            row.path_edit.textChanged.connect(self._show_state)
        self._busy = False
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for word, widget in (
            ("Photographs", self.images),
            ("Masks", self.masks),
            ("They are", self.kind),
            ("Groups", self.groups),
            ("Part", self.part),
            ("", self.button),
        ):
            layout.addRow(word, widget)
        self.kind.currentIndexChanged.connect(self._show_state)
        self.kind.setToolTip("What the masks are written in")
        self.part.setToolTip("Whether the images are to train on or to test with")
        self.button.setToolTip("Take them into the project")
        self.groups.setToolTip("Images of one lesion or patient stay in one part")
        self._show_state()

    def request(self) -> ImportRequest:
        """Return what the form says."""
        return ImportRequest(
            self.images.path or Path(),
            self.masks.path,
            self.groups.path if self.masks.path else None,
            self.part.currentData() if self.masks.path else None,
            self.kind.currentData(),
        )

    def set_busy(self, busy: bool) -> None:
        """Say whether something is going on, so that nothing can be asked for."""
        self._busy = busy
        self._show_state()

    def _show_state(self, *_: object) -> None:
        with_masks = self.masks.path is not None
        self.kind.setEnabled(with_masks)
        self.masks.setToolTip(_KINDS[self.kind.currentData()][1])
        self.groups.setEnabled(with_masks)
        self.part.setEnabled(with_masks)
        self.button.setText("Import pairs" if with_masks else "Add photographs")
        self.button.setEnabled(self.images.path is not None and not self._busy)

    def _ask_masks(self, parent: QWidget, near: str) -> str:
        if self.kind.currentData() != "coco":
            return _ask_for_folder(parent, near)
        path, _ = QFileDialog.getOpenFileName(
            parent, "Choose the COCO file", near, "COCO (*.json)"
        )
        return path


class PathRow(QWidget):
    """A line for a path, and a button to look for it."""

    def __init__(self, hint: str, ask: Callable[[QWidget, str], str]) -> None:
        super().__init__()
        self._ask = ask
        self.path_edit = QLineEdit()
        self.path_edit.setPlaceholderText(hint)
        self.path_edit.setToolTip(hint)
        self.button = QPushButton("…")
        self.button.setToolTip("Look for it")
        self.button.setAutoDefault(False)
        self.button.setFixedWidth(_BUTTON_WIDTH)
        self.button.clicked.connect(self._on_pressed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.path_edit, 1)
        layout.addWidget(self.button)

    @property
    def path(self) -> Path | None:
        """What stands in the line, None if nothing does."""
        text = self.path_edit.text().strip()
        return Path(text) if text else None

    def _on_pressed(self) -> None:
        if chosen := self._ask(self, self.path_edit.text()):
            self.path_edit.setText(chosen)


def _ask_for_folder(parent: QWidget, near: str) -> str:
    return QFileDialog.getExistingDirectory(parent, "Choose a folder", near)


def _ask_for_table(parent: QWidget, near: str) -> str:
    path, _ = QFileDialog.getOpenFileName(
        parent, "Choose the table of groups", near, "Tables (*.csv)"
    )
    return path
