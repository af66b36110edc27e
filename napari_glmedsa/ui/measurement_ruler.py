"""The ruler: a line along a known length in the photograph."""

from __future__ import annotations

from typing import Any

import napari.viewer
import numpy as np
from napari.layers import Image, Layer, Shapes
from psygnal import Signal

from napari_glmedsa.calibration import Point
from napari_glmedsa.ui import convert
from napari_glmedsa.ui.companion import OURS, TRANSFORM
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.ui.measurement_subject import RULER_OF
from napari_glmedsa.ui.styles import RULER_NAME, TOOL_COLOR, TOOL_WIDTH

_DRAWING, _LOOKING = "add_line", "pan_zoom"
_FINISHED = ("added", "changed")


class Ruler:
    """A Shapes layer over an image with one line on it; the newest line counts.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layer lives.
    main_thread : MainThread
        For what is done when napari has finished drawing.
    """

    drawn = Signal()
    """The line is there, was moved or is gone; `line` tells."""

    def __init__(self, viewer: napari.viewer.Viewer, main_thread: MainThread) -> None:
        self._viewer, self._main_thread = viewer, main_thread
        self._image: Image | None = None
        self._layer: Shapes | None = None
        self._before: Layer | None = None
        self._quiet = False

    @property
    def is_in_hand(self) -> bool:
        """Whether the next stroke on the canvas draws the line."""
        layer = self._layer if self._is_there() else None
        return layer is not None and str(layer.mode) == _DRAWING

    @property
    def line(self) -> tuple[Point, Point] | None:
        """Both ends as (x, y) in pixels of the image."""
        layer = self._layer if self._is_there() else None
        if layer is None or self._image is None or not layer.nshapes:
            return None
        ends = np.asarray(layer.data[-1])
        seen = convert.positions_on_image(ends[[0, -1]], layer, self._image)
        (x0, y0), (x1, y1) = seen.tolist()
        return (x0, y0), (x1, y1)

    def follow(self, image: Image | None) -> None:
        """Lie on another image from now on; the line on the one before is put away."""
        before = self._image
        if image is None or before is None or image.unique_id != before.unique_id:
            self.remove()
        self._image = image

    def take(self) -> None:
        """Let the next stroke on the canvas be the line."""
        if self._image is None:
            return
        self._before = self._viewer.layers.selection.active
        layer = self._ensure(self._image)
        self._viewer.layers.selection.active = layer
        layer.visible = True
        layer.mode = _DRAWING

    def put_down(self) -> None:
        """Give the canvas back to what the user was at."""
        if self._layer is not None:
            self._layer.selected_data = set()
            self._layer.mode = _LOOKING
        if self._before is not None and self._before in self._viewer.layers:
            self._viewer.layers.selection.active = self._before
        self._before = None

    def show(self, line: tuple[Point, Point]) -> None:
        """Show a line that was drawn earlier, and no other; the user stays put."""
        if self._image is None:
            return
        active = self._viewer.layers.selection.active
        layer = self._ensure(self._image)
        ends = convert.positions_on_layer(np.array(line), self._image, layer)
        self._remove(layer.nshapes)
        self._quiet = True
        try:
            layer.add_lines(ends)
        finally:
            self._quiet = False
        layer.selected_data = set()
        layer.mode = _LOOKING
        if active is not None and active in self._viewer.layers:
            self._viewer.layers.selection.active = active

    def remove(self) -> None:
        """Take the line off the viewer."""
        layer, self._layer = self._layer, None
        if layer is not None:
            layer.events.data.disconnect(self._on_data)
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _is_there(self) -> bool:
        return self._layer is not None and self._layer in self._viewer.layers

    def _ensure(self, image: Image) -> Shapes:
        """Return the layer, perhaps one that an earlier dock left."""
        if self._layer is None or not self._is_there():
            found = (
                one
                for one in self._viewer.layers
                if isinstance(one, Shapes)
                and one.metadata.get(OURS, {}).get(RULER_OF) == image.unique_id
            )
            layer = next(found, None)
            if layer is None:
                layer = self._make(image)
                self._viewer.add_layer(layer)
            layer.events.data.connect(self._on_data)
            self._layer = layer
        return self._layer

    def _make(self, image: Image) -> Shapes:
        longest = max(convert.image_size(image))
        return Shapes(
            ndim=2,
            name=RULER_NAME,
            edge_color=TOOL_COLOR,
            edge_width=max(TOOL_WIDTH * longest, 1),
            metadata={OURS: {RULER_OF: image.unique_id}},
            **{name: getattr(image, name) for name in TRANSFORM},
        )

    def _on_data(self, event: Any) -> None:
        # Not before the mouse is let go, nor now: napari is still busy with the line.
        if str(event.action) in _FINISHED and not self._quiet:
            self._main_thread.call(self._keep_newest)

    def _keep_newest(self) -> None:
        if self._layer is not None:
            self._remove(self._layer.nshapes - 1)
            self.drawn.emit()

    def _remove(self, number: int) -> None:
        """Remove the oldest lines."""
        if self._layer is not None and number > 0:
            self._quiet = True
            try:
                self._layer.selected_data = set()
                self._layer.remove(list(range(number)))
            finally:
                self._quiet = False
