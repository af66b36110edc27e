"""How good a model is: clicks simulated on images, and the scores of its answers."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.transform import resize

from napari_glmedsa.inference import (
    ImageEmbedding,
    MaskPrediction,
    Predictor,
    Prompts,
)
from napari_glmedsa.metrics import (
    JACCARD_THRESHOLD,
    dice,
    hd95,
    iou,
    jensen_bound,
    overlap,
    require_one_shape,
    threshold_jaccard,
)
from napari_glmedsa.simulation import ClickPolicy, ClickSimulator

__all__ = [
    "PROTOCOL",
    "Case",
    "ImageScore",
    "dice",
    "evaluate_clicks",
    "evaluate_seeds",
    "iou",
    "jensen_bound",
    "protocol",
    "ratio",
    "replay_clicks",
    "summarise",
    "threshold_jaccard",
]

PROTOCOL: dict[str, Any] = {
    "first_click": "uniform over the lesion, at the model's input resolution",
    "next_clicks": "uniform over missed lesion (over the lesion if none is missed)",
    "labels": "all positive",
    "threshold": "logit > 0 at the image's own size",
    "average": "per image, then the mean over images",
    "pooled": "over the pixels of all images together (micro average)",
    "seeding": "per image, from the seed and the image's id",
    "threshold_jaccard": "IoU if at least 0.65, else 0 (ISIC 2018)",
    "empty": "sensitivity 1 without lesion, specificity 1 without skin",
}
_CLICKS: dict[ClickPolicy, dict[str, str]] = {
    "positive": {},
    "corrective": {
        "next_clicks": "uniform over all wrong pixels (as the first if none is wrong)",
        "labels": "as each pixel is",
    },
    "random": {"next_clicks": "uniform over the lesion"},
    "center": {
        "first_click": "the lesion's inmost pixel, at the model's input resolution",
        "next_clicks": "the inmost pixel of missed lesion (of all if none is missed)",
        "seeding": "nothing is drawn",
    },
}
_HD95 = "95 % Hausdorff distance in pixels; 0 of two empty masks, of one the diagonal"

_OVERLAPS = ("dice", "iou", "threshold_jaccard")
_OTHERS = ("accuracy", "sensitivity", "specificity", "hd95")


@dataclass(frozen=True, eq=False)
class Case:
    """One image whose lesion is known: (H, W, 3) uint8 and (H, W) bool."""

    id: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ImageScore:
    """Scores of one image after 1, 2, ... clicks.

    Parameters
    ----------
    id
        The case's.
    dice, iou, threshold_jaccard
        One value per click.
    pixels
        Per click, how many are in both masks and in either; for pooled figures.
    accuracy, sensitivity, specificity, hd95
        One value per click, or none if they were not computed.
    """

    id: str
    dice: tuple[float, ...]
    iou: tuple[float, ...]
    threshold_jaccard: tuple[float, ...]
    pixels: tuple[tuple[int, int], ...]
    accuracy: tuple[float, ...] = ()
    sensitivity: tuple[float, ...] = ()
    specificity: tuple[float, ...] = ()
    hd95: tuple[float, ...] = ()


def protocol(
    policy: ClickPolicy = "positive", *, outlines: bool = False
) -> dict[str, Any]:
    """Return what is done with a policy, in words, for a report."""
    return {**PROTOCOL, **_CLICKS[policy], **({"hd95": _HD95} if outlines else {})}


def evaluate_clicks(
    predictor: Predictor, cases: Iterable[Case], *, n_clicks: int = 3, seed: int = 0
) -> Iterator[ImageScore]:
    """Simulate clicks on each image and score the answer to each.

    The result for an image depends on the image, its id and the seed only, not
    on the other images or their order. See `PROTOCOL`.

    Parameters
    ----------
    predictor
        The model to judge.
    cases
        Images with known masks.
    n_clicks
        Clicks per image.
    seed
        Another seed clicks elsewhere.

    Yields
    ------
    ImageScore
        One per case, in order.
    """
    for case in cases:
        yield from evaluate_seeds(predictor, case, n_clicks=n_clicks, seeds=(seed,))


def evaluate_seeds(
    predictor: Predictor,
    case: Case,
    *,
    n_clicks: int = 3,
    seeds: Iterable[int] = (0,),
    policy: ClickPolicy = "positive",
    outlines: bool = False,
) -> Iterator[ImageScore]:
    """Score one image as `evaluate_clicks` does, once per seed; it is encoded once.

    With `outlines` also by `hd95`, which takes as long as some clicks.
    """
    require_one_shape(case.mask, case.image[..., 0])
    embedding = predictor.encode(case.image)
    for seed in seeds:
        answers = replay_clicks(
            predictor,
            case,
            n_clicks=n_clicks,
            seed=seed,
            embedding=embedding,
            policy=policy,
        )
        yield _score(case, [answer.mask for answer in answers], outlines=outlines)


def replay_clicks(
    predictor: Predictor,
    case: Case,
    *,
    n_clicks: int = 3,
    seed: int = 0,
    embedding: ImageEmbedding | None = None,
    policy: ClickPolicy = "positive",
) -> Iterator[MaskPrediction]:
    """Click in the model's input frame, as `protocol` says, and yield every answer.

    The image is encoded unless its embedding is given.
    """
    embedding = embedding or predictor.encode(case.image)
    size = embedding.input_size
    target = resize(case.mask.astype(np.float32), size, order=1, anti_aliasing=True)
    target = target >= 0.5
    if not target.any() and case.mask.any():  # thinner than an input pixel
        target = resize(case.mask, size, order=0, anti_aliasing=False)
    width_height = np.array(case.mask.shape[::-1])
    to_image = width_height / np.array(size[::-1])
    # SAM scales clicks without minding the half pixel, which carries the last pixels of
    # the input over the edge of an image less than half as large.
    last = np.nextafter(width_height - 0.5, 0)
    name = int.from_bytes(hashlib.sha256(case.id.encode()).digest()[:8], "big")
    rng = np.random.default_rng([seed, name])
    simulator = ClickSimulator(policy)
    prompts = simulator.first(target, rng)
    for click in range(n_clicks):
        coords = np.minimum(prompts.point_coords * to_image, last)
        scaled = Prompts(coords, prompts.point_labels)
        prediction = predictor.predict(embedding, scaled)
        yield prediction
        if click + 1 < n_clicks:
            answer = _at_input_size(predictor, prediction, size)
            prompts = simulator.refine(prompts, target, answer, rng)


def summarise(scores: Sequence[ImageScore]) -> dict[str, list[float]]:
    """Return every metric over all images, a list over clicks.

    Most are means of the images' own, of which Dice and IoU keep `jensen_bound`;
    ``pooled_dice`` and ``pooled_iou`` count the pixels of all images together, so that
    large lesions weigh more.

    Raises
    ------
    ArithmeticError
        If means break the bound: the scores were not computed from the same masks,
        which is a bug of whoever made them.
    """
    means: dict[str, list[float]] = {
        metric: np.mean([getattr(score, metric) for score in scores], axis=0).tolist()
        for metric in (*_OVERLAPS, *_OTHERS)
        if metric in _OVERLAPS or all(getattr(score, metric) for score in scores)
    }
    for mean_dice, mean_iou in zip(means["dice"], means["iou"], strict=True):
        least = jensen_bound(mean_dice)
        if not mean_iou >= least - 1e-9:  # so that nan is refused, too
            raise ArithmeticError(
                f"A mean IoU of {mean_iou:.4f} cannot go with a mean Dice of "
                f"{mean_dice:.4f} (it is at least {least:.4f}): they are not of the "
                "same masks, which is a mistake in the program."
            )
    both, either = np.sum([score.pixels for score in scores], axis=0, dtype=float).T
    means["pooled_dice"] = ratio(2 * both, either + both).tolist()
    means["pooled_iou"] = ratio(both, either).tolist()
    return means


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[Any]:
    """Divide; nothing found where nothing is to be found is right."""
    result = np.ones_like(part, dtype=float)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def _score(
    case: Case, masks: Sequence[NDArray[np.bool_]], *, outlines: bool
) -> ImageScore:
    target = case.mask
    # what `metrics` computes one by one, from pixels that are counted only once
    pixels = [overlap(mask, target) for mask in masks]
    both, either = np.array(pixels, dtype=float).reshape(-1, 2).T
    lesion = np.full_like(both, target.sum())
    skin = target.size - lesion
    jaccard = ratio(both, either)
    return ImageScore(
        case.id,
        tuple(ratio(2 * both, either + both).tolist()),
        tuple(jaccard.tolist()),
        tuple(np.where(jaccard >= JACCARD_THRESHOLD, jaccard, 0.0).tolist()),
        tuple(pixels),
        accuracy=tuple((1 - (either - both) / target.size).tolist()),
        sensitivity=tuple(ratio(both, lesion).tolist()),
        specificity=tuple(ratio(target.size - either, skin).tolist()),
        hd95=tuple(hd95(mask, target) for mask in masks) if outlines else (),
    )


@torch.inference_mode()
def _at_input_size(
    predictor: Predictor, prediction: MaskPrediction, size: tuple[int, int]
) -> NDArray[np.bool_]:
    logits = predictor.sam.postprocess_masks(prediction.low_res_logits, size, size)
    mask: NDArray[np.bool_] = (logits[0, 0] > 0).cpu().numpy()
    return mask
