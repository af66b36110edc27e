"""The three layers of one photograph: the image, the clicks on it, the mask."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_glmedsa.jobs import Job
from napari_glmedsa.project import Provenance
from napari_glmedsa.ui import convert
from napari_glmedsa.ui.clicks import ClicksLayer
from napari_glmedsa.ui.companion import TRANSFORM
from napari_glmedsa.ui.mask import MaskLayer
from napari_glmedsa.ui.styles import LESION

if TYPE_CHECKING:
    from napari_glmedsa.inference import MaskPrediction


def import_what_layers_need(_: Job) -> None:
    """Import what napari imports at a session's first Points and Labels layers.

    It takes a second in which the window would stand still: not so in the worker.
    """
    import pandas  # type: ignore[import-untyped]  # noqa: F401
    import scipy.ndimage  # noqa: F401
    import skimage.color.colorconv  # noqa: F401


class LayerTrio:
    """An image layer of the user's, and the clicks and mask that we keep with it.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers live.
    image : Layer
        What the user chose.

    Raises
    ------
    ImageFormatError
        If the layer is not a 2-D image.
    """

    def __init__(self, viewer: ViewerModel, image: Layer) -> None:
        self.pixels = convert.image_array(image)
        self.image: Image = image
        self.n_pixels = math.prod(convert.image_size(image))
        self.clicks = ClicksLayer(viewer, image)
        self.mask = MaskLayer(viewer, image, below=self.clicks)
        self._viewer = viewer
        self._shown: tuple[object, ...] = ()
        self._retired = False
        for name in TRANSFORM:
            getattr(image.events, name).connect(self._on_image_moved)

    @property
    def in_viewer(self) -> bool:
        """Whether the image is still there, and these are its layers."""
        return not self._retired and self.image in self._viewer.layers

    def show(self, prediction: MaskPrediction) -> None:
        """Draw a prediction as the current object.

        One that is drawn already is not drawn again: who comes back to an image finds
        what was painted there by hand.
        """
        content = (
            prediction.embedding_key,
            convert.fingerprint(prediction.prompts),
            self.mask.ensure().unique_id,
            self.mask.object_id,
        )
        if content != self._shown:
            self.mask.draw(prediction.mask)
            self._shown = content

    def clear(self) -> None:
        """Remove the current object and its clicks."""
        self._shown = ()
        self.mask.clear_object()
        self._start_object()

    def accept(self, provenance: Provenance | None = None) -> int:
        """Keep the current object and start the next one, without clicks.

        Parameters
        ----------
        provenance : Provenance, optional
            Where it came from.

        Returns
        -------
        int
            Label of the object that was kept.
        """
        # The mask goes first: without clicks, the current object is cleared.
        accepted = self.mask.accept_object(provenance)
        self._start_object()
        return accepted

    def replace(self, previous: LayerTrio) -> None:
        """Show this image where the other one was shown, instead of it."""
        layers = self._viewer.layers
        if previous.image in layers and self._overlaps(previous.image):
            previous._set_visible(visible=False)
        self._set_visible(visible=True)
        for layer in layers[layers.index(self.image) + 1 :]:
            if isinstance(layer, Image) and self._overlaps(layer):
                layer.visible = False

    def retire(self) -> None:
        """Let go of clicks and mask: the image layer holds another photograph now."""
        self._retired = True
        for name in TRANSFORM:
            getattr(self.image.events, name).disconnect(self._on_image_moved)
        self._shown = ()
        self.mask.clear_object()
        self.clicks.remove_all()
        self.mask.give_up()

    def _start_object(self) -> None:
        self.clicks.remove_all()
        self.clicks.next_label = LESION

    def _overlaps(self, layer: Layer) -> bool:
        (low, high), (other_low, other_high) = (
            one.extent.world[:, -2:] for one in (self.image, layer)
        )
        return bool((low <= other_high).all() and (other_low <= high).all())

    def _set_visible(self, *, visible: bool) -> None:
        for layer in (self.image, self.clicks.layer, self.mask.layer):
            if layer is not None:
                layer.visible = visible

    def _on_image_moved(self, event: object) -> None:
        self.clicks.follow_image()
        self.mask.follow_image()
