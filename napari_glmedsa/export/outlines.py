"""Polygons that run along the edges of a mask's pixels, and so lose none of them."""

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label, regionprops

Ring = NDArray[np.int64]

_MOVES = ((1, 0), (0, 1), (-1, 0), (0, -1))  # right, down, left, up; as (x, y)


def polygons(mask: NDArray[np.bool_]) -> list[Ring]:
    """Return one closed line for every piece of a mask.

    A hole is joined to the outline by a cut that is walked in both directions, so it
    encloses no pixel: one ring per piece is all that COCO can hold.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        True on the object. Pixels that touch at a corner only are different pieces.

    Returns
    -------
    list of ndarray of int64, shape (N, 2)
        (x, y) of corners of pixels; (0, 0) is the upper left corner of the first one.
    """
    found = []
    for region in regionprops(label(mask, connectivity=1)):
        top, left = region.bbox[:2]
        outer, *holes = sorted(rings(region.image), key=_signed_area, reverse=True)
        for hole in sorted(holes, key=lambda ring: tuple(ring.min(axis=0))):
            outer = _joined(outer, hole)
        found.append(outer + np.array([left, top]))
    return found


def rings(mask: NDArray[np.bool_]) -> list[Ring]:
    """Return all outlines of a mask (H, W): outer ones clockwise, holes the other way.

    Each is (N, 2), (x, y) of corners of pixels, without the first corner at its end.
    """
    waiting = _edges(mask)
    found = []
    while waiting:
        corner = next(iter(waiting))
        start, direction = corner, waiting[corner][0]
        ring: list[tuple[int, int]] = []
        while corner in waiting:
            ways = waiting[corner]
            # Keep right: where two pixels meet at a corner, they stay apart.
            turns = ((direction + turn) % 4 for turn in (1, 0, 3))
            chosen = next(way for way in turns if way in ways)
            ways.remove(chosen)
            if not ways:
                del waiting[corner]
            if chosen != direction or not ring:
                ring.append(corner)
            direction = chosen
            corner = (corner[0] + _MOVES[chosen][0], corner[1] + _MOVES[chosen][1])
            if corner == start and _ends_here(waiting.get(corner), direction):
                break
        found.append(_without_straight_corners(np.array(ring, dtype=np.int64)))
    return found


def _edges(mask: NDArray[np.bool_]) -> dict[tuple[int, int], list[int]]:
    """Return from which corner one walks where, with the object on the right hand."""
    framed = np.pad(mask, 1).astype(np.int8)
    across, down = np.diff(framed, axis=0), np.diff(framed, axis=1)
    edges: dict[tuple[int, int], list[int]] = {}
    for direction, (rows, columns), (dx, dy) in (
        (0, np.nonzero(across == 1), (-1, 0)),
        (2, np.nonzero(across == -1), (0, 0)),
        (1, np.nonzero(down == -1), (0, -1)),
        (3, np.nonzero(down == 1), (0, 0)),
    ):
        for x, y in zip((columns + dx).tolist(), (rows + dy).tolist(), strict=True):
            edges.setdefault((x, y), []).append(direction)
    return edges


def _ends_here(ways: list[int] | None, direction: int) -> bool:
    """Say whether none of the ways on belongs to the line that came this way."""
    return ways is None or (direction + 1) % 4 not in ways


def _without_straight_corners(ring: Ring) -> Ring:
    """Drop the corner at which the walk began if the line is straight there."""
    before, after = np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0)
    return np.asarray(ring[(before != after).all(axis=1)])


def _signed_area(ring: Ring) -> int:
    x, y = ring.T
    return int((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())


def _joined(outer: Ring, hole: Ring) -> Ring:
    """Walk the outline, and from its corner next to the hole around the hole."""
    # The hole's leftmost corner sees the outline, or a hole that was joined before.
    entry = int(np.lexsort((hole[:, 1], hole[:, 0]))[0])
    around = np.roll(hole, -entry, axis=0)
    distances = ((outer - around[0]) ** 2).sum(axis=1)
    exit_ = int(distances.argmin())
    cut = (outer[: exit_ + 1], around, around[:1], outer[exit_:])
    return np.concatenate(cut)
