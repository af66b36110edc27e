"""Objects that other programs keep one by one, put into one label map."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.project.annotations import MAX_LABEL


def stacked(
    masks: Sequence[NDArray[np.bool_]],
    labels: Sequence[Any],
    *,
    size: tuple[int, int],
) -> NDArray[np.uint16]:
    """Return masks as one label map; where two overlap, the earlier keeps the pixels.

    Parameters
    ----------
    masks : sequence of ndarray of bool, shape (H, W)
        Of one object each.
    labels : sequence
        What the file says they are numbered; if it does not give every one a number of
        its own, they are numbered 1, 2, ...
    size : (H, W)
        Of the image.

    Returns
    -------
    ndarray of uint16, shape (H, W)
        0 is skin.
    """
    are_numbers = all(
        isinstance(label, int) and 0 < label <= MAX_LABEL for label in labels
    )
    if not are_numbers or len(set(labels)) != len(labels):
        labels = range(1, len(masks) + 1)
    label_map = np.zeros(size, dtype=np.uint16)
    for mask, label in zip(masks, labels, strict=True):
        label_map[mask & (label_map == 0)] = label
    return label_map
