"""The image that the dock is at, and the layers that belong to it."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any

import napari.viewer
from magicgui.widgets import ComboBox
from napari.layers import Image, Layer
from psygnal import Signal

from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.ui.canvas_guard import guard_canvas
from napari_glmedsa.ui.layers import LayerTrio
from napari_glmedsa.ui.main_thread import MainThread


class FollowedImage:
    """Follows the picker, and what happens to the picked layer.

    The picker says it, and one event later we follow. At once would be too early:
    napari may be in the middle of removing one layer after another.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers live.
    picker : ComboBox
        Of image layers.
    main_thread : MainThread
        For what is done one event later.
    """

    left = Signal()
    """The image or its photograph is to be forgotten; `trio` still is the old one."""
    entered = Signal(LayerTrio)
    """Another image: its layers are being made."""
    started = Signal(LayerTrio)
    """Its layers are there."""
    changed = Signal()
    """All is done about another image, or there is none now."""
    layer_removed = Signal()
    """Some layer, perhaps the clicks or the mask of the image."""
    failed = Signal(Exception)
    """The picked image is none to segment."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        picker: ComboBox,
        main_thread: MainThread,
    ) -> None:
        self.trio: LayerTrio | None = None
        self._viewer, self._picker, self._main_thread = viewer, picker, main_thread
        self._image: Image | None = None
        self._trios: dict[Hashable, LayerTrio] = {}
        picker.changed.connect(self.follow_later)
        viewer.layers.events.removed.connect(self._on_layer_removed)

    def follow_later(self, *_: object) -> None:
        """Look at the picker, one event from now."""
        self._main_thread.call(self._follow)

    def close(self) -> None:
        """Leave the image for good."""
        self._leave()
        for trio in list(self._trios.values()):
            self._forget(trio.image)
        self._viewer.layers.events.removed.disconnect(self._on_layer_removed)

    def _follow(self) -> None:
        picked: Image | None = self._picker.value
        if picked is not None and picked not in self._viewer.layers:
            picked = None
        if picked is not self._image:
            self._take(picked)

    def _take(self, image: Image | None) -> None:
        previous = self.trio
        self._leave()
        self._image = image
        if image is not None:
            try:
                self.trio = self._trio_of(image)
            except GLMedSAError as error:
                self.failed.emit(error)
            else:
                self._enter(self.trio, previous)
        self.changed.emit()

    def _trio_of(self, image: Image) -> LayerTrio:
        trio = self._trios.get(image.unique_id)
        if trio is None:
            trio = self._trios[image.unique_id] = LayerTrio(self._viewer, image)
            image.events.data.connect(self._on_image_data)
        return trio

    def _forget(self, image: Layer) -> LayerTrio | None:
        trio = self._trios.pop(image.unique_id, None)
        if trio is not None:
            trio.image.events.data.disconnect(self._on_image_data)
        return trio

    def _leave(self) -> None:
        self.left.emit()
        self.trio = None

    def _enter(self, trio: LayerTrio, previous: LayerTrio | None) -> None:
        guard_canvas(self._viewer, self._picker.native)
        self.entered.emit(trio)
        trio.clicks.activate()
        if previous is not None:
            trio.replace(previous)
        # napari takes its time for each new layer: one by one, the window stays alive.
        self._main_thread.call(partial(self._start, trio))

    def _start(self, trio: LayerTrio) -> None:
        if trio is self.trio and trio.in_viewer:
            trio.mask.ensure()
            self.started.emit(trio)

    def _on_image_data(self, event: Any) -> None:
        """Start anew: the layer holds another photograph, be it looked at or not."""
        trio = self._forget(event.source)
        if trio is None:
            return
        followed = trio is self.trio
        if followed:
            self._leave()  # first, because it saves what was accepted
        trio.retire()
        if followed:
            self._take(trio.image)

    def _on_layer_removed(self, event: Any) -> None:
        self._forget(event.value)
        self.follow_later()
        self._main_thread.call(self.layer_removed.emit)
