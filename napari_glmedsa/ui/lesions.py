"""What is done to accepted lesions: opened again, merged, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_glmedsa.errors import PromptError
from napari_glmedsa.inference.prompts import Prompts
from napari_glmedsa.provenance import Provenance
from napari_glmedsa.ui.accepted import AcceptedObject
from napari_glmedsa.ui.boxes import NOWHERE, Box, union
from napari_glmedsa.ui.layers import LayerTrio


def reopen(trio: LayerTrio, label: int) -> Provenance:
    """Make an accepted lesion the one that clicks change, with its own clicks.

    Raises
    ------
    PromptError
        If another one is in the making, or there is no such lesion.
    """
    if trio.mask.object_area:
        msg = "Another lesion is in the making: accept or clear it first."
        raise PromptError(msg)
    known = _known(trio, label)
    trio.show_prompts(prompts_of(known.provenance))
    trio.choice = 0
    others = {its: one for its, one in trio.mask.objects.items() if its != label}
    trio.mask.take(label, others, NOWHERE)
    return known.provenance


def delete(trio: LayerTrio, labels: Sequence[int]) -> Box:
    """Remove accepted lesions; return where pixels changed.

    Raises
    ------
    PromptError
        If there is no such lesion.
    """
    for label in labels:
        _known(trio, label)
    box = _relabel(trio, labels, 0)
    objects = trio.mask.objects
    rest = {label: one for label, one in objects.items() if label not in labels}
    trio.mask.take(trio.mask.object_id, rest, box)
    return box


def merge(trio: LayerTrio, labels: Sequence[int], *, annotator: str) -> Box:
    """Make one accepted lesion of several; return where pixels changed.

    It has the label of the first, the clicks of all and no box.

    Raises
    ------
    PromptError
        If there are fewer than two, or one does not exist.
    """
    if len(labels) < 2:
        msg = "Choose two or more accepted lesions in the list to merge them."
        raise PromptError(msg)
    parts = [_known(trio, label).provenance for label in labels]
    target, *others = labels
    box = _relabel(trio, others, target)
    one = replace(
        parts[0],
        point_coords=tuple(xy for part in parts for xy in part.point_coords),
        point_labels=tuple(word for part in parts for word in part.point_labels),
        box=None,
        hand_edited=True,
        annotator=annotator,
    )
    objects = trio.mask.objects
    rest = {label: known for label, known in objects.items() if label not in labels}
    mask = trio.mask.ensure().data == target
    rest[target] = AcceptedObject.cut_out(mask, one)
    trio.mask.take(trio.mask.object_id, dict(sorted(rest.items())), box)
    return box


def prompts_of(provenance: Provenance) -> Prompts:
    """Return the prompts that an accepted lesion was made with."""
    return Prompts(
        np.array(provenance.point_coords, dtype=np.float64).reshape(-1, 2),
        np.array(provenance.point_labels, dtype=np.int64),
        box=None if provenance.box is None else np.array(provenance.box),
    )


def _known(trio: LayerTrio, label: int) -> AcceptedObject:
    known = trio.mask.objects.get(label)
    if known is None:
        msg = f"There is no accepted lesion {label} on this photograph: choose another."
        raise PromptError(msg)
    return known


def _relabel(trio: LayerTrio, labels: Sequence[int], to: int) -> Box:
    data, box = trio.mask.ensure().data, NOWHERE
    for label in labels:
        # All of it, painted parts included: they need not be where it was accepted.
        cutting = AcceptedObject.cut_out(data == label, Provenance())
        data[cutting.box][cutting.pixels] = to
        box = union(box, cutting.box)
    return box
