"""Is the new adapter better? Old and new model on the same images and clicks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

Verdict = Literal["better", "not_worse", "worse", "too_few"]

METRICS = ("dice", "iou", "threshold_jaccard")
FEWEST_IMAGES = 5
"""With fewer held-out images nothing is activated without being asked."""

MARGIN = 0.01
"""How much mean Dice the new model may possibly lose and still be activated."""

_RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class ImageComparison:
    """One held-out image: metric name to values, one value per entry of `clicks`."""

    id: str
    before: Mapping[str, tuple[float, ...]]
    after: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class GateResult:
    """The comparison of two models on held-out images.

    Parameters
    ----------
    n
        Images.
    clicks
        After how many clicks was measured, such as ``(1, 3)``.
    before, after
        Means over images: metric (``dice``, ``iou``, ``threshold_jaccard``) to one
        value per entry of `clicks`.
    difference, interval
        Mean gain in Dice after one click, and its paired bootstrap 95 % interval.
    margin
        The loss that the lower end of the interval may not exceed.
    verdict, activate
        ``better``: the interval is above 0. ``not_worse``: no more than the margin
        is lost. ``worse``: more may be lost. ``too_few``: it means little.
    sentence
        The verdict for a person.
    images
        One row per image.
    before_model, after_model, split
        What was compared, and on which part of the project.
    protocol
        How it was measured.
    """

    n: int
    clicks: tuple[int, ...]
    before: Mapping[str, tuple[float, ...]]
    after: Mapping[str, tuple[float, ...]]
    difference: float
    interval: tuple[float, float]
    margin: float
    verdict: Verdict
    activate: bool
    sentence: str
    images: tuple[ImageComparison, ...] = ()
    before_model: str = ""
    after_model: str = ""
    split: str = "test"
    protocol: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild a result from `to_json`."""
        images = tuple(
            ImageComparison(row["id"], _tuples(row["before"]), _tuples(row["after"]))
            for row in document["images"]
        )
        low, high = document["interval"]
        return cls(
            **{
                **document,
                "clicks": tuple(document["clicks"]),
                "before": _tuples(document["before"]),
                "after": _tuples(document["after"]),
                "interval": (low, high),
                "images": images,
            }
        )


def _tuples(values: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(row) for name, row in values.items()}
