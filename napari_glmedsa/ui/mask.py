"""The mask of one image, as a Labels layer: one object in the making, others kept."""

from __future__ import annotations

import numpy as np

# napari imports these at the first Points and Labels layers of a session, which takes a
# second: better while the dock opens than while the user waits for the first outline.
import pandas  # type: ignore[import-untyped]  # noqa: F401
import scipy.ndimage  # noqa: F401
import skimage.color.colorconv  # noqa: F401
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap
from numpy.typing import NDArray

from napari_glmedsa.ui import convert
from napari_glmedsa.ui.companion import OURS, CompanionLayer
from napari_glmedsa.ui.styles import (
    FILL_OPACITY,
    MASK_NAME,
    OBJECT_COLORS,
    OUTLINE_MAX_PIXELS,
    OUTLINE_WIDTH,
)


class MaskLayer(CompanionLayer[Labels]):
    """Labels 1, 2, ... are lesions, 0 is skin; one of them is being clicked."""

    kind = Labels

    @property
    def object_id(self) -> int:
        """Label of the object that clicks change now."""
        return 1 if self.layer is None else int(self.layer.metadata[OURS]["object"])

    @property
    def object_area(self) -> int:
        """Pixels of the object that clicks change now."""
        layer = self.layer
        return 0 if layer is None else int((layer.data == self.object_id).sum())

    def draw(self, mask: NDArray[np.bool_]) -> None:
        """Make the current object look like `mask`; other objects keep their pixels.

        Parameters
        ----------
        mask : (H, W) bool
            Of the whole image.
        """
        data = self.ensure().data
        drawn = data == self.object_id
        wanted = mask & (drawn | (data == 0))
        # Only what changed is written: a photograph has millions of pixels.
        box = _bounding_box(drawn != wanted)
        if box is not None:
            part, was, becomes = data[box], drawn[box], wanted[box]
            part[was & ~becomes] = 0
            part[becomes] = self.object_id
            self.ensure().refresh(extent=False)

    def clear_object(self) -> None:
        """Remove the current object."""
        if self.layer is not None:
            self.draw(np.zeros(self.layer.data.shape, dtype=bool))

    def accept_object(self) -> int:
        """Keep the current object for good: from now on clicks change the next one.

        Returns
        -------
        int
            Label of the object that was kept.
        """
        layer, accepted = self.ensure(), self.object_id
        # Labels that the user painted by hand are taken, too.
        layer.metadata[OURS]["object"] = max(int(layer.data.max()), accepted) + 1
        layer.selected_label = self.object_id
        return accepted

    def union(self) -> NDArray[np.bool_] | None:
        """Return the mask of all objects, (H, W) bool, or None if there is none."""
        layer = self.layer
        return None if layer is None or not layer.data.any() else layer.data > 0

    def _make(self) -> Labels:
        height, width = convert.image_size(self._image)
        outlined = height * width <= OUTLINE_MAX_PIXELS
        layer = Labels(
            np.zeros((height, width), dtype=np.uint16),
            name=MASK_NAME,
            colormap=CyclicLabelColormap(colors=["transparent", *OBJECT_COLORS]),
            opacity=1 if outlined else FILL_OPACITY,
            metadata=self._metadata(object=1),
            **self._transform(),
        )
        if outlined:
            layer.contour = max(2, round(OUTLINE_WIDTH * max(height, width)))
        return layer

    def _is_usable(self, layer: Labels) -> bool:
        size = convert.image_size(self._image)
        return isinstance(layer.data, np.ndarray) and layer.data.shape == size


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Return the smallest slices (rows, cols) with every True in them."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
