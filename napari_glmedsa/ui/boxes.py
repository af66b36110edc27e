"""Rectangles of pixels, as slices of rows and of columns."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Box = tuple[slice, slice]
"""Rows and columns, with a start and a stop; where nothing is, both are empty."""

NOWHERE: Box = slice(0, 0), slice(0, 0)


def everywhere(image: NDArray[Any]) -> Box:
    """Return the box of all pixels of an array (H, W)."""
    height, width = image.shape
    return slice(0, height), slice(0, width)


def union(box: Box, other: Box) -> Box:
    """Return the smallest box with both in it."""
    if _is_empty(box) or _is_empty(other):
        return box if _is_empty(other) else other
    rows, columns = (
        slice(min(one.start, two.start), max(one.stop, two.stop))
        for one, two in zip(box, other, strict=True)
    )
    return rows, columns


def intersection(box: Box, other: Box) -> Box:
    """Return what two boxes have in common."""
    rows, columns = (
        slice(max(one.start, two.start), min(one.stop, two.stop))
        for one, two in zip(box, other, strict=True)
    )
    both = rows, columns
    return NOWHERE if _is_empty(both) else both


def grown(box: Box, by: int, *, within: Box) -> Box:
    """Return a box with a margin of `by` pixels, as far as there is room."""
    rows, columns = (slice(side.start - by, side.stop + by) for side in box)
    return intersection((rows, columns), within)


def shifted(box: Box, *, rows: int, columns: int) -> Box:
    """Return the box further down and to the right."""
    return (
        slice(box[0].start + rows, box[0].stop + rows),
        slice(box[1].start + columns, box[1].stop + columns),
    )


def relative(box: Box, to: Box) -> Box:
    """Return the box as counted from the corner of another one."""
    return shifted(box, rows=-to[0].start, columns=-to[1].start)


def absolute(box: Box, within: Box) -> Box:
    """Return a box of the image that is counted from the corner of another one."""
    return shifted(box, rows=within[0].start, columns=within[1].start)


def _is_empty(box: Box) -> bool:
    return any(side.start >= side.stop for side in box)
