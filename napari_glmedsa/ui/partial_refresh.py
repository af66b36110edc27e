"""A part of a Labels layer brought to the screen, as fast as it can be."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_glmedsa.ui.boxes import Box, everywhere, grown, relative

_SHOWN_AS_IT_IS = (np.uint8, np.uint16)
_THUMBNAIL = 32  # pixels


def refresh_part(layer: Labels, box: Box) -> None:
    """Show what was written into ``layer.data`` without telling napari.

    ``layer.refresh`` sends all pixels to the screen and computes all outlines anew:
    a click would wait for it. This says what napari's brush says, for the box alone.
    Where that is not possible the whole layer is refreshed.

    Parameters
    ----------
    layer : Labels
        Of a 2-D image; its data are a NumPy array.
    box : (rows, columns)
        Outside of it nothing changed.
    """
    say = getattr(layer.events, "labels_update", None)
    if say is None or not layer.visible or layer.data.dtype not in _SHOWN_AS_IT_IS:
        layer.refresh(extent=False)
        return
    image = everywhere(layer.data)
    thickness = int(layer.contour)
    seen = grown(box, thickness, within=image)
    pixels = layer.data[seen]
    if thickness:
        around = grown(seen, thickness, within=image)
        background = layer.colormap.background_value
        pixels = outlines(layer.data[around], thickness, background=background)
        pixels = pixels[relative(seen, to=around)]
    say(data=np.ascontiguousarray(pixels), offset=[one.start for one in seen])
    _refresh_thumbnail(layer)


def outlines(
    labels: NDArray[Any], thickness: int, *, background: int = 0
) -> NDArray[Any]:
    """Return what napari shows of labels whose ``contour`` is `thickness`.

    Parameters
    ----------
    labels : (H, W) unsigned integers
        A label map.
    thickness : int
        Pixels inside of an edge that are seen, at least 1; outside it is always one.
    background : int
        What stands for all the others.

    Returns
    -------
    (H, W) of the same type
    """
    # The least label of a diamond round each pixel. Diamonds of radius m whose centres
    # are the tips of one of radius n <= m make up one of radius m + n.
    least = np.pad(labels, thickness, constant_values=np.iinfo(labels.dtype).max)
    radius = 0
    while radius < thickness:
        step = max(1, min(radius, thickness - radius))
        least = _over_cross(np.minimum, least, step)
        radius += step
    least = least[thickness:-thickness, thickness:-thickness]
    shown = labels.copy()
    shown[_over_cross(np.maximum, labels, 1) == least] = background
    return shown


def _over_cross(extreme: np.ufunc, values: NDArray[Any], arm: int) -> NDArray[Any]:
    """Return the extreme of each pixel and the four that are `arm` away."""
    result = values.copy()
    for to, of in (
        (result[arm:], values[:-arm]),
        (result[:-arm], values[arm:]),
        (result[:, arm:], values[:, :-arm]),
        (result[:, :-arm], values[:, arm:]),
    ):
        extreme(to, of, out=to)
    return result


def _refresh_thumbnail(layer: Labels) -> None:
    step = -(-max(layer.data.shape) // _THUMBNAIL)
    colors = layer.colormap.map(layer.data[::step, ::step])
    colors[..., 3] *= layer.opacity
    layer.thumbnail = colors
