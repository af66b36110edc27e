"""Where photographs and finished masks come from, and into which part they go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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

_BUTTON_WIDTH = 32


class ImportForm(QWidget):
    """Rows for two folders, a table and a part, and the button that imports them."""

    wanted = Signal(object)
    """The user wants this `ImportRequest`."""

    def __init__(self) -> None:
        super().__init__()
        self.images = PathRow("Folder", _ask_for_folder)
        self.masks = PathRow("Folder; without it, photographs alone", _ask_for_folder)
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
            ("Groups", self.groups),
            ("Part", self.part),
            ("", self.button),
        ):
            layout.addRow(word, widget)
        self.masks.setToolTip("mole.jpg goes with mole.png or mole_segmentation.png")
        self.groups.setToolTip("Images of one lesion or patient stay in one part")
        self._show_state()

    def request(self) -> ImportRequest:
        """Return what the form says."""
        return ImportRequest(
            self.images.path or Path(),
            self.masks.path,
            self.groups.path if self.masks.path else None,
            self.part.currentData() if self.masks.path else None,
        )

    def set_busy(self, busy: bool) -> None:
        """Say whether something is going on, so that nothing can be asked for."""
        self._busy = busy
        self._show_state()

    def _show_state(self) -> None:
        with_masks = self.masks.path is not None
        self.groups.setEnabled(with_masks)
        self.part.setEnabled(with_masks)
        self.button.setText("Import pairs" if with_masks else "Add photographs")
        self.button.setEnabled(self.images.path is not None and not self._busy)


class PathRow(QWidget):
    """A line for a path, and a button to look for it."""

    def __init__(self, hint: str, ask: Callable[[QWidget, str], str]) -> None:
        super().__init__()
        self._ask = ask
        self.path_edit = QLineEdit()
        self.path_edit.setPlaceholderText(hint)
        self.button = QPushButton("…")
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
