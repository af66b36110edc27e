"""Between napari's layers and the core: (row, col) to (x, y), layer data to image."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np
from napari.layers import Image, Layer, Points
from numpy.typing import NDArray

from napari_glmedsa.errors import ImageFormatError
from napari_glmedsa.inference.prompts import Prompts, inside_image
from napari_glmedsa.ui.styles import BACKGROUND

CLICK_FEATURE = "label"
"""The clicks layer's feature that tells what each click says."""


def image_array(layer: Layer) -> Any:
    """Return the pixels of an image layer at full resolution, still lazy if they are.

    Display settings (contrast limits, gamma, colormap) play no part.

    Parameters
    ----------
    layer : Layer
        What the user chose.

    Returns
    -------
    array-like, shape (H, W) or (H, W, 3 or 4)
        Level 0 of a multiscale image.

    Raises
    ------
    ImageFormatError
        If the layer is not an image layer, or not of a single 2-D image.
    """
    # An image layer that napari hands to a plugin is wrapped in a proxy, which
    # isinstance sees through and type() does not.
    if not isinstance(layer, Image):
        kind = type(getattr(layer, "__wrapped__", layer)).__name__
        msg = f"“{layer.name}” is a {kind} layer: choose an Image layer to segment."
        raise ImageFormatError(msg)
    if layer.ndim != 2:
        msg = (
            f"“{layer.name}” is a stack with {layer.ndim} dimensions: only 2-D images "
            "can be segmented, so extract one of its slices first."
        )
        raise ImageFormatError(msg)
    return layer.data[0] if layer.multiscale else layer.data


def image_size(layer: Image) -> tuple[int, int]:
    """Return (H, W) of a 2-D image layer at full resolution."""
    height, width = (layer.data[0] if layer.multiscale else layer.data).shape[:2]
    return int(height), int(width)


def points_in_image(points: Points, image: Image) -> NDArray[np.float64]:
    """Return where the clicks are on the image.

    Both layers may be scaled, moved and rotated, each in its own way: what counts is
    where the user sees the click.

    Parameters
    ----------
    points : Points
        The clicks, (row, col) in the data coordinates of their own layer.
    image : Image
        The photograph.

    Returns
    -------
    (N, 2) float64
        (x, y) in pixels of the image; the centre of the top left pixel is (0, 0).
    """
    return positions_on_image(np.asarray(points.data), points, image)


def point_labels(points: Points) -> NDArray[np.int64]:
    """Return (N,) int64: 1 where the click says lesion, 0 where background."""
    said = points.features[CLICK_FEATURE].to_numpy(dtype=object)
    return np.array([word != BACKGROUND for word in said], dtype=np.int64)


def prompts_from_points(points: Points, image: Image) -> Prompts:
    """Return the clicks as the model wants them.

    Parameters
    ----------
    points : Points
        With a feature `CLICK_FEATURE`; clicks off the image are left out.
    image : Image
        The photograph they are on.

    Returns
    -------
    Prompts
        (x, y) in pixels of the image, 1 = lesion, 0 = background.
    """
    xy = points_in_image(points, image)
    inside = inside_image(xy, image_size(image))
    return Prompts(xy[inside], point_labels(points)[inside])


def positions_on_layer(
    points: NDArray[np.float64], image: Image, layer: Layer
) -> NDArray[np.float64]:
    """Return where points of the image are on another layer that lies over it.

    Parameters
    ----------
    points : (N, 2) float64
        (x, y) in pixels of the image.
    image : Image
        The photograph.
    layer : Layer
        Of two dimensions.

    Returns
    -------
    (N, 2) float64
        (row, col) in the data coordinates of the layer.
    """
    if not len(points):
        return np.empty((0, 2))
    there = [layer.world_to_data(image.data_to_world(xy[::-1])) for xy in points]
    return np.asarray(there, dtype=np.float64)[:, -2:]


def positions_on_image(
    positions: NDArray[np.float64], layer: Layer, image: Image
) -> NDArray[np.float64]:
    """Return (N, 2) float64 (x, y) on the image: what `positions_on_layer` undoes."""
    if not len(positions):
        return np.empty((0, 2))
    seen = [image.world_to_data(layer.data_to_world(one)) for one in positions]
    return np.asarray(seen, dtype=np.float64)[:, -2:][:, ::-1]


def fingerprint(prompts: Prompts) -> tuple[bytes, ...]:
    """Return what is equal for equal prompts."""
    parts = (prompts.point_coords, prompts.point_labels, prompts.box)
    known = tuple(b"" if part is None else part.tobytes() for part in parts)
    mask = prompts.mask_input
    return (*known, b"" if mask is None else sha256(mask.tobytes()).digest())
