"""The mask of one image, as a Labels layer: one object in the making, others kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from psygnal import Signal

from napari_glmedsa.project import Provenance
from napari_glmedsa.ui import convert
from napari_glmedsa.ui.accepted import AcceptedObject
from napari_glmedsa.ui.boxes import NOWHERE, Box, absolute, everywhere, union
from napari_glmedsa.ui.companion import OURS, CompanionLayer
from napari_glmedsa.ui.labels import (
    Drawn,
    Extent,
    cut_out,
    draw_object,
    new_labels,
    painted_box,
    reference,
)
from napari_glmedsa.ui.partial_refresh import refresh_part
from napari_glmedsa.ui.styles import FORMER_MASK_NAME


class MaskLayer(CompanionLayer[Labels]):
    """Labels 1, 2, ... are lesions, 0 is skin; one of them is being clicked."""

    repainted = Signal()
    """Pixels changed, or will in a moment, and not by us."""
    painted = Signal(object)
    """The same, with the Box that they are in, or None if that is not known."""
    arrived = Signal(object)
    """Objects accepted elsewhere were shown, in this Box."""

    kind = Labels
    _drawn: Drawn | None = None  # the current object, as the model gave it
    _extent: Extent | None = None  # of the current object, while known
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
        return 0 if self.layer is None else self._measured(self.layer).area

    @property
    def has_objects(self) -> bool:
        """Whether there is any object, in the making or accepted."""
        if self.layer is None:
            return False
        if self._any is None:
            self._any = bool(self.layer.data.any())
        return self._any

    def activate_brush(self) -> None:
        """Let the next stroke on the canvas paint the current object."""
        layer = self.ensure()
        layer.visible = True
        layer.selected_label = self.object_id
        self._viewer.layers.selection.active = layer
        layer.mode = "paint"

    def have_accepted_changed(self) -> bool:
        """Tell whether accepted objects were painted over since somebody last asked."""
        if self.layer is None:
            return False
        before = self.layer.metadata[OURS].get("accepted", (0, 0))
        return bool(self._note_accepted() != before)

    def draw(self, mask: NDArray[np.bool_], box: Box | None = None) -> Box:
        """Make the current object look like `mask`; other objects keep their pixels.

        Parameters
        ----------
        mask : (H, W) bool
            Of the whole image.
        box : (rows, columns), optional
            Outside of it the mask is False. With it, drawing costs what the lesion
            is large and not what the photograph is.

        Returns
        -------
        (rows, columns)
            Outside of it no pixel changed.
        """
        return self._draw(self.ensure(), mask, box or everywhere(mask))

    def _draw(self, layer: Labels, mask: NDArray[np.bool_], box: Box) -> Box:
        current, before = self.object_id, self._measured(layer).box
        around = union(before, box)
        drawn, changed = draw_object(
            layer.data[around], current, mask[around], keep_others=layer.preserve_labels
        )
        if changed != NOWHERE:
            changed = absolute(changed, around)
            self._refresh(layer, changed)
        self._drawn = Drawn(drawn, around)
        area = int(np.count_nonzero(drawn))
        self._extent = Extent(current, area, box if area else NOWHERE)
        self._any = True if area else None
        return changed

    def _measured(self, layer: Labels) -> Extent:
        """Return where the current object is, looked for if that is not known."""
        current = self.object_id
        if self._extent is None or self._extent.label != current:
            self._extent = Extent.of(layer.data, current)
        return self._extent

    def _refresh(self, layer: Labels, box: Box) -> None:
        self._writing = True
        try:
            refresh_part(layer, box)
        finally:
            self._writing = False

    def clear_object(self) -> Box:
        """Remove the current object; return a box with every pixel that changed."""
        if self.layer is None:
            return NOWHERE
        nothing = np.zeros(self.layer.data.shape, dtype=bool)
        changed = self._draw(self.layer, nothing, NOWHERE)
        self._drawn = None
        return changed

    def accept_object(self, provenance: Provenance | None = None) -> int:
        """Keep the current object for good: from now on clicks change the next one.

        Returns its label.
        """
        self.ensure()
        accepted = self.object_id
        self.objects[accepted] = cut_out(self._drawn, provenance)
        self._start_next_object()
        return accepted

    def take(
        self, object_id: int, objects: Mapping[int, AcceptedObject], box: Box
    ) -> bool:
        """Go on with another object, after the pixels in a box were written.

        Parameters
        ----------
        object_id : int
            Label that clicks change from now on.
        objects : mapping
            The accepted ones, by label.
        box : (rows, columns)
            Outside of it no pixel changed.

        Returns
        -------
        bool
            Whether accepted objects look different now.
        """
        layer = self.ensure()
        layer.metadata[OURS]["object"] = object_id
        layer.metadata[OURS]["objects"] = dict(objects)
        layer.selected_label = object_id
        self._extent = self._any = None
        now = self._measured(layer)
        drawn = layer.data[now.box] == object_id
        self._drawn = Drawn(drawn, now.box) if now.area else None
        if box != NOWHERE:
            self._refresh(layer, box)
        return self.have_accepted_changed()

    def show_accepted(self, found: Sequence[AcceptedObject]) -> None:
        """Show objects that were accepted elsewhere, under labels of their own.

        Pixels of objects accepted here stay theirs; the one in the making gives way.
        """
        layer, current = self.ensure(), self.object_id
        in_the_making = self.object_area > 0
        written = NOWHERE
        for one in found:
            part = layer.data[one.box]
            free = (part == 0) | (part == current) if in_the_making else part == 0
            pixels = one.pixels & free
            if not pixels.any():
                continue
            label = self._next_label() if in_the_making else self.object_id
            part[pixels] = label
            written = union(written, one.box)
            self.objects[label] = replace(one, pixels=pixels)
            if not in_the_making:
                self._start_next_object()
            elif self._drawn is not None:
                self._drawn.give(pixels, one.box)
        self._extent = self._any = None
        self._note_accepted()
        if written != NOWHERE:
            self._refresh(layer, written)
            self.arrived.emit(written)

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
        self._extent = Extent(self.object_id, 0, NOWHERE)
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
        self._extent = self._any = None
        # Whatever shows other pixels says one of these: brush, fill, undo, new data,
        # another dock.
        layer.events.set_data.connect(self._on_pixels)
        layer.events.labels_update.connect(self._on_pixels)
        layer.events.paint.connect(self._on_painted)  # at the end of a stroke

    def _on_pixels(self, event: Any) -> None:
        self._extent = self._any = None
        # While the brush is drawn along, `labels_update` comes with each movement.
        if not self._writing and event.type != "labels_update":
            self.painted.emit(None)
            self.repainted.emit()

    def _on_painted(self, event: Any) -> None:
        self.painted.emit(painted_box(event.value))
        self.repainted.emit()

    def _make(self) -> Labels:
        return new_labels(
            convert.image_size(self._image),
            metadata=self._metadata(object=1, pixels=reference(self._pixels())),
            **self._transform(),
        )

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
