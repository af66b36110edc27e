"""What the user points at: clicks, a box, an earlier mask."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_glmedsa.errors import PromptError


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts for one object in one image.

    Coordinates are (x, y) in pixels of the original image; the centre of the
    top left pixel is (0, 0).

    Parameters
    ----------
    point_coords
        (N, 2) float64.
    point_labels
        (N,) int64, 1 = lesion, 0 = background.
    box
        (4,) float64, x0, y0, x1, y1, or None.
    mask_input
        (h, w) float32 logits at the model's low resolution, or None.

    Raises
    ------
    PromptError
        If shapes disagree, a number is not finite, a label is not 0 or 1 or
        the box has no area.
    """

    point_coords: NDArray[np.float64]
    point_labels: NDArray[np.int64]
    box: NDArray[np.float64] | None = None
    mask_input: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        coords = _numbers(self.point_coords, np.float64, "point coordinate")
        labels = _numbers(self.point_labels, np.int64, "point label")
        coords = coords.reshape(-1, 2) if coords.size == 0 else coords
        if coords.ndim != 2 or coords.shape[1] != 2 or labels.shape != coords.shape[:1]:
            raise PromptError(
                "Clicks must be N pairs (x, y) with N labels, not arrays of shape "
                f"{coords.shape} and {labels.shape}."
            )
        if not np.isin(labels, (0, 1)).all():
            raise PromptError("A click's label is 1 (lesion) or 0 (background).")
        object.__setattr__(self, "point_coords", coords)
        object.__setattr__(self, "point_labels", labels)
        if self.box is not None:
            box = _numbers(self.box, np.float64, "box corner")
            if box.shape != (4,) or box[0] >= box[2] or box[1] >= box[3]:
                raise PromptError(
                    "A box is x0,y0,x1,y1 with x0 left of x1 and y0 above y1, not "
                    f"{', '.join(f'{value:g}' for value in box.ravel())}."
                )
            object.__setattr__(self, "box", box)
        if self.mask_input is not None:
            mask = _numbers(self.mask_input, np.float32, "mask logit")
            if mask.ndim != 2:
                raise PromptError(
                    f"A mask prompt has two axes (h, w), not shape {mask.shape}."
                )
            object.__setattr__(self, "mask_input", mask)

    @classmethod
    def empty(cls) -> Self:
        """Return prompts without anything in them."""
        return cls(np.empty((0, 2)), np.empty(0, np.int64))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to predict from."""
        return (
            len(self.point_coords) == 0 and self.box is None and self.mask_input is None
        )

    def check_inside(self, size: tuple[int, int]) -> None:
        """Raise PromptError if a click, or the whole box, is off an image (H, W)."""
        height, width = size
        outside = self.point_coords[~inside_image(self.point_coords, size)]
        for x, y in outside[:1]:
            raise PromptError(
                f"The click at ({x:g}, {y:g}) is outside the image, which is "
                f"{width} pixels wide and {height} high; click inside it."
            )
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if x1 <= -0.5 or y1 <= -0.5 or x0 >= width - 0.5 or y0 >= height - 0.5:
                raise PromptError(
                    f"The box {x0:g},{y0:g},{x1:g},{y1:g} is outside the image, which "
                    f"is {width} pixels wide and {height} high."
                )


def inside_image(
    point_coords: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Tell which points lie on a pixel of an image.

    Parameters
    ----------
    point_coords
        (N, 2) float64, (x, y) in pixels; a pixel reaches half a pixel around its
        centre.
    size
        (H, W) of the image.

    Returns
    -------
    NDArray[np.bool_]
        (N,).
    """
    height, width = size
    inside: NDArray[np.bool_] = np.all(
        (point_coords >= -0.5) & (point_coords < (width - 0.5, height - 0.5)), axis=1
    )
    return inside


def _numbers(values: ArrayLike, dtype: type[np.generic], what: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.array(values, dtype=dtype)
        finite = bool(np.isfinite(np.asarray(values, dtype=np.float64)).all())
    except (TypeError, ValueError, OverflowError) as error:
        raise PromptError(f"Not every {what} is a number: {error}.") from error
    if not finite:
        raise PromptError(f"Every {what} must be a finite number.")
    return array
