"""How unsure a model is about a photograph that nobody has clicked on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_glmedsa.inference.prompts import Prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_glmedsa.inference import ImageEmbedding, Predictor

FLIPPED_AXES = (1, 0)
"""Axes of the image that the further views are flipped along."""

STABILITY_OFFSET = 1.0
"""By how much the threshold on the logits is moved, as in SAM's mask generator."""

SCHEMA_VERSION = 1
"""Of how uncertainty is measured; what another version has measured is not compared."""


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What speaks for and against trusting the model on one photograph.

    Each part is a guess at an IoU, from 0 to 1, and 1 is good.

    Parameters
    ----------
    stability
        IoU of the masks cut at a higher and at a lower threshold, as in SAM's
        automatic mask generator.
    agreement
        Mean IoU of the mask with those of the flipped photograph, flipped back.
    predicted_iou
        The model's own guess at the IoU of its mask.
    """

    stability: float
    agreement: float
    predicted_iou: float

    @property
    def score(self) -> float:
        """One number to order by, 0 to 1: high if any of the parts is low."""
        return 1 - self.stability * self.agreement * self.predicted_iou

    def to_json(self) -> dict[str, Any]:
        """Return the parts as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        names = ("stability", "agreement", "predicted_iou")
        return cls(*(float(np.clip(document[name], 0, 1)) for name in names))


def estimate_uncertainty(
    predictor: Predictor,
    image: NDArray[np.uint8],
    *,
    embedding: ImageEmbedding | None = None,
    check: Callable[[], None] = lambda: None,
) -> Uncertainty:
    """Return how unsure the model is, asked as a person without patience would ask.

    The prompt is one lesion click on the centre of the photograph: dermoscopy puts
    the lesion there, and a photograph that breaks the rule is worth a look as well.
    It is asked about the photograph and about its two mirror images.

    Parameters
    ----------
    predictor
        The model.
    image
        (H, W, 3) uint8 RGB.
    embedding
        Of the image, if it is there already.
    check
        Called before each encoding and after each block; what it raises ends it.
    """

    def encode(view: NDArray[np.uint8]) -> ImageEmbedding:
        check()
        return predictor.encode(view, on_block=lambda *_: check())

    flipped = (np.ascontiguousarray(np.flip(image, axis)) for axis in FLIPPED_AXES)
    views = [embedding or encode(image), *map(encode, flipped)]
    return compare_views(predictor, views)


def compare_views(predictor: Predictor, views: Sequence[ImageEmbedding]) -> Uncertainty:
    """Judge the answers about embeddings of an image and of its flipped versions.

    Parameters
    ----------
    predictor
        The model that has made them.
    views
        As it is, then flipped along each of `FLIPPED_AXES`, or the first of them.
    """
    answers = [predictor.predict(view, _centre_click(view)) for view in views]
    size = predictor.sam.image_encoder.img_size
    maps = [
        _logits_of_image(answer.low_res_logits[0, 0].cpu().numpy(), view, size)
        for answer, view in zip(answers, views, strict=True)
    ]
    plain, *others = (logits > 0 for logits in maps)
    back = [np.flip(o, axis) for o, axis in zip(others, FLIPPED_AXES, strict=False)]
    predicted = np.mean([answer.iou_prediction for answer in answers])
    return Uncertainty(
        stability=float(np.mean([stability_score(logits) for logits in maps])),
        agreement=float(np.mean([_iou(plain, mask) for mask in back])),
        predicted_iou=float(np.clip(predicted, 0, 1)),
    )


def stability_score(
    logits: NDArray[np.floating[Any]], offset: float = STABILITY_OFFSET
) -> float:
    """Return the IoU of the masks ``logits > offset`` and ``logits > -offset``.

    Parameters
    ----------
    logits
        (h, w) float. Where nothing is above even the lower threshold, the score
        is 0: a model that finds no lesion under a click has not answered.
    offset
        At least 0.
    """
    return _iou(logits > offset, logits > -offset)


def _centre_click(view: ImageEmbedding) -> Prompts:
    height, width = view.original_size
    return Prompts(np.array([[(width - 1) / 2, (height - 1) / 2]]), np.array([1]))


def _logits_of_image(
    logits: NDArray[np.float32], view: ImageEmbedding, image_size: int
) -> NDArray[np.float32]:
    """Cut off what belongs to the padding below and to the right of the image."""
    rows, columns = (
        max(1, round(length * side / image_size))
        for length, side in zip(view.input_size, logits.shape, strict=True)
    )
    return logits[:rows, :columns]


def _iou(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    union = int((mask | other).sum())
    return int((mask & other).sum()) / union if union else 0.0
