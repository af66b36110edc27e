"""How well a mask agrees with the true one: one number per metric."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

JACCARD_THRESHOLD = 0.65
"""Of ISIC 2018: below it an outline counts for nothing."""


def dice(mask: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """Return the Dice coefficient ``2 |A and B| / (|A| + |B|)``, 1 if both are empty.

    Parameters
    ----------
    mask, target
        (H, W) bool, of one shape; likewise in the other metrics.

    Raises
    ------
    ValueError
        If they are of two shapes.
    """
    require_one_shape(mask, target)
    total = int(mask.sum()) + int(target.sum())
    return 2 * int((mask & target).sum()) / total if total else 1.0


def iou(mask: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """Return the Jaccard index ``|A and B| / |A or B|``, 1 if both are empty."""
    both, either = overlap(mask, target)
    return both / either if either else 1.0


def threshold_jaccard(
    mask: NDArray[np.bool_],
    target: NDArray[np.bool_],
    threshold: float = JACCARD_THRESHOLD,
) -> float:
    """Return the IoU if it reaches `threshold`, else 0: the metric of ISIC 2018."""
    jaccard = iou(mask, target)
    return jaccard if jaccard >= threshold else 0.0


def accuracy(mask: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """Return the share of pixels that are right."""
    both, either = overlap(mask, target)
    return 1 - (either - both) / mask.size


def sensitivity(mask: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """Return the share of the lesion that is found, 1 if there is no lesion."""
    both, _ = overlap(mask, target)
    lesion = int(target.sum())
    return both / lesion if lesion else 1.0


def specificity(mask: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """Return the share of the skin that is left out, 1 if there is no skin."""
    _, either = overlap(mask, target)
    skin = target.size - int(target.sum())
    return (target.size - either) / skin if skin else 1.0


def hd95(mask: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """Return the 95 % Hausdorff distance of two outlines in pixels.

    For each outline, the distance that 95 % of its pixels keep to the other one; the
    larger of both. Outlines are the mask's own pixels that touch the outside. Two
    empty masks are 0 apart; of one empty and one other mask, where no distance is
    defined, it is the diagonal of the image, the worst there can be.
    """
    from scipy.spatial import KDTree

    require_one_shape(mask, target)
    if not (mask.any() and target.any()):
        return float(mask.any() or target.any()) * math.hypot(*mask.shape)
    one, other = _outline(mask), _outline(target)
    there, _ = KDTree(other).query(one)
    back, _ = KDTree(one).query(other)
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def jensen_bound(mean_dice: float) -> float:
    """Return the least mean IoU that images with this mean Dice can have.

    An image's IoU is ``D / (2 - D)``, convex in its Dice, so by Jensen's inequality
    the mean IoU is never less than that of the mean Dice. A table that says
    otherwise shows figures of different predictions or averages.
    """
    return mean_dice / (2 - mean_dice)


def overlap(mask: NDArray[np.bool_], target: NDArray[np.bool_]) -> tuple[int, int]:
    """Return how many pixels are in both masks and how many in either."""
    require_one_shape(mask, target)
    return int((mask & target).sum()), int((mask | target).sum())


def require_one_shape(mask: NDArray[Any], target: NDArray[Any]) -> None:
    """Raise ValueError if two arrays differ in shape."""
    if mask.shape != target.shape:
        raise ValueError(f"Masks of shape {mask.shape} and {target.shape} differ.")


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the pixels (row, column) that have a neighbour outside, the edge's too."""
    from scipy.ndimage import binary_erosion

    (rows,), (columns,) = (np.nonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    inner = binary_erosion(part)
    outline: NDArray[np.int64] = np.argwhere(part & ~inner) + np.array([top, left])
    return outline
