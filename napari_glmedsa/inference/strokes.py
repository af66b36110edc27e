"""Scribbles, lassos and finished masks, turned into prompts that SAM understands.

SAM knows points, boxes and masks at low resolution. A scribble becomes a few points
along it. A lasso and a finished mask become three prompts at once: their box, a click
at their deepest place, and themselves as a mask; SAM hardly follows a mask alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.errors import PromptError
from napari_glmedsa.inference.prompts import Prompts, inside_image

MAX_POINTS = 8
"""As many points as a scribble becomes at most."""

_SPACING = 0.04  # of the image's longer side, between two points of a scribble
_CERTAIN = 1e-3  # how unsure a mask prompt is at most: logits of about 7
_BLOCK = 1 << 20  # pixels summed up at a time
_DEEP = 512  # pixels of the longer side at which the deepest place is looked for


@dataclass(frozen=True, slots=True)
class LowResFrame:
    """Where an image lies in the logits of a mask prompt.

    Parameters
    ----------
    shape
        (4h, 4w), of the logits.
    used
        Rows and columns that the image takes up, from the top left; need not be whole.
    """

    shape: tuple[int, int]
    used: tuple[float, float]


def with_scribble(
    prompts: Prompts, path: NDArray[np.float64], label: int, *, size: tuple[int, int]
) -> Prompts:
    """Add a line drawn over the lesion, or over the background.

    It becomes 1 to 8 clicks, in the middle of equally long parts, one for every 4 % of
    the image's longer side: never at the ends, which often are a little beyond what
    was meant.

    Parameters
    ----------
    prompts
        What there was before; all of it is kept.
    path
        (N, 2) float64, (x, y) in pixels of the image.
    label
        1 for lesion, 0 for background.
    size
        (H, W) of the image.

    Raises
    ------
    PromptError
        If no part of it is on the image.
    """
    points = _along(path, spacing=_SPACING * max(size))
    points = points[inside_image(points, size)]
    if not len(points):
        raise PromptError("The scribble is outside the image; draw inside it.")
    return _with(prompts, points, label)


def with_lasso(
    prompts: Prompts,
    path: NDArray[np.float64],
    *,
    size: tuple[int, int],
    frame: LowResFrame | None,
) -> Prompts:
    """Add a closed line drawn around the lesion.

    Its box and its mask take the place of earlier ones, a click at its deepest place
    is added.

    Parameters
    ----------
    prompts
        What there was before.
    path
        (N, 2) float64, (x, y) in pixels of the image; the last point is joined to the
        first.
    size
        (H, W) of the image.
    frame
        Of the encoded image; None if it is not, then there is no mask prompt.

    Raises
    ------
    PromptError
        If it surrounds no pixel of the image.
    """
    from skimage.draw import polygon

    mask = np.zeros(size, dtype=bool)
    mask[polygon(path[:, 1], path[:, 0], size)] = True
    if not mask.any():
        raise PromptError("The lasso surrounds nothing; draw it around the lesion.")
    found = from_mask(mask, frame=frame)
    clicked = _with(prompts, found.point_coords, 1)
    return Prompts(
        clicked.point_coords, clicked.point_labels, found.box, found.mask_input
    )


def from_mask(mask: NDArray[np.bool_], *, frame: LowResFrame | None) -> Prompts:
    """Return prompts that stand for a finished mask, to refine it from there.

    Parameters
    ----------
    mask
        (H, W) bool.
    frame
        Of the encoded image; None if it is not, then there is no mask prompt.

    Raises
    ------
    PromptError
        If the mask is empty.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise PromptError("The mask to start from is empty; choose another one.")
    edges = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) - 0.5
    return Prompts(
        deepest_point(mask)[None],
        np.array([1]),
        box=edges,
        mask_input=None if frame is None else mask_logits(mask, frame),
    )


def mask_logits(mask: NDArray[np.bool_], frame: LowResFrame) -> NDArray[np.float32]:
    """Return a mask as SAM takes it: the logit of the share of lesion in every cell.

    Parameters
    ----------
    mask
        (H, W) bool, not empty.
    frame
        Of the encoded image.

    Returns
    -------
    NDArray[np.float32]
        (4h, 4w), from about -7 to 7; beyond the image -7.
    """
    along_rows = _mean_of_cells(mask, frame.shape[0], used=frame.used[0])
    shares = _mean_of_cells(along_rows.T, frame.shape[1], used=frame.used[1]).T
    shares = np.clip(shares, _CERTAIN, 1 - _CERTAIN)
    return np.log(shares / (1 - shares)).astype(np.float32)


def deepest_point(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the pixel of a mask that is farthest from its outline.

    Parameters
    ----------
    mask
        (H, W) bool, not empty. The edge of the image counts as outline.

    Returns
    -------
    NDArray[np.float64]
        (2,), (x, y); of large masks only every so many pixels is looked at.
    """
    from scipy import ndimage

    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, left = rows[0], columns[0]
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    step = -(-max(part.shape) // _DEEP)
    seen = np.pad(part[::step, ::step], 1)
    if not seen.any():  # all of it is thinner than what is looked at
        step, seen = 1, np.pad(part, 1)
    depth = ndimage.distance_transform_edt(seen)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return np.array([left + (x - 1) * step, top + (y - 1) * step], dtype=np.float64)


def _along(path: NDArray[np.float64], *, spacing: float) -> NDArray[np.float64]:
    """Return the middles of equally long parts of a path (N, 2), one at least."""
    lengths = np.hypot(*np.diff(path, axis=0).T)
    place = np.concatenate([[0.0], np.cumsum(lengths)])
    n_points = int(np.clip(round(place[-1] / spacing), 1, MAX_POINTS))
    middles = (np.arange(n_points) + 0.5) / n_points * place[-1]
    return np.stack([np.interp(middles, place, path[:, i]) for i in (0, 1)], axis=1)


def _with(prompts: Prompts, points: NDArray[np.float64], label: int) -> Prompts:
    return Prompts(
        np.concatenate([prompts.point_coords, points]),
        np.append(prompts.point_labels, np.full(len(points), label)),
        box=prompts.box,
        mask_input=prompts.mask_input,
    )


def _mean_of_cells(
    values: NDArray[np.bool_] | NDArray[np.float64], n_cells: int, *, used: float
) -> NDArray[np.float64]:
    """Map (N, M) to (n_cells, M): means of cells, of which `used` cover the values."""
    n_values, width = values.shape
    edges = np.minimum(np.arange(n_cells + 1) * (n_values / used), n_values)
    below = np.minimum(edges.astype(np.intp), n_values - 1)
    rest = (edges - below)[:, None]
    means = np.empty((n_cells, width))
    step = max(1, _BLOCK // n_values)
    for left in range(0, width, step):  # sums of the whole would need much memory
        part = values[:, left : left + step]
        total = np.zeros((n_values + 1, part.shape[1]))
        np.cumsum(part, axis=0, out=total[1:])
        at_edges = total[below] + rest * part[below]
        means[:, left : left + step] = np.diff(at_edges, axis=0) * (used / n_values)
    return means
