"""The table of models: a row each with name, state and size."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
)

from napari_glmedsa.ui.model_store_rows import Activity, Row, size_words, state_words

HEADINGS = ("Model", "State", "Size")


class ModelStoreTable(QTableWidget):
    """Shows base models, of which one is selected."""

    def __init__(self) -> None:
        super().__init__(0, len(HEADINGS))
        self.rows: tuple[Row, ...] = ()
        self.setHorizontalHeaderLabels(list(HEADINGS))
        self.setToolTip("Choose the base model that the buttons are about")
        if (side := self.verticalHeader()) is not None:
            side.setVisible(False)
        if (top := self.horizontalHeader()) is not None:
            top.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)

    @property
    def selected(self) -> Row | None:
        """The model that is selected."""
        index = self.currentRow()
        return self.rows[index] if 0 <= index < len(self.rows) else None

    def show_rows(
        self, rows: tuple[Row, ...], activities: Mapping[str, Activity]
    ) -> None:
        """Show these models; the one of the name that is selected stays selected."""
        selected = self.selected
        self.rows = rows
        self.setRowCount(len(rows))
        for index in range(len(rows)):
            for column in range(len(HEADINGS)):
                self.setItem(index, column, QTableWidgetItem())
        self.show_activities(activities)
        self.select(selected.name if selected else "")

    def show_activities(self, activities: Mapping[str, Activity]) -> None:
        """Say what is being done with the models."""
        for index, row in enumerate(self.rows):
            state = state_words(row, activities.get(row.name))
            for column, words in enumerate((row.name, state, size_words(row.bytes))):
                if (item := self.item(index, column)) is not None:
                    item.setText(words)

    def select(self, name: str) -> None:
        """Select the model of this name, else the first one."""
        names = [row.name for row in self.rows]
        if names:
            self.setCurrentCell(names.index(name) if name in names else 0, 0)
