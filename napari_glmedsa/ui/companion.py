"""A layer that we keep beside the user's image layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from napari.components import ViewerModel
from napari.layers import Image, Layer

OURS = "napari_glmedsa"
"""Our entry in a layer's ``metadata``: what must survive a closed dock."""

TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units")

L = TypeVar("L", bound=Layer)


class CompanionLayer(ABC, Generic[L]):
    """Keeps one stock layer that belongs to an image, and lies exactly over it.

    The layer is held by object, so the user may rename it. If the user deletes it, a
    new one is made when needed. A layer that an earlier dock left is taken up again.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers live.
    image : Image
        The image it belongs to.
    below : CompanionLayer, optional
        A layer that must not be covered by this one.
    """

    kind: type[L]

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        below: CompanionLayer[Any] | None = None,
    ) -> None:
        self._viewer = viewer
        self._image = image
        self._below = below
        self._layer: L | None = None

    @property
    def layer(self) -> L | None:
        """The layer, if the viewer has it."""
        here = self._layer is not None and self._layer in self._viewer.layers
        return self._layer if here else None

    @property
    def is_selected(self) -> bool:
        """Whether the user is at this layer."""
        # By value: napari may give the layer in a wrapper.
        layer = self.layer
        return layer is not None and self._viewer.layers.selection.active == layer

    def ensure(self) -> L:
        """Return the layer, made anew if the viewer does not have it."""
        layer = self.layer or self._left_by_an_earlier_dock()
        if layer is not None and not self._is_usable(layer):
            self._give_up(layer)
            layer = None
        if layer is None:
            layer = self._make()
            self._add_quietly(layer)
        if layer is not self._layer:
            self._layer = layer
            self._connect(layer)
        return layer

    def follow_image(self) -> None:
        """Take over where the image is in the world."""
        if self.layer is not None:
            for name, value in self._transform().items():
                setattr(self.layer, name, value)

    @abstractmethod
    def _make(self) -> L:
        """Return a new layer, not yet in the viewer."""

    def _connect(self, layer: L) -> None:
        """Listen to a layer that is new to us."""

    def _is_usable(self, layer: L) -> bool:
        """Tell whether the user left the layer in a state that we can work with."""
        return True

    def _give_up(self, layer: L) -> None:
        """Leave a layer to the user that we cannot work with any more."""
        layer.metadata[OURS]["image"] = None

    def _left_by_an_earlier_dock(self) -> L | None:
        for layer in self._viewer.layers:
            if isinstance(layer, self.kind):
                image_id = layer.metadata.get(OURS, {}).get("image")
                if image_id == self._image.unique_id:
                    return layer
        return None

    def _metadata(self, **ours: Any) -> dict[str, Any]:
        return {OURS: {"image": self._image.unique_id, **ours}}

    def _transform(self) -> dict[str, Any]:
        return {name: getattr(self._image, name) for name in TRANSFORM}

    def _add_quietly(self, layer: L) -> None:
        """Add the layer without taking the selection away from what the user is at."""
        layers = self._viewer.layers
        before = layers.selection.active
        above = self._below.layer if self._below is not None else None
        layers.insert(len(layers) if above is None else layers.index(above), layer)
        if before is not None:
            layers.selection.active = before
