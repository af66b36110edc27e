"""The mask of one image, as a Labels layer: one object in the making, others kept."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
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
    FORMER_MASK_NAME,
    MASK_NAME,
    OBJECT_COLORS,
    OUTLINE_MAX_PIXELS,
    OUTLINE_WIDTH,
)


class MaskLayer(CompanionLayer[Labels]):
    """Labels 1, 2, ... are lesions, 0 is skin; one of them is being clicked."""

    repainted = Signal()
    """Pixels changed, or will in a moment, and not by us."""

    kind = Labels
    _drawn: NDArray[np.bool_] | None = None  # the model's, of the current object
    _counted: tuple[int, int] | None = None  # an object and its pixels, while true
    _any: bool | None = None  # whether there is any object, while known
    _writing = False

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

    @property
    def has_objects(self) -> bool:
        """Whether there is any object, in the making or accepted."""
        if self.layer is None:
            return False
        if self._any is None:
            self._any = bool(self.layer.data.any())
        return self._any

    def have_accepted_changed(self) -> bool:
        """Tell whether accepted objects were painted over since somebody last asked."""
        if self.layer is None:
            return False
        before = self.layer.metadata[OURS].get("accepted", (0, 0))
        return bool(self._note_accepted() != before)

    def draw(self, mask: NDArray[np.bool_]) -> None:
        """Make the current object look like `mask`; other objects keep their pixels.

        Parameters
        ----------
        mask : (H, W) bool
            Of the whole image.
        """
        self._draw(self.ensure(), mask)

    def _draw(self, layer: Labels, mask: NDArray[np.bool_]) -> None:
        data = layer.data
        drawn = data == self.object_id
        wanted = mask & (drawn | (data == 0))
        # Only what changed is written: a photograph has millions of pixels.
        box = bounding_box(drawn != wanted)
        if box is not None:
            part, was, becomes = data[box], drawn[box], wanted[box]
            part[was & ~becomes] = 0
            part[becomes] = self.object_id
            self._refresh(layer)
        self._drawn = wanted
        self._counted = self.object_id, int(np.count_nonzero(wanted))

    def _refresh(self, layer: Labels) -> None:
        self._writing = True
        try:
            layer.refresh(extent=False)
        finally:
            self._writing = False

    def clear_object(self) -> None:
        """Remove the current object."""
        if self.layer is not None:
            self._draw(self.layer, np.zeros(self.layer.data.shape, dtype=bool))
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
        self._note_accepted()
        self._refresh(layer)

    def give_up(self) -> None:
        """Let go of the objects: the image layer holds another photograph now.

        The outlines stay in the viewer, hidden, as a layer of the user's own.
        """
        if self.layer is not None:
            self._give_up(self.layer)

    def union(self) -> NDArray[np.bool_] | None:
        """Return the mask of all objects, (H, W) bool, or None if there is none."""
        layer = self.layer
        return layer.data > 0 if layer is not None and self.has_objects else None

    def _next_label(self) -> int:
        # Labels that the user painted by hand are taken, too.
        return max(int(self.ensure().data.max()), self.object_id) + 1

    def _start_next_object(self) -> None:
        layer, self._drawn = self.ensure(), None
        layer.metadata[OURS]["object"] = self._next_label()
        layer.selected_label = self.object_id
        self._note_accepted()

    def _note_accepted(self) -> tuple[int, int]:
        """Note what accepted objects look like: a repaint changes count or sum.

        It stands with the layer, because two docks may share it.
        """
        layer = self.layer or self.ensure()
        current, area = self.object_id, self.object_area
        pixels = int(np.count_nonzero(layer.data)) - area
        total = int(layer.data.sum(dtype=np.int64)) - area * current
        layer.metadata[OURS]["accepted"] = pixels, total
        return pixels, total

    def _connect(self, layer: Labels) -> None:
        self._counted = self._any = None
        # Whatever shows other pixels says one of these: brush, fill, undo, new data,
        # another dock.
        layer.events.set_data.connect(self._on_pixels)
        layer.events.labels_update.connect(self._on_pixels)
        layer.events.paint.connect(self._on_painted)  # at the end of a stroke

    def _on_pixels(self, event: Any) -> None:
        self._counted = self._any = None
        # While the brush is drawn along, `labels_update` comes with each movement.
        if not self._writing and event.type != "labels_update":
            self.repainted.emit()

    def _on_painted(self, event: Any) -> None:
        self.repainted.emit()

    def _make(self) -> Labels:
        height, width = convert.image_size(self._image)
        outlined = height * width <= OUTLINE_MAX_PIXELS
        layer = Labels(
            np.zeros((height, width), dtype=np.uint16),
            name=MASK_NAME,
            colormap=CyclicLabelColormap(colors=["transparent", *OBJECT_COLORS]),
            opacity=1 if outlined else FILL_OPACITY,
            metadata=self._metadata(object=1, pixels=_reference(self._pixels())),
            **self._transform(),
        )
        if outlined:
            layer.contour = max(2, round(OUTLINE_WIDTH * max(height, width)))
        return layer

    def _give_up(self, layer: Labels) -> None:
        super()._give_up(layer)
        if layer.data.any():
            layer.name, layer.visible = FORMER_MASK_NAME, False
        elif layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _left_by_an_earlier_dock(self) -> Labels | None:
        layer = super()._left_by_an_earlier_dock()
        known = layer and layer.metadata[OURS].get("pixels")
        if layer is not None and known is not None and known() is not self._pixels():
            self._give_up(layer)  # nobody was there when the photograph was replaced
            return None
        return layer

    def _pixels(self) -> object:
        return convert.image_array(self._image)

    def _is_usable(self, layer: Labels) -> bool:
        size = convert.image_size(self._image)
        return isinstance(layer.data, np.ndarray) and layer.data.shape == size


def _reference(pixels: object) -> weakref.ref[object] | None:
    try:
        return weakref.ref(pixels)
    except TypeError:
        return None
