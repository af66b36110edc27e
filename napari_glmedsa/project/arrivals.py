"""Image files that come into a project, with finished masks or without."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.errors import (
    GLMedSAError,
    OutputError,
    ProjectError,
)
from napari_glmedsa.images import read_image
from napari_glmedsa.pairs import read_pair
from napari_glmedsa.project.group_table import GroupTable
from napari_glmedsa.project.photographs import image_id
from napari_glmedsa.project.project import AnnotationProject
from napari_glmedsa.project.scale import keep_scale
from napari_glmedsa.project.splits import Split
from napari_glmedsa.provenance import Provenance

ReadPair = Callable[[Path, Path], tuple[NDArray[np.uint8], NDArray[Any]]]
"""Reads a photograph, (H, W, 3), and its mask or label map, (H, W)."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What became of one file.

    Parameters
    ----------
    file
        The photograph.
    kind
        ``"new"``, ``"there"`` if nothing was to be done, or ``"refused"``.
    image_id
        What the project calls it; empty if it was refused.
    reason
        Why it was refused, in one sentence.
    """

    file: Path
    kind: Literal["new", "there", "refused"]
    image_id: str = ""
    reason: str = ""


def add_photographs(
    project: AnnotationProject, files: Sequence[Path]
) -> Iterator[Arrival]:
    """Copy photographs into a project, to be annotated there; yield one by one.

    Raises
    ------
    OutputError
        If the project cannot be written to, as the next one could not either.
    """
    known = {record.id for record in project.images()}
    for file in files:
        try:
            image = project.add_image(read_image(file), source=file.name)
            keep_scale(project.root, image, file)
        except OutputError:
            raise
        except GLMedSAError as error:
            yield Arrival(file, "refused", reason=str(error))
        else:
            yield Arrival(file, "there" if image in known else "new", image)


def import_pairs(
    project: AnnotationProject,
    pairs: Sequence[tuple[Path, Path]],
    *,
    groups: GroupTable | None = None,
    split: Split | None = None,
    read: ReadPair | None = None,
) -> Iterator[Arrival]:
    """Copy photographs and their finished masks into a project; yield one by one.

    What is there already with the same mask is passed over, so that an interrupted
    import can be repeated.

    Parameters
    ----------
    project
        Where they go.
    pairs
        Files of photograph and mask.
    groups
        Which of them must stay in one split.
    split
        Where to put them all; by default the project decides.
    read
        Reads a pair (default `read_pair`); what it raises refuses it. The numbers of a
        label map are kept, a mask of bool is one object.

    Raises
    ------
    OutputError
        If the project cannot be written to, as the next one could not either.
    """
    groups, sources = groups or GroupTable(), dict[str, Path]()
    read = read or read_pair
    for files in pairs:
        group = groups.group_of(files[0])
        try:
            pixels = read(*files)
            yield _import_pair(
                project, files, pixels, sources, group=group, split=split
            )
        except OutputError:
            raise
        except GLMedSAError as error:
            yield Arrival(files[0], "refused", reason=str(error))


def import_sentence(project: AnnotationProject, arrivals: Sequence[Arrival]) -> str:
    """Return how many pairs have come in."""
    kinds = Counter(arrival.kind for arrival in arrivals)
    return (
        f"Imported {kinds['new']} of {len(arrivals)} pairs into {project.name}"
        f"{_there(kinds['there'])}."
    )


def add_sentence(project: AnnotationProject, arrivals: Sequence[Arrival]) -> str:
    """Return how many photographs have come in."""
    kinds = Counter(arrival.kind for arrival in arrivals)
    return (
        f"Added {kinds['new']} of {len(arrivals)} photographs to {project.name}"
        f"{_there(kinds['there'])}."
    )


def _there(number: int) -> str:
    return f"; {number} were there already" if number else ""


def _import_pair(
    project: AnnotationProject,
    files: tuple[Path, Path],
    pixels: tuple[NDArray[np.uint8], NDArray[Any]],
    sources: dict[str, Path],
    *,
    group: str | None,
    split: Split | None,
) -> Arrival:
    (photograph, mask_file), (image, mask) = files, pixels
    if not mask.any():
        raise ProjectError(
            f"{mask_file} is empty, so there is nothing to learn from it; outline the"
            " lesion, or leave the image out."
        )
    own_id = image_id(image)
    first = sources.setdefault(own_id, photograph)
    if first != photograph:
        raise ProjectError(
            f"{photograph} is a duplicate of {first.name}, pixel by pixel; keep one of"
            " them."
        )
    known = project.is_annotated(own_id)
    if known and not np.array_equal(_like(mask, project, own_id), mask):
        raise ProjectError(
            f"{photograph} is in the project already, with another mask; the mask there"
            " was kept."
        )
    project.add_image(image, source=photograph.name, group=group, split=split)
    keep_scale(project.root, own_id, photograph)
    if not known:
        objects = [Provenance(origin="import")] * int(mask.max())
        project.save_annotation(own_id, mask, objects)
    return Arrival(photograph, "there" if known else "new", own_id)


def _like(mask: NDArray[Any], project: AnnotationProject, image: str) -> NDArray[Any]:
    """Return what the project has, as a mask or as a label map."""
    is_mask = mask.dtype == np.bool_
    return project.mask(image) if is_mask else project.label_map(image)
