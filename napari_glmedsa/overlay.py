"""The picture a person checks: the image with outline, clicks and box on it."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw
from skimage.measure import find_contours

# Cyan is the complement of skin; orange and blue stay apart for colour-blind eyes.
OUTLINE = (0, 229, 255)
LESION_CLICK = (0, 114, 255)
BACKGROUND_CLICK = (255, 120, 0)
BOX = (255, 255, 255)
CASING = (10, 10, 10)

_LINES_ACROSS = 300  # the outline is 1/300 of the image's longer side wide
_CONTOUR_SIDE = 4096  # finer contours could not be told apart under the line
_SMOOTH_SIDE = 2000  # images below are drawn enlarged, then reduced: no stairs
_SMOOTH_FACTOR = 4

_Colour = tuple[int, ...]


def draw_overlay(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    point_coords: NDArray[np.float64],
    point_labels: NDArray[np.int64],
    box: NDArray[np.float64] | None,
) -> Image.Image:
    """Draw the mask's outline, the clicks and the box on the image.

    Line widths follow the image's size, so that the picture looks the same on a
    screen whether it has half a megapixel or twenty-four.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mask : ndarray of bool, shape (H, W)
        True on the lesion.
    point_coords : ndarray of float64, shape (N, 2)
        Clicks as (x, y) in pixels of `image`; (0, 0) is the first pixel's centre.
    point_labels : ndarray of int64, shape (N,)
        1 for lesion (drawn with a plus), 0 for background (drawn with a minus).
    box : ndarray of float64, shape (4,), or None
        x0, y0, x1, y1 in the same frame.

    Returns
    -------
    PIL.Image.Image
        RGB, of the image's size.
    """
    canvas = Image.fromarray(image)
    longer_side = max(canvas.size)
    factor = _SMOOTH_FACTOR if longer_side < _SMOOTH_SIDE else 1
    width = max(2.0, longer_side / _LINES_ACROSS) * factor
    contours = [(line + 0.5) * factor for line in _outlines(mask)]
    clicks = (point_coords + 0.5) * factor
    frame = None if box is None else (box + 0.5) * factor

    if factor == 1:
        _draw(ImageDraw.Draw(canvas), width, contours, frame, clicks, point_labels)
        return canvas
    layer = Image.new("RGBA", (canvas.width * factor, canvas.height * factor))
    _draw(ImageDraw.Draw(layer), width, contours, frame, clicks, point_labels)
    layer = layer.reduce(factor)
    canvas.paste(layer, mask=layer)
    return canvas


def draw_outlines(
    image: NDArray[np.uint8],
    outlines: Sequence[tuple[NDArray[np.bool_], str]],
    *,
    width: float,
) -> Image.Image:
    """Draw several masks' outlines on one image, each seen where they coincide.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    outlines : sequence of (mask, colour)
        Masks of shape (H, W), bool, and what `PIL.ImageColor` understands; the first
        gets the widest line and lies lowest.
    width : float
        Of the thinnest line, in pixels of `image`.

    Returns
    -------
    PIL.Image.Image
        RGB, of the image's size.
    """
    factor = _SMOOTH_FACTOR if max(image.shape) < _SMOOTH_SIDE else 1
    height, length = image.shape[:2]
    layer = Image.new("RGBA", (length * factor, height * factor))
    draw = ImageDraw.Draw(layer)
    for index, (mask, colour) in enumerate(outlines):
        line_width = width * factor * (1 + 0.9 * (len(outlines) - 1 - index))
        for contour in _outlines(mask):
            _line(draw, (contour + 0.5) * factor, ImageColor.getrgb(colour), line_width)
    layer = layer.reduce(factor)
    canvas = Image.fromarray(image)
    canvas.paste(layer, mask=layer)
    return canvas


def _outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return closed (x, y) lines around the regions of a mask."""
    step = ceil(max(mask.shape) / _CONTOUR_SIDE)
    # A frame of background closes the outline of a region that touches the edge.
    framed = np.pad(mask[::step, ::step], 1)
    return [(line[:, ::-1] - 1.0) * step for line in find_contours(framed, 0.5)]


def _draw(
    draw: ImageDraw.ImageDraw,
    width: float,
    contours: list[NDArray[np.float64]],
    box: NDArray[np.float64] | None,
    clicks: NDArray[np.float64],
    labels: NDArray[np.int64],
) -> None:
    # Each line has a dark casing, so that it is seen on light and on dark skin.
    for colour, line_width in ((CASING, 2.0 * width), (OUTLINE, width)):
        for contour in contours:
            _line(draw, contour, colour, line_width)
    if box is not None:
        x0, y0, x1, y1 = box
        corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
        for colour, line_width in ((CASING, 1.6 * width), (BOX, 0.8 * width)):
            _line(draw, corners, colour, line_width)
    for click, label in zip(clicks, labels, strict=True):
        _marker(draw, click, label == 1, radius=5 * width)


def _line(
    draw: ImageDraw.ImageDraw,
    line: NDArray[np.float64],
    colour: _Colour,
    width: float,
) -> None:
    points = [(float(x), float(y)) for x, y in line]
    draw.line(points, fill=colour, width=max(1, round(width)), joint="curve")


def _marker(
    draw: ImageDraw.ImageDraw,
    centre: NDArray[np.float64],
    is_lesion: bool,
    *,
    radius: float,
) -> None:
    x, y = (float(value) for value in centre)
    fill = LESION_CLICK if is_lesion else BACKGROUND_CLICK
    draw.circle((x, y), radius * 1.3, fill=CASING)
    draw.circle((x, y), radius * 1.15, fill=(255, 255, 255))
    draw.circle((x, y), radius * 0.9, fill=fill)
    arm, width = radius * 0.5, max(1, round(radius * 0.25))
    draw.line([(x - arm, y), (x + arm, y)], fill=(255, 255, 255), width=width)
    if is_lesion:
        draw.line([(x, y - arm), (x, y + arm)], fill=(255, 255, 255), width=width)
