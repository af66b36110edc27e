"""An object that was accepted: its pixels, and where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.project import Provenance

if TYPE_CHECKING:
    from napari_glmedsa.inference import Prompts


@dataclass(frozen=True, eq=False)
class AcceptedObject:
    """One lesion of an image, cut out.

    Attributes
    ----------
    provenance : Provenance
        Where it came from.
    top, left : int
        Pixels of the image above the cutting and left of it.
    pixels : (h, w) bool
        The lesion as the model or the project gave it, before anybody painted.
    """

    provenance: Provenance
    top: int
    left: int
    pixels: NDArray[np.bool_]

    @classmethod
    def cut_out(
        cls, mask: NDArray[np.bool_] | None, provenance: Provenance
    ) -> AcceptedObject:
        """Return the object in a mask (H, W) of the whole image; None is empty."""
        box = None if mask is None else bounding_box(mask)
        if mask is None or box is None:
            return cls(provenance, 0, 0, np.zeros((0, 0), dtype=bool))
        return cls(provenance, box[0].start, box[1].start, mask[box].copy())

    @property
    def box(self) -> tuple[slice, slice]:
        """Where the cutting is in the image, (rows, columns)."""
        height, width = self.pixels.shape
        return (
            slice(self.top, self.top + height),
            slice(self.left, self.left + width),
        )

    def looks_same(
        self, label_map: NDArray[Any], label: int, *, within: tuple[slice, slice]
    ) -> bool:
        """Tell whether a label map (H, W) has it as it was, looking into a box."""
        now = label_map[within] == label
        was = np.zeros(now.shape, dtype=bool)
        top, left = self.top - within[0].start, self.left - within[1].start
        height, width = self.pixels.shape
        was[top : top + height, left : left + width] = self.pixels
        return bool((now == was).all())

    def seen_in(self, mask: NDArray[np.bool_]) -> Provenance:
        """Return where it came from, given what it looks like now, (H, W) bool."""
        same = mask.sum() == self.pixels.sum() and (mask[self.box] == self.pixels).all()
        edited = self.provenance.hand_edited or not same
        return replace(self.provenance, hand_edited=bool(edited))


@dataclass(frozen=True, eq=False)
class AcceptedObjects:
    """All accepted objects of an image at one moment.

    Attributes
    ----------
    label_map : (H, W) integers
        As the user sees it.
    in_the_making : int
        The label that clicks change now; it is not accepted yet.
    known : mapping
        Objects by label. Other labels were painted by hand alone.
    painter : str
        Who paints.
    """

    label_map: NDArray[Any]
    in_the_making: int
    known: Mapping[int, AcceptedObject]
    painter: str = ""

    def numbered(self) -> tuple[NDArray[np.uint16], list[Provenance]]:
        """Return the map with labels 1, 2, ... without gaps, and what each one is."""
        numbers = np.zeros_like(self.label_map, dtype=np.uint16)
        provenances = []
        for label, mask in self._masks():
            by_hand = Provenance(annotator=self.painter, hand_edited=True)
            known = self.known.get(label) or AcceptedObject.cut_out(None, by_hand)
            provenances.append(known.seen_in(mask))
            numbers[mask] = len(provenances)
        return numbers, provenances

    def _masks(self) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        counts = np.bincount(self.label_map.ravel())
        for label in np.flatnonzero(counts).tolist():
            if label not in (0, self.in_the_making):
                yield label, self.label_map == label


def provenance(prompts: Prompts | None, *, model: str, annotator: str) -> Provenance:
    """Describe an object that is accepted now.

    Parameters
    ----------
    prompts : Prompts or None
        What the model answered; None if somebody painted the object without it.
    model, annotator : str
        Which model, and who accepts.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if prompts is None:
        return Provenance(annotator=annotator, created=now)
    x0_y0_x1_y1 = None if prompts.box is None else prompts.box.tolist()
    return Provenance(
        point_coords=tuple((x, y) for x, y in prompts.point_coords.tolist()),
        point_labels=tuple(prompts.point_labels.tolist()),
        box=x0_y0_x1_y1 and tuple(x0_y0_x1_y1),
        model=model,
        annotator=annotator,
        created=now,
    )


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Return the smallest slices (rows, columns) with every True in them."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return (
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(cols[0]), int(cols[-1]) + 1),
    )
