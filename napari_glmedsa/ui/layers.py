"""The layers of one photograph: the image, the prompts on it, the mask."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer
from numpy.typing import NDArray

from napari_glmedsa.inference.prompts import Prompts
from napari_glmedsa.jobs import Job
from napari_glmedsa.project import Provenance
from napari_glmedsa.ui import convert
from napari_glmedsa.ui.boxes import Box
from napari_glmedsa.ui.clicks import ClicksLayer
from napari_glmedsa.ui.companion import TRANSFORM
from napari_glmedsa.ui.mask import MaskLayer
from napari_glmedsa.ui.strokes import StrokesLayer
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
    """An image layer of the user's, and the prompts and mask that we keep with it.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers live.
    image : Layer
        What the user chose.

    Attributes
    ----------
    mask_input : (h, w) float32 or None
        The prompt that no layer shows: logits of an earlier mask or of a lasso.
    choice : int
        Which of the model's candidates is shown; 0 is its best.

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
        self.strokes = StrokesLayer(viewer, image, below=self.clicks)
        self.mask = MaskLayer(viewer, image, below=self.clicks)
        self.mask_input: NDArray[np.float32] | None = None
        self.choice = 0
        self._viewer = viewer
        self._shown: tuple[object, ...] = ()
        self._retired = False
        for name in TRANSFORM:
            getattr(image.events, name).connect(self._on_image_moved)

    @property
    def in_viewer(self) -> bool:
        """Whether the image is still there, and these are its layers."""
        return not self._retired and self.image in self._viewer.layers

    @property
    def companions(self) -> tuple[Layer, ...]:
        """Our layers of the image, those that there are."""
        ours = (self.clicks.layer, self.strokes.layer, self.mask.layer)
        return tuple(layer for layer in ours if layer is not None)

    def prompts(self) -> Prompts:
        """Return the clicks, the box and the earlier mask as the model wants them."""
        clicks, box = self.clicks.prompts(), self.strokes.box
        if box is None and self.mask_input is None:
            return clicks
        return replace(clicks, box=box, mask_input=self.mask_input)

    def show_prompts(self, prompts: Prompts) -> None:
        """Show these prompts and no others; no layer says that it changed."""
        self.clicks.show(prompts.point_coords, prompts.point_labels)
        self.strokes.show_box(prompts.box)
        self.mask_input = prompts.mask_input

    def show(self, prediction: MaskPrediction) -> Box | None:
        """Draw a prediction as the current object.

        One that is drawn already is not drawn again: who comes back to an image finds
        what was painted there by hand.

        Returns
        -------
        (rows, columns) or None
            Where pixels changed; None if it was not drawn.
        """
        content = self._content(prediction.embedding_key, prediction.prompts)
        if content == self._shown:
            return None
        self._shown = content
        return self.mask.draw(prediction.mask, prediction.box)

    def count_as_shown(self, prediction: MaskPrediction) -> None:
        """Leave the mask as it is, even if the answer comes again."""
        self._shown = self._content(prediction.embedding_key, prediction.prompts)

    def clear(self) -> None:
        """Remove the current object and its prompts."""
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
        self.show_prompts(Prompts.empty())
        self.mask.give_up()

    def _start_object(self) -> None:
        self.show_prompts(Prompts.empty())
        self.choice = 0
        self.clicks.next_label = LESION

    def _content(self, embedding_key: str, prompts: Prompts) -> tuple[object, ...]:
        layer = self.mask.ensure().unique_id
        prints = convert.fingerprint(prompts)
        return embedding_key, prints, layer, self.mask.object_id

    def _overlaps(self, layer: Layer) -> bool:
        (low, high), (other_low, other_high) = (
            one.extent.world[:, -2:] for one in (self.image, layer)
        )
        return bool((low <= other_high).all() and (other_low <= high).all())

    def _set_visible(self, *, visible: bool) -> None:
        for layer in (self.image, *self.companions):
            # napari would take the tool out of the hand of a layer that it shows again.
            if layer.visible is not visible:
                layer.visible = visible

    def _on_image_moved(self, event: object) -> None:
        self.clicks.follow_image()
        self.strokes.follow_image()
        self.mask.follow_image()
