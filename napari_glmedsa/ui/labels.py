"""The Labels layer of a mask as we make it, and what napari tells about one."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap
from numpy.typing import NDArray

from napari_glmedsa.provenance import Provenance
from napari_glmedsa.ui.accepted import AcceptedObject, bounding_box
from napari_glmedsa.ui.boxes import NOWHERE, Box, intersection, relative, union
from napari_glmedsa.ui.styles import (
    FILL_OPACITY,
    MASK_NAME,
    OBJECT_COLORS,
    OUTLINE_MAX_PIXELS,
    OUTLINE_WIDTH,
)

_BAND = 1 << 17  # pixels written at a time: what is made of them fits into a cache


@dataclass(frozen=True)
class Extent:
    """How much of a label map one object has, and a box with all of it."""

    label: int
    area: int
    box: Box

    @classmethod
    def of(cls, label_map: NDArray[Any], label: int) -> Self:
        """Look for an object in a label map (H, W)."""
        mask = label_map == label
        area = int(np.count_nonzero(mask))
        return cls(label, area, (bounding_box(mask) if area else None) or NOWHERE)


@dataclass(frozen=True, eq=False)
class Drawn:
    """An object as it was drawn: pixels (h, w) bool of a box of the image."""

    pixels: NDArray[np.bool_]
    box: Box

    def cut_out(self, provenance: Provenance) -> AcceptedObject:
        """Return it as an accepted object."""
        rows, columns = self.box
        known = AcceptedObject.cut_out(self.pixels, provenance)
        top, left = known.top + rows.start, known.left + columns.start
        return replace(known, top=top, left=left)

    def give(self, pixels: NDArray[np.bool_], box: Box) -> None:
        """Note that pixels (h, w) bool of a box belong to another object now."""
        both = intersection(box, self.box)
        self.pixels[relative(both, self.box)] &= ~pixels[relative(both, box)]


def draw_object(
    label_map: NDArray[Any], label: int, mask: NDArray[np.bool_], *, keep_others: bool
) -> tuple[NDArray[np.bool_], Box]:
    """Make an object of a label map look like a mask.

    Parameters
    ----------
    label_map : (H, W) unsigned integers
        Changed in place.
    label : int
        Of the object.
    mask : (H, W) bool
        What it is to look like.
    keep_others : bool
        Whether other objects keep their pixels.

    Returns
    -------
    (H, W) bool
        What it looks like now.
    (rows, columns)
        The smallest box with every pixel that changed, `NOWHERE` if none did.
    """
    drawn = mask.copy()
    height, width = mask.shape
    rows, columns = np.zeros(height, bool), np.zeros(width, bool)
    step = max(1, _BAND // max(1, width))
    for top in range(0, height, step):
        band = slice(top, top + step)
        pixels, wanted = label_map[band], drawn[band]
        before = pixels == label
        if keep_others:
            wanted &= before | (pixels == 0)
        changed = before ^ wanted
        rows[band] = changed.any(axis=1)
        if rows[band].any():
            columns |= changed.any(axis=0)
            becomes = wanted * pixels.dtype.type(label)
            np.copyto(pixels, becomes, where=changed)
    return drawn, _spanned(rows, columns)


def _spanned(rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> Box:
    if not rows.any():
        return NOWHERE
    (top, bottom), (left, right) = (
        np.flatnonzero(side)[[0, -1]].tolist() for side in (rows, columns)
    )
    return slice(top, bottom + 1), slice(left, right + 1)


def outline_width(size: tuple[int, int]) -> int:
    """Return how wide an outline on an image (H, W) is, in its pixels."""
    return max(2, round(OUTLINE_WIDTH * max(size)))


def new_labels(size: tuple[int, int], **options: Any) -> Labels:
    """Return an empty layer for an image of (H, W) pixels."""
    outlined = size[0] * size[1] <= OUTLINE_MAX_PIXELS
    layer = Labels(
        np.zeros(size, dtype=np.uint16),
        name=MASK_NAME,
        colormap=CyclicLabelColormap(colors=["transparent", *OBJECT_COLORS]),
        opacity=1 if outlined else FILL_OPACITY,
        **options,
    )
    layer.preserve_labels = True  # the brush does not eat accepted objects either
    if outlined:
        layer.contour = outline_width(size)
    return layer


def painted_box(atoms: Sequence[Any]) -> Box | None:
    """Return where napari says that a stroke was, if it says so in a way we know."""
    box = NOWHERE
    for atom in atoms:
        key = getattr(atom, "slice_key", None)
        if key is None or len(key) != 2:
            return None
        box = union(box, key)
    return box


def cut_out(drawn: Drawn | None, provenance: Provenance | None) -> AcceptedObject:
    """Return an object, drawn or not, as an accepted one."""
    known = provenance or Provenance()
    return drawn.cut_out(known) if drawn else AcceptedObject.cut_out(None, known)


def reference(pixels: object) -> weakref.ref[object] | None:
    """Return what knows an image's pixels as long as they are, if that is possible."""
    try:
        return weakref.ref(pixels)
    except TypeError:
        return None
