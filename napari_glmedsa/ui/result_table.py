"""What the gate found: the old model and the new one in numbers, and a verdict."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_glmedsa.training.gate import GateResult
from napari_glmedsa.ui import forms

_METRIC_WORDS = {
    "dice": ("Dice", "Overlap of the mask with yours: 0 none, 1 the same"),
    "iou": ("IoU", "Overlap divided by union: stricter than Dice"),
    "threshold_jaccard": (
        "Thr. Jaccard",
        "IoU that counts as 0 below 0.65, as in the ISIC 2018 challenge",
    ),
    "pooled_dice": (
        "Pooled Dice",
        "Dice over the pixels of all images together: large lesions weigh more",
    ),
    "pooled_iou": (
        "Pooled IoU",
        "IoU over the pixels of all images together: large lesions weigh more",
    ),
}
_RIGHT = Qt.AlignmentFlag.AlignRight
_LEFT = Qt.AlignmentFlag.AlignLeft
_OVER_BOTH = Qt.AlignmentFlag.AlignHCenter


class ResultTable(QWidget):
    """Figures over the held-out images, before and after, and the gate's sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.verdict = forms.paragraph()
        self.difference = forms.paragraph(lines=2)
        self.rows: list[tuple[str, ...]] = []
        """The words of the table, row by row, without the headings."""
        self._result: GateResult | None = None
        self._grid = QGridLayout()
        self._grid.setVerticalSpacing(2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.verdict.native)
        layout.addLayout(self._grid)
        layout.addWidget(self.difference.native)
        self.setVisible(False)

    def show_result(self, result: GateResult | None, *, verdict: str = "") -> None:
        """Show a comparison, or nothing; without a `verdict` the gate speaks."""
        if result is not None:
            said = self.verdict.value = verdict or result.sentence
            low, high = result.interval
            told = f"{low:+.3f} to {high:+.3f}" in said
            self.difference.native.setVisible(not told)
        if result == self._result:
            return
        self._result = result
        self._clear()
        self.setVisible(result is not None)
        if result is not None:
            self._fill(result)
            self.difference.value = difference_sentence(result)

    def _clear(self) -> None:
        self.rows = []
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()

    def _fill(self, result: GateResult) -> None:
        for index, clicks in enumerate(result.clicks):
            column = 1 + 2 * index
            word = f"{clicks} click" if clicks == 1 else f"{clicks} clicks"
            self._grid.addWidget(QLabel(word), 0, column, 1, 2, _OVER_BOTH)
            for offset, when in enumerate(("before", "after")):
                self._grid.addWidget(QLabel(when), 1, column + offset, _RIGHT)
        # Results of earlier versions have no pooled figures.
        metrics = [metric for metric in _METRIC_WORDS if metric in result.before]
        for row, metric in enumerate(metrics, start=2):
            word, tooltip = _METRIC_WORDS[metric]
            pairs = zip(result.before[metric], result.after[metric], strict=True)
            words = (word, *(f"{value:.3f}" for pair in pairs for value in pair))
            self.rows.append(words)
            for column, text in enumerate(words):
                # What is new stands out.
                bold = column and not column % 2
                label = QLabel(f"<b>{text}</b>" if bold else text)
                label.setToolTip(tooltip)
                self._grid.addWidget(label, row, column, _RIGHT if column else _LEFT)


def difference_sentence(result: GateResult) -> str:
    """Return the change in Dice after one click with its interval, and n."""
    low, high = result.interval
    images = "image" if result.n == 1 else "images"
    return (
        f"Change in 1-click Dice: {result.difference:+.3f}, 95 % interval {low:+.3f} "
        f"to {high:+.3f}, on {result.n} held-out {images}."
    )
