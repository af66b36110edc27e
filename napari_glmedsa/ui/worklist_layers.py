"""The photograph of the worklist in the viewer: one at a time, followed by Segment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import napari.viewer
import numpy as np
from napari.layers import Image, Labels, Layer, Points
from numpy.typing import NDArray

from napari_glmedsa.ui.companion import OURS
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.ui.segment_widget import SegmentWidget
from napari_glmedsa.worklist import Entry


class PhotographLayers:
    """Shows one photograph after the other, each in an image layer of its own.

    The layer's metadata say which photograph of which project it is. When the next one
    is shown, the layers of the one before leave the viewer; if an object is being
    made on it, they stay, hidden, so that nothing is lost.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers live.
    main_thread : MainThread
        For what is done one event later.
    """

    def __init__(self, viewer: napari.viewer.Viewer, main_thread: MainThread) -> None:
        self._viewer, self._main_thread = viewer, main_thread

    @property
    def segment(self) -> SegmentWidget | None:
        """The Segment dock, if it is open."""
        docks = self._viewer.window.dock_widgets.values()
        return next((one for one in docks if isinstance(one, SegmentWidget)), None)

    def find(self, project: Path, entry: Entry) -> Image | None:
        """Return the layer that shows a photograph already."""
        for layer in self._ours():
            marks = layer.metadata[OURS]
            if marks["project"] == str(project) and (
                marks["path"] == str(entry.path)
                or (entry.image_id and marks["image_id"] == entry.image_id)
            ):
                return layer
        return None

    def show(
        self, project: Path, entry: Entry, pixels: NDArray[np.uint8] | None = None
    ) -> Image:
        """Show a photograph in place of the one before.

        Parameters
        ----------
        project : Path
            Folder of the project that it belongs to.
        entry : Entry
            With its image id.
        pixels : ndarray of uint8, shape (H, W, 3), optional
            RGB; not needed if a layer shows it already.
        """
        before = list(self._ours())
        layer = self.find(project, entry)
        if layer is None:
            marks = {
                "image_id": entry.image_id,
                "project": str(project),
                "path": str(entry.path),
            }
            layer = Image(
                pixels, rgb=True, name=entry.path.name, metadata={OURS: marks}
            )
            if entry.name != entry.path.name:
                layer.name = Path(entry.name).name
            self._viewer.add_layer(layer)
        layer.visible = True
        self._viewer.layers.selection.active = layer
        segment = self.segment
        if segment is not None:
            segment.form.image.value = layer
        others = [other for other in before if other is not layer]
        # The Segment dock changes over one event later, and saves before it does.
        self._main_thread.call(lambda: self._main_thread.call(self._leaving(others)))
        self._viewer.reset_view()
        return layer

    def use_project(self, project: Path) -> None:
        """Have accepted masks saved into a project from now on, if Segment is open."""
        segment = self.segment
        if segment is not None:
            segment.form.project.opened.emit(project)

    def encode_ahead(self, images: Iterable[Any]) -> None:
        """Have photographs encoded that will be looked at next, if Segment is open."""
        segment = self.segment
        if segment is not None:
            segment.session.encode_ahead(images)

    def _ours(self) -> Iterator[Image]:
        for layer in self._viewer.layers:
            if isinstance(layer, Image) and "project" in layer.metadata.get(OURS, {}):
                yield layer

    def _leaving(self, images: list[Image]) -> Callable[[], None]:
        def leave() -> None:
            for image in images:
                if image in self._viewer.layers:
                    self._leave(image)

        return leave

    def _leave(self, image: Image) -> None:
        companions = [
            layer
            for layer in self._viewer.layers
            if layer.metadata.get(OURS, {}).get("image") == image.unique_id
        ]
        for layer in (image, *companions):
            layer.visible = False
        if not any(map(_is_unfinished, companions)):
            for layer in (*companions, image):
                self._viewer.layers.remove(layer)


def _is_unfinished(layer: Layer) -> bool:
    """Say whether a layer of clicks or masks holds what was not accepted."""
    if isinstance(layer, Points):
        return len(layer.data) > 0
    if isinstance(layer, Labels):
        current = layer.metadata[OURS].get("object")
        return current is not None and bool((np.asarray(layer.data) == current).any())
    return False
