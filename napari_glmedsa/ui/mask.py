"""The mask of one image, as a Labels layer: one object in the making, others kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

# napari imports these at the first Points and Labels layers of a session, which takes a
# second: better while the dock opens than while the user waits for the first outline.
import pandas  # type: ignore[import-untyped]  # noqa: F401
import scipy.ndimage  # noqa: F401
import skimage.color.colorconv  # noqa: F401
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap
from numpy.typing import NDArray
from psygnal import Signal

from napari_glmedsa.project import Provenance
from napari_glmedsa.ui import convert
from napari_glmedsa.ui.accepted import AcceptedObject, bounding_box
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

    painted = Signal()
    """The user changed pixels by hand."""

    kind = Labels
    _drawn: NDArray[np.bool_] | None = None  # the model's, of the current object
    _counted: tuple[int, int] | None = None  # an object and its pixels, while true

    @property
    def objects(self) -> dict[int, AcceptedObject]:
        """What is known of accepted objects, by label; it lives with the layer."""
        if self.layer is None:
            return {}
        known: dict[int, AcceptedObject]
        known = self.layer.metadata[OURS].setdefault("objects", {})
        return known

    @property
    def object_id(self) -> int:
        """Label of the object that clicks change now."""
        return 1 if self.layer is None else int(self.layer.metadata[OURS]["object"])

    @property
    def object_area(self) -> int:
        """Pixels of the object that clicks change now."""
        layer, current = self.layer, self.object_id
        if layer is None:
            return 0
        if self._counted is None or self._counted[0] != current:
            self._counted = current, int(np.count_nonzero(layer.data == current))
        return self._counted[1]

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
        box = bounding_box(drawn != wanted)
        if box is not None:
            part, was, becomes = data[box], drawn[box], wanted[box]
            part[was & ~becomes] = 0
            part[becomes] = self.object_id
            self.ensure().refresh(extent=False)
        self._drawn = wanted
        self._counted = self.object_id, int(np.count_nonzero(wanted))

    def clear_object(self) -> None:
        """Remove the current object."""
        if self.layer is not None:
            self.draw(np.zeros(self.layer.data.shape, dtype=bool))
            self._drawn = None

    def accept_object(self, provenance: Provenance | None = None) -> int:
        """Keep the current object for good: from now on clicks change the next one.

        Parameters
        ----------
        provenance : Provenance, optional
            Where it came from.

        Returns
        -------
        int
            Label of the object that was kept.
        """
        self.ensure()
        accepted = self.object_id
        known = AcceptedObject.cut_out(self._drawn, provenance or Provenance())
        self.objects[accepted] = known
        self._start_next_object()
        return accepted

    def show_accepted(self, found: Sequence[AcceptedObject]) -> None:
        """Show objects that were accepted elsewhere, under labels of their own.

        Pixels of objects accepted here stay theirs; the one in the making gives way.
        """
        layer, current = self.ensure(), self.object_id
        in_the_making = self.object_area > 0
        for one in found:
            part = layer.data[one.box]
            free = (part == 0) | (part == current) if in_the_making else part == 0
            pixels = one.pixels & free
            if not pixels.any():
                continue
            label = self._next_label() if in_the_making else self.object_id
            part[pixels] = label
            self.objects[label] = replace(one, pixels=pixels)
            if not in_the_making:
                self._start_next_object()
            elif self._drawn is not None:
                self._drawn[one.box][pixels] = False
        layer.refresh(extent=False)

    def union(self) -> NDArray[np.bool_] | None:
        """Return the mask of all objects, (H, W) bool, or None if there is none."""
        layer = self.layer
        return None if layer is None or not layer.data.any() else layer.data > 0

    def _next_label(self) -> int:
        # Labels that the user painted by hand are taken, too.
        return max(int(self.ensure().data.max()), self.object_id) + 1

    def _start_next_object(self) -> None:
        layer, self._drawn = self.ensure(), None
        layer.metadata[OURS]["object"] = self._next_label()
        layer.selected_label = self.object_id

    def _connect(self, layer: Labels) -> None:
        self._counted = None
        # Whatever shows other pixels says one of these: brush, fill, undo, new data,
        # another dock.
        layer.events.set_data.connect(self._on_pixels)
        layer.events.labels_update.connect(self._on_pixels)
        layer.events.paint.connect(self._on_painted)
        layer.events.data.connect(self._on_painted)

    def _on_pixels(self, event: Any) -> None:
        self._counted = None

    def _on_painted(self, event: Any) -> None:
        self.painted.emit()

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
