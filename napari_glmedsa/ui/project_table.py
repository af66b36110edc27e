"""The table of a project's images: part, group, objects and id of each."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
)

from napari_glmedsa.project.listing import ImageRow

HEADINGS = ("Image", "Part", "Group", "Mask", "Id")
PART_WORDS = {"train": "train", "val": "validate", "test": "test", None: ""}
_ID_SHOWN = 8  # characters; the rest is in the tooltip


class ProjectTable(QTableWidget):
    """Shows the images of a project, in the order of their names."""

    def __init__(self) -> None:
        super().__init__(0, len(HEADINGS))
        self.setHorizontalHeaderLabels(list(HEADINGS))
        self.setToolTip("The project's images, and which part each belongs to")
        if (side := self.verticalHeader()) is not None:
            side.setVisible(False)
            side.setDefaultSectionSize(side.minimumSectionSize())
        if (top := self.horizontalHeader()) is not None:
            top.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            top.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setShowGrid(False)

    def show_rows(self, rows: Sequence[ImageRow]) -> None:
        """Show these images."""
        self.setRowCount(len(rows))
        for index, row in enumerate(rows):
            for column, words in enumerate(row_words(row)):
                item = QTableWidgetItem(words)
                item.setToolTip(row.id if column == len(HEADINGS) - 1 else words)
                self.setItem(index, column, item)


def row_words(row: ImageRow) -> tuple[str, ...]:
    """Return what the table says about an image."""
    mask = "none" if row.status == "no mask" else _objects(row.objects)
    part = PART_WORDS[row.split]
    return row.source, part, row.group or "", mask, row.id[:_ID_SHOWN]


def _objects(number: int) -> str:
    return "1 object" if number == 1 else f"{number} objects"
