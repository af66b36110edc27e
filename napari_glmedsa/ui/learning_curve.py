"""The live plot of a training run: loss above, validation Dice below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyqtgraph
from napari.utils.theme import get_theme
from numpy.typing import NDArray
from qtpy.QtCore import Qt

from napari_glmedsa.training.events import EpochEvent, StepEvent, TrainingEvent
from napari_glmedsa.ui.styles import CURVE_COLORS

HEIGHT = 250
"""Pixels in which both curves and their words are readable."""

_AXIS_WIDTH = 66  # the same for both plots, so that their epochs stand in line
_LINE = 2.0
_FAINT = 90  # of 255: single steps are a cloud behind the mean of their epoch


def _nothing() -> NDArray[np.float64]:
    return np.empty(0)


@dataclass(frozen=True, eq=False)
class Curves:
    """What is drawn; the unit of time is one epoch, and epoch 1 ends at 1.

    Attributes
    ----------
    step_times, step_losses : (S,) float64
        When each optimisation step was done, and its loss.
    loss_times, losses : (E,) float64
        The mean loss of each epoch, at the middle of the epoch.
    dice_times, dice : (V,) float64
        The validation Dice after each epoch.
    best : int or None
        Index into `dice` of the epoch whose weights are kept.
    """

    step_times: NDArray[np.float64] = field(default_factory=_nothing)
    step_losses: NDArray[np.float64] = field(default_factory=_nothing)
    loss_times: NDArray[np.float64] = field(default_factory=_nothing)
    losses: NDArray[np.float64] = field(default_factory=_nothing)
    dice_times: NDArray[np.float64] = field(default_factory=_nothing)
    dice: NDArray[np.float64] = field(default_factory=_nothing)
    best: int | None = None

    @classmethod
    def from_events(
        cls, events: Sequence[TrainingEvent], *, steps_per_epoch: int = 0
    ) -> Curves:
        """Gather the curves from what a run told.

        Parameters
        ----------
        events : sequence of TrainingEvent
            Of one run, oldest first.
        steps_per_epoch : int
            Of a whole epoch; 0 if it is not known yet.
        """
        by_epoch: dict[int, list[float]] = {}
        epochs = [event for event in events if isinstance(event, EpochEvent)]
        for event in events:
            if isinstance(event, StepEvent):
                by_epoch.setdefault(event.epoch, []).append(event.loss)
        longest = max([steps_per_epoch, *map(len, by_epoch.values())])
        times = [
            epoch - 1 + (index + 1) / longest
            for epoch, losses in by_epoch.items()
            for index in range(len(losses))
        ]
        best = [index for index, event in enumerate(epochs) if event.best]
        return cls(
            np.array(times, dtype=float),
            np.array([loss for losses in by_epoch.values() for loss in losses]),
            np.array([epoch - 0.5 for epoch in by_epoch], dtype=float),
            np.array([np.mean(losses) for losses in by_epoch.values()]),
            np.array([event.epoch for event in epochs], dtype=float),
            np.array([event.val_dice for event in epochs], dtype=float),
            best[-1] if best else None,
        )


class LearningCurve(pyqtgraph.GraphicsLayoutWidget):
    """Two plots over one time axis; a dashed line marks the epoch that is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(HEIGHT)
        self.curves = Curves()
        self._loss = self.addPlot(row=0, col=0)
        self._dice = self.addPlot(row=1, col=0)
        self._plots = (self._loss, self._dice)
        self._loss.setLabel("left", "training<br>loss")
        self._dice.setLabel("left", "validation<br>Dice")
        self._dice.setLabel("bottom", "epoch")
        self._dice.setXLink(self._loss)
        for plot in self._plots:
            plot.setMenuEnabled(False)
            plot.hideButtons()
            plot.setMouseEnabled(x=False, y=False)
            plot.getAxis("left").setWidth(_AXIS_WIDTH)
            plot.getAxis("left").enableAutoSIPrefix(False)
        self._loss.getAxis("bottom").setStyle(showValues=False)
        loss, dice = (pyqtgraph.mkColor(CURVE_COLORS[name]) for name in CURVE_COLORS)
        faint = pyqtgraph.mkColor(loss)
        faint.setAlpha(_FAINT)
        self._steps = self._loss.plot(pen=pyqtgraph.mkPen(faint, width=1))
        self._means = self._loss.plot(pen=pyqtgraph.mkPen(loss, width=_LINE))
        self._points = self._dice.plot(
            pen=pyqtgraph.mkPen(dice, width=_LINE),
            symbol="o",
            symbolSize=5,
            symbolBrush=dice,
            symbolPen=None,
        )
        self._star = self._dice.plot(
            pen=None, symbol="star", symbolSize=14, symbolBrush=dice
        )
        self._marks = [pyqtgraph.InfiniteLine(angle=90) for _ in self._plots]
        for plot, mark in zip(self._plots, self._marks, strict=True):
            plot.addItem(mark, ignoreBounds=True)
        self._word = pyqtgraph.TextItem()
        self._dice.addItem(self._word, ignoreBounds=True)
        self.show_curves(self.curves)

    def show_curves(self, curves: Curves, *, n_epochs: int = 1) -> None:
        """Draw the curves; the axis reaches as far as the run will."""
        self.curves = curves
        self._steps.setData(curves.step_times, curves.step_losses)
        self._means.setData(curves.loss_times, curves.losses)
        self._points.setData(curves.dice_times, curves.dice)
        done = max([1.0, *curves.step_times[-1:], *curves.dice_times[-1:]])
        self._loss.setXRange(0, max(done, n_epochs), padding=0.02)
        self._mark_best(curves, middle=max(done, n_epochs) / 2)

    @property
    def best_words(self) -> str:
        """What stands beside the mark of the best epoch, if there is one."""
        return str(self._word.toPlainText()) if self._word.isVisible() else ""

    def set_theme(self, name: str) -> None:
        """Take over the colours of a napari theme."""
        theme = get_theme(name)
        text, ground = theme.text.as_hex(), theme.background.as_hex()
        self.setBackground(ground)
        for plot in self._plots:
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(theme.icon.as_hex())
                axis.setTextPen(text)
            plot.showGrid(y=True, alpha=0.15)
        for mark in self._marks:
            mark.setPen(pyqtgraph.mkPen(text, width=1, style=Qt.PenStyle.DashLine))
        self._star.setSymbolPen(pyqtgraph.mkPen(text, width=1))
        self._word.setColor(text)

    def _mark_best(self, curves: Curves, *, middle: float) -> None:
        known = curves.best is not None
        for item in (*self._marks, self._star, self._word):
            item.setVisible(known)
        if curves.best is None:
            return
        when, value = curves.dice_times[curves.best], curves.dice[curves.best]
        self._star.setData([when], [value])
        for mark in self._marks:
            mark.setPos(when)
        self._word.setText(f"best {value:.3f}, epoch {when:.0f}")
        # On the side that has more room.
        self._word.setAnchor((1, 1) if when > middle else (0, 1))
        self._word.setPos(when, curves.dice.min())
