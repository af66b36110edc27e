"""The list of photographs: its model, how a row looks, and the keys in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import (  # type: ignore[attr-defined]
    QAbstractListModel,
    QModelIndex,
    QObject,
    QRect,
    QSize,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor, QKeyEvent, QPainter, QPalette
from qtpy.QtWidgets import QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from napari_glmedsa.ui.styles import STATUS_COLORS
from napari_glmedsa.ui.worklist_thumbnails import SIDE, Thumbnails
from napari_glmedsa.worklist import Entry

ENTRY = int(Qt.ItemDataRole.UserRole)
"""Role of the entry itself."""

_GAP = 6
_DOT = 9
_HEIGHT = SIDE + 8
_NO_PARENT = QModelIndex()


class WorklistModel(QAbstractListModel):
    """Photographs in the order in which they are shown."""

    def __init__(self, thumbnails: Thumbnails, parent: QObject) -> None:
        super().__init__(parent)
        self.entries: list[Entry] = []
        self._thumbnails = thumbnails

    def show(self, entries: Sequence[Entry]) -> None:
        """Show these photographs, without a jump if only their states are new."""
        before, entries = [one.key for one in self.entries], list(entries)
        if before == [one.key for one in entries]:
            self.entries = entries
            if entries:
                last = self.index(len(entries) - 1)
                self.dataChanged.emit(self.index(0), last)
            return
        self.beginResetModel()
        self.entries = entries
        self.endResetModel()

    def place(self, key: str) -> QModelIndex:
        """Return where the photograph of a key is; an invalid index if nowhere."""
        for row, entry in enumerate(self.entries):
            if entry.key == key:
                return self.index(row)
        return QModelIndex()

    def rowCount(self, parent: QModelIndex = _NO_PARENT) -> int:
        """Return how many photographs there are."""
        return 0 if parent.isValid() else len(self.entries)

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Return what a row says."""
        if not index.isValid() or index.row() >= len(self.entries):
            return None
        entry = self.entries[index.row()]
        if role == ENTRY:
            return entry
        if role == Qt.ItemDataRole.DisplayRole:
            return entry.name
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{entry.name}, {state_of(entry)}"
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tooltip(entry)
        return None

    def _tooltip(self, entry: Entry) -> str:
        lines = [str(entry.path), state_of(entry)]
        if self._thumbnails.is_broken(entry):
            lines.append("This file cannot be read; open it to see why.")
        if entry.holder:
            lines.append(f"In use: {entry.holder}")
        if entry.by or entry.note:
            lines.append(": ".join(filter(None, (entry.by, entry.note))))
        if (known := entry.uncertainty) is not None:
            lines.append(
                f"stability {known.stability:.2f}, agreement when flipped"
                f" {known.agreement:.2f}, predicted IoU {known.predicted_iou:.2f}"
            )
        return "\n".join(lines)


class WorklistDelegate(QStyledItemDelegate):
    """Draws a thumbnail, the name, and the state as a coloured dot with a word."""

    def __init__(self, thumbnails: Thumbnails, parent: QObject) -> None:
        super().__init__(parent)
        self._thumbnails = thumbnails

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Return the size of every row."""
        return QSize(120, _HEIGHT)

    def paint(
        self,
        painter: QPainter | None,
        option: QStyleOptionViewItem,
        index: QModelIndex,
    ) -> None:
        """Draw a row."""
        entry = index.data(ENTRY)
        if painter is None or entry is None:
            return
        painter.save()
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        palette = option.palette
        if chosen:
            painter.fillRect(option.rect, palette.color(QPalette.ColorRole.Highlight))
        ink = palette.color(
            QPalette.ColorRole.HighlightedText if chosen else QPalette.ColorRole.Text
        )
        frame = QRect(option.rect.left() + _GAP, option.rect.top() + 4, SIDE, SIDE)
        self._draw_thumbnail(painter, frame, entry, ink)
        left = frame.right() + _GAP + 2
        text = QRect(left, frame.top(), option.rect.right() - left - _GAP, SIDE // 2)
        painter.setPen(ink)
        metrics = painter.fontMetrics()
        middle, flag = Qt.TextElideMode.ElideMiddle, Qt.AlignmentFlag.AlignVCenter
        name = metrics.elidedText(entry.name, middle, text.width())
        painter.drawText(text, flag, name)
        text.translate(0, SIDE // 2)
        dot = QRect(left, text.center().y() - _DOT // 2, _DOT, _DOT)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(QColor(STATUS_COLORS[entry.status]))
        painter.drawEllipse(dot)
        text.setLeft(dot.right() + _GAP)
        painter.drawText(text, flag, state_of(entry))
        painter.restore()

    def _draw_thumbnail(
        self, painter: QPainter, frame: QRect, entry: Entry, ink: QColor
    ) -> None:
        pixmap = self._thumbnails.get(entry)
        if pixmap is None:
            painter.setPen(ink)
            painter.setOpacity(0.4)
            painter.drawRect(frame)
            word = "?" if self._thumbnails.is_broken(entry) else "…"
            painter.drawText(frame, Qt.AlignmentFlag.AlignCenter, word)
            painter.setOpacity(1.0)
            return
        size = pixmap.deviceIndependentSize()
        left = frame.left() + (SIDE - int(size.width())) // 2
        top = frame.top() + (SIDE - int(size.height())) // 2
        painter.drawPixmap(left, top, pixmap)


class WorklistView(QListView):
    """A list that passes on the keys which mean something in the whole window."""

    pressed_key = Signal(str)
    """``"PageDown"`` and the like."""

    def __init__(self, thumbnails: Thumbnails, keys: Sequence[str]) -> None:
        super().__init__()
        self._keys = frozenset(keys)
        self.photographs = WorklistModel(thumbnails, self)
        self.setModel(self.photographs)
        self.setItemDelegate(WorklistDelegate(thumbnails, self))
        self.setUniformItemSizes(True)  # or each of ten thousand rows would be asked
        self.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.setAccessibleName("Photographs")
        self.setToolTip("Click a photograph to open it")
        thumbnails.ready.connect(self._on_thumbnail)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Tell about our keys; the others are the list's own."""
        name = _key_name(event)
        if name in self._keys:
            self.pressed_key.emit(name)
        else:
            super().keyPressEvent(event)

    def _on_thumbnail(self) -> None:
        port = self.viewport()
        if port is not None:
            port.update()


def state_of(entry: Entry) -> str:
    """Return in words how far a photograph is."""
    words = [str(entry.status)]
    if entry.holder:
        words.append("in use")
    if entry.uncertainty is not None:
        words.append(f"uncertainty {entry.uncertainty.score:.2f}")
    return " · ".join(words)


def _key_name(event: QKeyEvent | None) -> str:
    if event is None:
        return ""
    names = {
        Qt.Key.Key_PageDown: "PageDown",
        Qt.Key.Key_PageUp: "PageUp",
        Qt.Key.Key_F: "F",
        Qt.Key.Key_S: "S",
    }
    name = names.get(Qt.Key(event.key()), "")
    shifted = event.modifiers() == Qt.KeyboardModifier.ShiftModifier
    return f"Shift+{name}" if shifted and name else name
