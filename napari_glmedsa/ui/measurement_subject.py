"""What the dock "Measure" is at: a photograph and the outlines on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import napari.viewer
from napari.layers import Image, Labels, Layer
from psygnal import Signal

from napari_glmedsa.ui import convert
from napari_glmedsa.ui.companion import OURS

RULER_OF = "ruler_of"
"""Entry in the metadata of a ruler's layer: the image that it lies on."""

_OF_MASK = ("set_data", "labels_update", "paint")  # brush, fill, undo, other docks
_OF_IMAGE = ("data", "scale", "units")


@dataclass(frozen=True, eq=False)
class Subject:
    """A photograph and the label map on it.

    Attributes
    ----------
    image : Image
        The photograph.
    mask : Labels or None
        Its outlines, if there are any yet.
    """

    image: Image
    mask: Labels | None

    @property
    def key(self) -> tuple[object, ...]:
        """What is equal for the same layers."""
        own = None if self.mask is None else self.mask.unique_id
        return self.image.unique_id, own


class SubjectWatch:
    """Finds the photograph that the user is at, and says when it looks different.

    The user is at the image, or at what lies on it: the clicks and the mask of the
    Segment dock, a ruler, another Labels layer of the same size.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers live.
    """

    moved = Signal()
    """The user may be at another photograph; `find` tells."""
    repainted = Signal()
    """The mask or the photograph of the subject is another now, or its scale is."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.subject: Subject | None = None
        self._viewer = viewer
        for event in self._viewer_events():
            event.connect(self._on_moved)

    def find(self) -> bool:
        """Look where the user is; return whether that is somewhere else."""
        found = self._found()
        before = self.subject
        if (found and found.key) == (before and before.key):
            return False
        if before is not None:
            self._listen(before, listen=False)
        self.subject = found
        if found is not None:
            self._listen(found, listen=True)
        return True

    def close(self) -> None:
        """Stop listening."""
        for event in self._viewer_events():
            event.disconnect(self._on_moved)
        if self.subject is not None:
            self._listen(self.subject, listen=False)
            self.subject = None

    def _found(self) -> Subject | None:
        layers = list(self._viewer.layers)
        active = self._viewer.layers.selection.active
        image = self._image_under(active, layers)
        if isinstance(active, Labels) and image is not None:
            return Subject(image, active)
        before = self.subject
        if before is not None and image is None:
            image = _with_id(layers, before.image.unique_id)
        if image is None:
            marked = [one for one in layers[::-1] if _image_id(one) and one.visible]
            images = (_with_id(layers, _image_id(one)) for one in marked)
            seen = [one for one in layers[::-1] if isinstance(one, Image)]
            image = next((one for one in (*images, *seen) if one is not None), None)
        if image is None or image.ndim != 2:
            return None
        kept = before.mask if before is not None else None
        if before is not None and before.image.unique_id != image.unique_id:
            kept = None
        if kept is None or kept not in layers:
            kept = _mask_of(image, layers)
        return Subject(image, kept)

    def _image_under(self, active: Layer | None, layers: list[Layer]) -> Image | None:
        """Return the image that a layer is, or lies on."""
        if isinstance(active, Image):
            return active
        if active is None:
            return None
        if (own := _image_id(active)) is not None:
            return _with_id(layers, own)
        if not isinstance(active, Labels):
            return None
        images = [one for one in layers[::-1] if _is_photograph(one)]
        fitting = [one for one in images if _fits(active, one)]
        candidates = fitting or images  # a wrong size is said, not passed over
        return next((one for one in candidates if one.visible), None)

    def _listen(self, subject: Subject, *, listen: bool) -> None:
        heard = [getattr(subject.image.events, name) for name in _OF_IMAGE]
        if subject.mask is not None:
            heard += [getattr(subject.mask.events, name) for name in _OF_MASK]
        for event in heard:
            (event.connect if listen else event.disconnect)(self._on_repainted)

    def _viewer_events(self) -> tuple[Any, ...]:
        layers = self._viewer.layers
        return (
            layers.selection.events.active,
            layers.events.inserted,
            layers.events.removed,
        )

    def _on_moved(self, event: Any) -> None:
        self.moved.emit()

    def _on_repainted(self, event: Any) -> None:
        self.repainted.emit()


def _mask_of(image: Image, layers: list[Layer]) -> Labels | None:
    """Return the Segment dock's mask of an image, or else the topmost that fits."""
    masks = [one for one in layers[::-1] if isinstance(one, Labels)]
    own = [one for one in masks if _image_id(one) == image.unique_id]
    free = [one for one in masks if _image_id(one) is None and _fits(one, image)]
    return next(iter(own + free), None)


def _image_id(layer: Layer) -> Any:
    marks = layer.metadata.get(OURS, {})
    return marks.get("image") or marks.get(RULER_OF)


def _with_id(layers: list[Layer], unique_id: Any) -> Image | None:
    images: Iterator[Image] = (one for one in layers if isinstance(one, Image))
    return next((one for one in images if one.unique_id == unique_id), None)


def _is_photograph(layer: Layer) -> bool:
    return isinstance(layer, Image) and layer.ndim == 2


def _fits(mask: Labels, image: Layer) -> bool:
    return (
        mask.ndim == 2
        and isinstance(image, Image)
        and convert.image_size(mask) == convert.image_size(image)
    )
