"""Rows with their seeds put together: means, intervals, and tests between methods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from napari_glmedsa.benchmark.result import Row, RowResult
from napari_glmedsa.errors import TrainingError
from napari_glmedsa.evaluation import jensen_bound, ratio
from napari_glmedsa.training.gate import paired_bootstrap

METRICS = ("dice", "iou", "threshold_jaccard")

Scores = Mapping[str, NDArray[np.float64]]
"""Metric to one value per image, in the order of the ids: means over the seeds."""


@dataclass(frozen=True, eq=False)
class Line:
    """One line of a table: a method after so many clicks, over all seeds.

    Parameters
    ----------
    method, recipe, clicks, protocol
        What was measured on what.
    seeds
        Which were run.
    mean, sd
        Metric to the mean over seeds of the mean over images, and the standard
        deviation over seeds (0 for one seed).
    interval
        Metric to the 95 % bootstrap interval over images of `mean`.
    pooled_dice, pooled_iou
        Over the pixels of all images together, means over the seeds.
    frozen, trainable
        Parameters.
    training_seconds, milliseconds, peak_memory
        Medians over the seeds (memory: the most).
    scores
        For tests between lines.
    """

    method: str
    recipe: str
    clicks: int
    protocol: str
    seeds: tuple[int, ...]
    n_images: int
    mean: Mapping[str, float]
    sd: Mapping[str, float]
    interval: Mapping[str, tuple[float, float]]
    pooled_dice: float
    pooled_iou: float
    frozen: int
    trainable: int
    training_seconds: float
    milliseconds: float
    peak_memory: int
    scores: Scores

    @property
    def bound(self) -> float:
        """The least mean IoU that goes with the mean Dice."""
        return jensen_bound(self.mean["dice"])


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two lines on the same images with the same clicks, if both are clicked.

    Parameters
    ----------
    better, worse
        Names of the lines; the difference is the first minus the second.
    clicks
        Of what is clicked; 0 if neither is.
    difference, interval
        In mean Dice, with its paired bootstrap 95 % interval over images.
    p_value
        Two-sided Wilcoxon signed-rank test over images; 1 if no image differs.
    """

    better: str
    worse: str
    clicks: int
    protocol: str
    difference: float
    interval: tuple[float, float]
    p_value: float


def summarise_rows(results: Sequence[RowResult]) -> list[Line]:
    """Put the seeds of every method together, in the order of the first results."""
    groups: dict[tuple[str, str, int], list[RowResult]] = {}
    for result in results:
        row = result.row
        groups.setdefault((row.method, row.recipe, row.clicks), []).append(result)
    return [
        _line(group, protocol)
        for group in groups.values()
        for protocol in group[0].scores
    ]


def compare_lines(first: Line, second: Line) -> Comparison:
    """Compare two lines of the same images.

    Raises
    ------
    ValueError
        If they are of other images, or both are clicked and not equally often.
    """
    clicks = {first.clicks, second.clicks} - {0}
    if first.protocol != second.protocol or len(clicks) > 1:
        raise ValueError("Lines of other images or clicks cannot be compared.")
    gains = first.scores["dice"] - second.scores["dice"]
    return Comparison(
        first.method,
        second.method,
        max(clicks, default=0),
        first.protocol,
        float(gains.mean()),
        paired_bootstrap(gains),
        float(wilcoxon(gains).pvalue) if gains.any() else 1.0,
    )


def _line(results: Sequence[RowResult], protocol: str) -> Line:
    ids = sorted(results[0].scores[protocol])
    values = {
        metric: np.array(
            [[r.scores[protocol][name][metric] for name in ids] for r in results]
        )
        for metric in (*METRICS, "both", "either")
    }
    scores = {metric: values[metric].mean(0) for metric in METRICS}
    both, either = values["both"].sum(1), values["either"].sum(1)
    row = results[0].row
    _require_jensen_bound(scores, row)
    return Line(
        method=row.method,
        recipe=row.recipe,
        clicks=row.clicks,
        protocol=protocol,
        seeds=tuple(result.row.seed for result in results),
        n_images=len(ids),
        mean={metric: float(scores[metric].mean()) for metric in METRICS},
        sd={metric: _deviation(values[metric].mean(1)) for metric in METRICS},
        interval={metric: paired_bootstrap(scores[metric]) for metric in METRICS},
        pooled_dice=float(ratio(2 * both, both + either).mean()),
        pooled_iou=float(ratio(both, either).mean()),
        frozen=results[0].frozen,
        trainable=results[0].trainable,
        training_seconds=float(np.median([r.training_seconds for r in results])),
        milliseconds=float(np.median([r.milliseconds for r in results])),
        peak_memory=max(r.peak_memory for r in results),
        scores=scores,
    )


def _require_jensen_bound(scores: Scores, row: Row) -> None:
    """Raise TrainingError if Dice and IoU cannot be of the same masks."""
    dice, iou = float(scores["dice"].mean()), float(scores["iou"].mean())
    if not iou >= jensen_bound(dice) - 1e-9:  # so that nan is refused, too
        raise TrainingError(
            f"The row {row.name} has a mean IoU of {iou:.4f}, which cannot go with its "
            f"mean Dice of {dice:.4f}: its result.json was changed; remove its folder "
            "to run it again."
        )


def _deviation(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0
