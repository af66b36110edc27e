"""How good masks are: Dice, IoU, threshold Jaccard, and clicks simulated on images."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.transform import resize
from torch.nn.functional import interpolate

from napari_glmedsa.inference import (
    ImageEmbedding,
    MaskPrediction,
    Predictor,
    Prompts,
)
from napari_glmedsa.simulation import ClickSimulator

PROTOCOL: dict[str, Any] = {
    "first_click": "uniform over the lesion, at the model's input resolution",
    "next_clicks": "uniform over missed lesion (over the lesion if none is missed)",
    "labels": "all positive",
    "threshold": "logit > 0 at the image's own size",
    "average": "per image, then the mean over images",
    "pooled": "over the pixels of all images together (micro average)",
    "seeding": "per image, from the seed and the image's id",
    "threshold_jaccard": "IoU if at least 0.65, else 0 (ISIC 2018)",
}

_MEDSA_THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)


def dice(mask: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """Return the Dice coefficient ``2 |A and B| / (|A| + |B|)``, 1 if both are empty.

    Parameters
    ----------
    mask, target
        (H, W) bool, of one shape.
    """
    _same_shape(mask, target)
    total = int(mask.sum()) + int(target.sum())
    return 2 * int((mask & target).sum()) / total if total else 1.0


def iou(mask: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """Return the Jaccard index ``|A and B| / |A or B|``, 1 if both are empty.

    Parameters
    ----------
    mask, target
        (H, W) bool, of one shape.
    """
    _same_shape(mask, target)
    union = int((mask | target).sum())
    return int((mask & target).sum()) / union if union else 1.0


def threshold_jaccard(
    mask: NDArray[np.bool_], target: NDArray[np.bool_], threshold: float = 0.65
) -> float:
    """Return the IoU if it reaches `threshold`, else 0: the metric of ISIC 2018."""
    jaccard = iou(mask, target)
    return jaccard if jaccard >= threshold else 0.0


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
    """

    id: str
    dice: tuple[float, ...]
    iou: tuple[float, ...]
    threshold_jaccard: tuple[float, ...]
    pixels: tuple[tuple[int, int], ...]


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
    predictor: Predictor, case: Case, *, n_clicks: int = 3, seeds: Iterable[int] = (0,)
) -> Iterator[ImageScore]:
    """Score one image as `evaluate_clicks` does, once per seed; it is encoded once."""
    _same_shape(case.mask, case.image[..., 0])
    embedding = predictor.encode(case.image)
    for seed in seeds:
        answers = replay_clicks(
            predictor, case, n_clicks=n_clicks, seed=seed, embedding=embedding
        )
        masks = [answer.mask for answer in answers]
        yield ImageScore(
            case.id,
            tuple(dice(mask, case.mask) for mask in masks),
            tuple(iou(mask, case.mask) for mask in masks),
            tuple(threshold_jaccard(mask, case.mask) for mask in masks),
            tuple(_overlap(mask, case.mask) for mask in masks),
        )


def replay_clicks(
    predictor: Predictor,
    case: Case,
    *,
    n_clicks: int = 3,
    seed: int = 0,
    embedding: ImageEmbedding | None = None,
) -> Iterator[MaskPrediction]:
    """Click in the model's input frame, as `PROTOCOL` says, and yield every answer.

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
    simulator = ClickSimulator()
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

    ``dice``, ``iou`` and ``threshold_jaccard`` are means of the images' own, and
    keep `jensen_bound`; ``pooled_dice`` and ``pooled_iou`` count the pixels of all
    images together, so that large lesions weigh more.

    Raises
    ------
    ArithmeticError
        If means break the bound: the scores were not computed from the same masks,
        which is a bug of whoever made them.
    """
    means: dict[str, list[float]] = {
        metric: np.mean([getattr(score, metric) for score in scores], axis=0).tolist()
        for metric in ("dice", "iou", "threshold_jaccard")
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
    means["pooled_dice"] = _ratio(2 * both, either + both).tolist()
    means["pooled_iou"] = _ratio(both, either).tolist()
    return means


def medsa_scores(
    low_res_logits: torch.Tensor, target: NDArray[Any]
) -> tuple[float, float]:
    """Return Dice and IoU as Med-SA's release computes them.

    Both masks are brought to 256 x 256 by repeating pixels, both are compared with
    each of the thresholds 0.1, 0.3, 0.5, 0.7 and 0.9 (the logits themselves, not
    their sigmoid), and the smoothed scores are averaged over the thresholds.

    Parameters
    ----------
    low_res_logits
        (1, 1, h, w) float, of the part that shows the image.
    target
        (H, W) bool, or float from 0 to 1.
    """
    logits = _at_medsa_size(low_res_logits)
    truth = _at_medsa_size(torch.as_tensor(target, dtype=torch.float32)[None, None])
    dices: list[float] = []
    ious: list[float] = []
    for threshold in _MEDSA_THRESHOLDS:
        mask, lesion = logits > threshold, truth > threshold
        both, either = _overlap(mask, lesion)
        dices.append((2 * both + 1e-4) / (both + either + 1e-4))
        ious.append((both + 1e-6) / (either + 1e-6))
    return float(np.mean(dices)), float(np.mean(ious))


def jensen_bound(mean_dice: float) -> float:
    """Return the least mean IoU that images with this mean Dice can have.

    An image's IoU is ``D / (2 - D)``, convex in its Dice, so by Jensen's inequality
    the mean IoU is never less than that of the mean Dice. A table that says
    otherwise shows figures of different predictions or averages.
    """
    return mean_dice / (2 - mean_dice)


def _at_medsa_size(maps: torch.Tensor) -> NDArray[np.float32]:
    resized = interpolate(maps.float(), size=(256, 256), mode="nearest")[0, 0]
    array: NDArray[np.float32] = resized.cpu().numpy()
    return array


def _overlap(mask: NDArray[np.bool_], target: NDArray[np.bool_]) -> tuple[int, int]:
    return int((mask & target).sum()), int((mask | target).sum())


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[Any]:
    """Divide; nothing found where nothing is to be found is right."""
    result = np.ones_like(part)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


@torch.inference_mode()
def _at_input_size(
    predictor: Predictor, prediction: MaskPrediction, size: tuple[int, int]
) -> NDArray[np.bool_]:
    logits = predictor.sam.postprocess_masks(prediction.low_res_logits, size, size)
    mask: NDArray[np.bool_] = (logits[0, 0] > 0).cpu().numpy()
    return mask


def _same_shape(mask: NDArray[Any], target: NDArray[Any]) -> None:
    if mask.shape != target.shape:
        raise ValueError(f"Masks of shape {mask.shape} and {target.shape} differ.")
