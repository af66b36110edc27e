"""The list of accepted lesions, and what can be done with those that are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari.layers import Labels
from psygnal import Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_glmedsa.provenance import Provenance

_ROWS = 3
_SWATCH = 10  # pixels


class LesionList(QWidget):
    """A row for every accepted lesion, by label."""

    chosen = Signal(object)
    """The user chose this label; None if none."""
    reopened = Signal(int)
    merged = Signal(object)
    """Labels, the first of which stays."""
    deleted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.list = QListWidget()
        self.list.setAccessibleName("Accepted lesions")
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setToolTip("Double click: open again. Shift or Ctrl: choose several")
        line = self.list.fontMetrics().lineSpacing() + 10
        self.list.setFixedHeight(_ROWS * line)
        self.reopen_button = _button("Re-open", "Go on clicking at it (Shift+R)")
        self.merge_button = _button("Merge", "Make one lesion of several (Shift+M)")
        self.delete_button = _button(
            "Delete", "Remove it; undo brings it back (Shift+Del)"
        )
        self._shown: tuple[tuple[int, str], ...] = ()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list)
        row = QHBoxLayout()
        for button in (self.reopen_button, self.merge_button, self.delete_button):
            row.addWidget(button)
        layout.addLayout(row)
        self.reopen_button.clicked.connect(self.reopen)
        self.merge_button.clicked.connect(lambda: self.merged.emit(self.labels))
        self.delete_button.clicked.connect(lambda: self.deleted.emit(self.labels))
        self.list.itemDoubleClicked.connect(self.reopen)
        self.list.itemSelectionChanged.connect(self._on_selected)
        self._on_selected()

    @property
    def labels(self) -> tuple[int, ...]:
        """The chosen lesions, in the order of the list."""
        rows = range(self.list.count())
        return tuple(
            self._shown[row][0]
            for row in rows
            if (item := self.list.item(row)) is not None and item.isSelected()
        )

    def show_lesions(
        self, objects: Mapping[int, Provenance], layer: Labels | None
    ) -> None:
        """Show these lesions, in the colours of a layer; what is chosen stays so."""
        shown = tuple((label, _words(label, one)) for label, one in objects.items())
        if shown == self._shown:
            return
        chosen = self.labels
        self._shown = shown
        self.list.blockSignals(True)
        self.list.clear()
        for label, words in shown:
            item = QListWidgetItem(_swatch(layer, label), words)
            self.list.addItem(item)
            item.setSelected(label in chosen)
        self.list.blockSignals(False)
        self._on_selected()

    def step(self, by: int) -> int | None:
        """Choose the next lesion, or the one before (-1); return its label."""
        if not self._shown:
            return None
        known, chosen = [label for label, _ in self._shown], self.labels
        if chosen:
            row = (known.index(chosen[-1]) + by) % len(known)
        else:
            row = 0 if by > 0 else len(known) - 1
        self.list.clearSelection()
        self.list.setCurrentRow(row)
        return known[row]

    def reopen(self, *_: object) -> None:
        """Ask for the chosen lesion to be opened again."""
        if len(self.labels) == 1:
            self.reopened.emit(self.labels[0])

    def _on_selected(self) -> None:
        labels = self.labels
        self.reopen_button.setEnabled(len(labels) == 1)
        self.merge_button.setEnabled(len(labels) > 1)
        self.delete_button.setEnabled(len(labels) > 0)
        self.chosen.emit(labels[-1] if labels else None)


def _words(label: int, one: Provenance) -> str:
    n_clicks = len(one.point_coords)
    made = f"{n_clicks} click{'s' * (n_clicks != 1)}" if n_clicks else "no clicks"
    return f"Lesion {label}: {made}{', by hand' * one.hand_edited}"


def _swatch(layer: Labels | None, label: int) -> QIcon:
    colour = None if layer is None else layer.get_color(label)
    pixmap = QPixmap(_SWATCH, _SWATCH)
    if colour is not None:
        pixmap.fill(QColor.fromRgbF(*(float(value) for value in colour)))
    return QIcon(pixmap)


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return button


def chosen_or_last(
    chosen: Sequence[int], objects: Mapping[int, object]
) -> tuple[int, ...]:
    """Return the chosen labels; without a choice the one that was accepted last."""
    return tuple(chosen) or tuple(objects)[-1:]
