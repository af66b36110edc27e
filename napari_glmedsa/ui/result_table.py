"""What the gate found: the old model and the new one in numbers, and a verdict."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_glmedsa.training.gate import METRICS, GateResult
from napari_glmedsa.ui import forms

_METRIC_WORDS = {
    "dice": ("Dice", "Overlap of the mask with yours: 0 none, 1 the same"),
    "iou": ("IoU", "Overlap divided by union: stricter than Dice"),
    "threshold_jaccard": (
        "Threshold Jaccard",
        "IoU that counts as 0 below 0.65, as in the ISIC 2018 challenge",
    ),
}


class ResultTable(QWidget):
    """Means over the held-out images, before and after, and the gate's sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.verdict = forms.paragraph()
        self.difference = forms.paragraph()
        self._grid = QGridLayout()
        self._grid.setSpacing(2)
        self._grid.setColumnStretch(0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.verdict.native)
        layout.addLayout(self._grid)
        layout.addWidget(self.difference.native)
        self.setVisible(False)

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The words of the table, row by row, without the heading."""
        cells = [
            [self._grid.itemAtPosition(row, column) for column in range(4)]
            for row in range(1, self._grid.rowCount())
        ]
        return [tuple(_text(cell) for cell in row) for row in cells if all(row)]

    def show_result(self, result: GateResult | None) -> None:
        """Show a comparison, or nothing."""
        while self._grid.count():
            item = self._grid.takeAt(0)
            widget = item.widget() if item else None
            if widget is not None:
                widget.deleteLater()
        self.setVisible(result is not None)
        if result is None:
            return
        self._add_row(0, ("", "before", "after", "change"), tooltip="", bold=True)
        row = 1
        for metric in METRICS:
            word, tooltip = _METRIC_WORDS[metric]
            for index, clicks in enumerate(result.clicks):
                before = result.before[metric][index]
                after = result.after[metric][index]
                name = f"{word}, {clicks} {'click' if clicks == 1 else 'clicks'}"
                numbers = (f"{before:.3f}", f"{after:.3f}", f"{after - before:+.3f}")
                self._add_row(row, (name, *numbers), tooltip=tooltip)
                row += 1
        self.verdict.value = result.sentence
        self.difference.value = difference_sentence(result)

    def _add_row(
        self, row: int, words: tuple[str, ...], *, tooltip: str, bold: bool = False
    ) -> None:
        for column, word in enumerate(words):
            label = QLabel(f"<b>{word}</b>" if bold else word)
            label.setToolTip(tooltip)
            side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
            self._grid.addWidget(label, row, column, side)


def difference_sentence(result: GateResult) -> str:
    """Return the change in Dice after one click with its interval, and n."""
    low, high = result.interval
    images = "image" if result.n == 1 else "images"
    return (
        f"Change in 1-click Dice {result.difference:+.3f} (95 % interval {low:+.3f} to "
        f"{high:+.3f}) on {result.n} held-out {images}, {result.before_model} against "
        f"{result.after_model}."
    )


def _text(item: object) -> str:
    widget = item.widget() if hasattr(item, "widget") else None
    return widget.text() if isinstance(widget, QLabel) else ""
