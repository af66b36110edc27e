"""A mask made tidy: holes filled, crumbs dropped, its outline smooth."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_SMOOTHING = 0.02  # of the square root of the area: the default radius
_PASSES = 3  # a box blurred so often is nearly a Gaussian


def fill_holes(mask: Mask) -> Mask:
    """Return a mask without holes.

    Parameters
    ----------
    mask
        (H, W) bool. What is open to the image's edge is no hole.

    Returns
    -------
    NDArray[np.bool_]
        (H, W).
    """
    from scipy import ndimage

    return _inside(mask, ndimage.binary_fill_holes)


def largest_piece(mask: Mask) -> Mask:
    """Return a mask's largest connected piece, the first of several.

    Parameters
    ----------
    mask
        (H, W) bool. Pixels that touch at a corner are connected.

    Returns
    -------
    NDArray[np.bool_]
        (H, W).
    """
    from scipy import ndimage

    def keep_largest(part: Mask) -> Mask:
        pieces, _ = ndimage.label(part, structure=np.ones((3, 3)))
        areas = np.bincount(pieces.ravel())
        areas[0] = 0
        return np.asarray(pieces == areas.argmax())

    return _inside(mask, keep_largest)


def smooth_outline(mask: Mask, *, radius: float | None = None) -> Mask:
    """Return a mask with notches and spikes of its outline smoothed away.

    Every pixel becomes what prevails around it, weighted nearly like a Gaussian. A
    straight outline stays where it is, and so does the edge of the image.

    Parameters
    ----------
    mask
        (H, W) bool.
    radius
        How far around, in pixels (the Gaussian's sigma). By default a fiftieth of the
        square root of the area, at least one pixel.

    Returns
    -------
    NDArray[np.bool_]
        (H, W). A mask so small that nothing would be left of it stays as it is.
    """
    from scipy import ndimage

    if radius is None:
        radius = max(1.0, _SMOOTHING * math.sqrt(np.count_nonzero(mask)))
    width = 2 * round(radius) + 1  # passes of such boxes have the radius as sigma

    def smooth(part: Mask) -> Mask:
        shares = part.astype(np.float32)
        for _ in range(_PASSES):
            ndimage.uniform_filter(shares, width, output=shares, mode="nearest")
        smoothed: Mask = shares > 0.5
        return smoothed if smoothed.any() else part

    return _inside(mask, smooth, margin=_PASSES * width)


def _inside(mask: Mask, change: Callable[[Mask], Mask], *, margin: int = 0) -> Mask:
    """Change a mask within its bounding box: a photograph has millions of pixels."""
    changed = np.zeros_like(mask)
    box = []
    for axis in (0, 1):
        found = np.flatnonzero(mask.any(axis=1 - axis))
        if not len(found):
            return changed
        box.append(slice(max(0, found[0] - margin), found[-1] + 1 + margin))
    where = tuple(box)
    changed[where] = change(mask[where])
    return changed
