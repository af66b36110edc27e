"""Scores of simulated clicks as Med-SA's release computes them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from napari_glmedsa.evaluation import PROTOCOL, Case, replay_clicks
from napari_glmedsa.inference import Predictor
from napari_glmedsa.metrics import overlap
from napari_glmedsa.simulation import ClickPolicy

_THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)

MEDSA_PROTOCOL: dict[str, Any] = {
    "threshold": "logits and truth > 0.1, 0.3, 0.5, 0.7, 0.9, averaged",
    "size": "256 x 256, nearest",
    "smoothing": "1e-4 in Dice, 1e-6 in IoU",
    "average": PROTOCOL["average"],
}
"""How answers are scored; what is clicked is told by `evaluation.protocol`."""


@dataclass(frozen=True, slots=True)
class MedsaScore:
    """`medsa_scores` of one image: Dice and IoU after 1, 2, ... clicks."""

    id: str
    dice: tuple[float, ...]
    iou: tuple[float, ...]


def evaluate_medsa(
    predictor: Predictor,
    case: Case,
    *,
    n_clicks: int = 3,
    seeds: Iterable[int] = (0,),
    policy: ClickPolicy = "positive",
) -> Iterator[MedsaScore]:
    """Score the answers to the clicks of `evaluate_seeds` as `MEDSA_PROTOCOL` says."""
    embedding = predictor.encode(case.image)
    side = predictor.sam.image_encoder.img_size
    for seed in seeds:
        pairs = []
        for answer in replay_clicks(
            predictor,
            case,
            n_clicks=n_clicks,
            seed=seed,
            embedding=embedding,
            policy=policy,
        ):
            logits = answer.low_res_logits
            height, width = (  # the rest is padding, of which the mask knows nothing
                max(1, round(part * of / side))
                for part, of in zip(
                    embedding.input_size, logits.shape[-2:], strict=True
                )
            )
            pairs.append(medsa_scores(logits[..., :height, :width], case.mask))
        yield MedsaScore(
            case.id, tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
        )


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
    for threshold in _THRESHOLDS:
        mask, lesion = logits > threshold, truth > threshold
        both, either = overlap(mask, lesion)
        dices.append((2 * both + 1e-4) / (both + either + 1e-4))
        ious.append((both + 1e-6) / (either + 1e-6))
    return float(np.mean(dices)), float(np.mean(ious))


def _at_medsa_size(maps: torch.Tensor) -> NDArray[np.float32]:
    resized = interpolate(maps.float(), size=(256, 256), mode="nearest")[0, 0]
    array: NDArray[np.float32] = resized.cpu().numpy()
    return array
