"""Scores of simulated clicks as Med-SA's release computes them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from napari_glmedsa.evaluation import PROTOCOL, Case, medsa_scores, replay_clicks
from napari_glmedsa.inference import Predictor

MEDSA_PROTOCOL: dict[str, Any] = {
    **{key: PROTOCOL[key] for key in ("first_click", "next_clicks", "labels")},
    "threshold": "logits and truth > 0.1, 0.3, 0.5, 0.7, 0.9, averaged",
    "size": "256 x 256, nearest",
    "smoothing": "1e-4 in Dice, 1e-6 in IoU",
    **{key: PROTOCOL[key] for key in ("average", "seeding")},
}


@dataclass(frozen=True, slots=True)
class MedsaScore:
    """`medsa_scores` of one image: Dice and IoU after 1, 2, ... clicks."""

    id: str
    dice: tuple[float, ...]
    iou: tuple[float, ...]


def evaluate_medsa(
    predictor: Predictor, case: Case, *, n_clicks: int = 3, seeds: Iterable[int] = (0,)
) -> Iterator[MedsaScore]:
    """Score the answers to the clicks of `evaluate_seeds` as `MEDSA_PROTOCOL` says."""
    embedding = predictor.encode(case.image)
    side = predictor.sam.image_encoder.img_size
    for seed in seeds:
        pairs = []
        for answer in replay_clicks(
            predictor, case, n_clicks=n_clicks, seed=seed, embedding=embedding
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
