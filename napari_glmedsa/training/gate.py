"""Is the new adapter better? Old and new model on the same images and clicks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.errors import TrainingError

if TYPE_CHECKING:  # torch comes with the models, after the window is open
    from napari_glmedsa.evaluation import Case, ImageScore
    from napari_glmedsa.inference import Predictor

Verdict = Literal["better", "not_worse", "worse", "too_few"]

METRICS = ("dice", "iou", "threshold_jaccard")
POOLED = ("pooled_dice", "pooled_iou")
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
        Metric to one value per entry of `clicks`: means over images (`METRICS`), and
        figures over the pixels of all images together (`POOLED`, which results of
        earlier versions lack).
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


def compare(
    before: "Predictor",
    after: "Predictor",
    cases: "Iterable[Case]",
    *,
    n_clicks: int = 3,
    seed: int = 0,
    margin: float = MARGIN,
    split: str = "test",
    before_model: str = "",
    after_model: str = "",
    on_case: "Callable[[int], None] | None" = None,
) -> GateResult:
    """Let two models answer the same clicks and judge the difference.

    Parameters
    ----------
    before, after
        The old and the new model.
    cases
        Held-out images. Ids ``<image>#<label>`` are objects of one image, whose
        scores are averaged: images are what is drawn again in the bootstrap.
    n_clicks
        Measured are the first click and this one.
    seed
        Of clicks and bootstrap.
    margin
        See `MARGIN`.
    split, before_model, after_model
        For the result.
    on_case
        Called with the number of cases done, in this thread; what it raises
        ends the comparison.

    Raises
    ------
    TrainingError
        If there is no case.
    ArithmeticError
        If the means cannot be of the same masks, see `evaluation.summarise`.
    """
    from napari_glmedsa.evaluation import PROTOCOL, evaluate_clicks, summarise

    clicks = (1,) if n_clicks == 1 else (1, n_clicks)
    scores: dict[str, list[tuple[ImageScore, ImageScore]]] = {}
    for number, case in enumerate(cases, start=1):
        old, new = (
            next(evaluate_clicks(model, [case], n_clicks=n_clicks, seed=seed))
            for model in (before, after)
        )
        scores.setdefault(case.id.partition("#")[0], []).append((old, new))
        if on_case is not None:
            on_case(number)
    if not scores:
        raise TrainingError(
            "There is no held-out image to compare the models on; annotate more."
        )
    old_scores, new_scores = (
        [
            _of_image(image, [pair[side] for pair in pairs])
            for image, pairs in scores.items()
        ]
        for side in (0, 1)
    )
    images = tuple(
        ImageComparison(
            old.id, _after(asdict(old), clicks), _after(asdict(new), clicks)
        )
        for old, new in zip(old_scores, new_scores, strict=True)
    )
    gains = np.array([row.after["dice"][0] - row.before["dice"][0] for row in images])
    interval = paired_bootstrap(gains, seed=seed)
    verdict = _verdict(len(images), interval, margin)
    result = GateResult(
        n=len(images),
        clicks=clicks,
        before=_after(summarise(old_scores), clicks, METRICS + POOLED),
        after=_after(summarise(new_scores), clicks, METRICS + POOLED),
        difference=float(gains.mean()),
        interval=interval,
        margin=margin,
        verdict=verdict,
        activate=verdict in ("better", "not_worse"),
        sentence="",
        images=images,
        before_model=before_model,
        after_model=after_model,
        split=split,
        protocol={
            **PROTOCOL,
            "seed": seed,
            "interval": f"95 %, bootstrap over images, {_RESAMPLES} resamples",
        },
    )
    return replace(result, sentence=_sentence(result))


def paired_bootstrap(
    differences: NDArray[np.float64], *, seed: int = 0, n_resamples: int = _RESAMPLES
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of paired differences, (n,)."""
    rng = np.random.default_rng(seed)
    means = [
        rng.choice(differences, len(differences)).mean() for _ in range(n_resamples)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _verdict(n: int, interval: tuple[float, float], margin: float) -> Verdict:
    if n < FEWEST_IMAGES:
        return "too_few"
    if interval[0] > 0:
        return "better"
    return "not_worse" if interval[0] >= -margin else "worse"


def _sentence(result: GateResult) -> str:
    old, new = result.before["dice"][0], result.after["dice"][0]
    low, high = result.interval
    images = "image" if result.n == 1 else "images"
    numbers = (
        f"on {result.n} held-out {images}, mean Dice after one click went from "
        f"{old:.3f} to {new:.3f} (difference {result.difference:+.3f}, 95 % interval "
        f"{low:+.3f} to {high:+.3f})"
    )
    if result.verdict == "too_few":
        text = (
            f"Too few images to judge: {numbers}, and at least {FEWEST_IMAGES} images "
            "are needed for this to mean something."
        )
    elif result.verdict == "better":
        text = f"The new model is better: {numbers}."
    elif result.verdict == "not_worse":
        text = (
            f"The new model is about as good as the old one: {numbers}; a loss of up "
            f"to {result.margin:g} counts as equal."
        )
    elif high < 0:
        text = f"The new model is worse: {numbers}."
    else:
        text = (
            f"The new model may be worse: {numbers}, and more than {result.margin:g} "
            "may be lost."
        )
    if result.split == "test":
        return text
    return (
        f"{text} These are the validation images that chose the best epoch, as there "
        "is no test part yet, so the new model looks a little better than it is."
    )


def _of_image(image: str, objects: "Sequence[ImageScore]") -> "ImageScore":
    """Return the scores of an image: means over its objects, and all their pixels."""
    from napari_glmedsa.evaluation import ImageScore, summarise

    means = summarise(objects)
    pixels = np.sum([score.pixels for score in objects], axis=0)
    return ImageScore(
        image,
        tuple(means["dice"]),
        tuple(means["iou"]),
        tuple(means["threshold_jaccard"]),
        tuple((int(both), int(either)) for both, either in pixels),
    )


def _after(
    values: Mapping[str, Sequence[float]],
    clicks: tuple[int, ...],
    names: tuple[str, ...] = METRICS,
) -> dict[str, tuple[float, ...]]:
    """Pick the values after each of `clicks` from one per click."""
    return {name: tuple(values[name][c - 1] for c in clicks) for name in names}


def _tuples(values: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(row) for name, row in values.items()}
