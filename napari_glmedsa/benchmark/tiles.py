"""Small pictures of photographs with outlines and clicks, and sheets of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_glmedsa.overlay import draw_outlines

TRUTH, ANSWER, CLICK = "#ffffff", "#00e5ff", "#0072ff"
_PAPER, _INK = "#202020", "#e0e0e0"
_LINE, _DOT = 1.5, 3  # pixels of the tile: width of the thinner line, radius
_STRIP, _FONT = 18, 12


@dataclass(frozen=True, eq=False)
class Tile:
    """A small picture, (h, w, 3) uint8, and the line below it."""

    picture: NDArray[np.uint8]
    caption: str


def draw_tile(
    image: NDArray[np.uint8],
    outlines: Sequence[tuple[NDArray[np.bool_], str]],
    point_coords: NDArray[np.float64],
    *,
    side: int,
) -> NDArray[np.uint8]:
    """Return a photograph made small, with outlines and clicks on it.

    Parameters
    ----------
    image
        (H, W, 3) uint8.
    outlines
        Masks (H, W) with their colours, the lowest first.
    point_coords
        Clicks, (N, 2) as (x, y) in pixels of `image`.
    side
        Pixels of the picture's longer side.
    """
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = [(_shrunk(mask, size), colour) for mask, colour in outlines]
    picture = draw_outlines(_shrunk(image, size), small, width=_LINE)
    draw = ImageDraw.Draw(picture)
    for x, y in (point_coords + 0.5) * scale:
        box = (x - _DOT, y - _DOT, x + _DOT, y + _DOT)
        draw.ellipse(box, fill=CLICK, outline="#ffffff")
    return np.asarray(picture)


def draw_sheet(
    rows: Sequence[Sequence[Tile]], *, side: int, headings: Sequence[str] = ()
) -> Image.Image:
    """Lay tiles out in columns of `side` pixels, each with its caption below.

    `headings`, if any, stand above the columns.
    """
    heights = [max(tile.picture.shape[0] for tile in row) + _STRIP for row in rows]
    y = _STRIP if headings else 0
    sheet = Image.new("RGB", (side * max(map(len, rows)), y + sum(heights)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT)
    for column, heading in enumerate(headings):
        draw.text((column * side + 4, 2), heading, fill=_INK, font=font)
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            x = column * side
            indent = (side - tile.picture.shape[1]) // 2
            sheet.paste(Image.fromarray(tile.picture), (x + indent, y))
            below = y + height - _STRIP + 2
            draw.text((x + 4, below), tile.caption, fill=_INK, font=font)
        y += height
    return sheet


def _shrunk(pixels: NDArray, size: tuple[int, int]) -> NDArray:  # type: ignore[type-arg]
    return np.asarray(Image.fromarray(pixels).resize(size))
