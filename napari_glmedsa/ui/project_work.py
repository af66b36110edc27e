"""What the worker of the project's dialog does: list, check, take files in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_glmedsa.jobs import Job
from napari_glmedsa.pairs import images_in
from napari_glmedsa.project import AnnotationProject, Split
from napari_glmedsa.project.arrivals import (
    Arrival,
    add_photographs,
    add_sentence,
    import_pairs,
    import_sentence,
)
from napari_glmedsa.project.group_table import GroupTable
from napari_glmedsa.project.listing import ImageRow, list_images, list_sentence

if TYPE_CHECKING:
    from napari_glmedsa.export.incoming import IncomingFormat

Tell = Callable[[int, int], object]
"""Told how many of how many files are done."""


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What shall be taken in.

    Attributes
    ----------
    images : Path
        Folder of photographs.
    masks : Path or None
        Folder of their masks, for COCO the file; None adds the photographs alone.
    groups : Path or None
        CSV table of groups.
    split : {"train", "val", "test"} or None
        Where they all go; None lets the project decide.
    format : IncomingFormat
        What the masks are.
    """

    images: Path
    masks: Path | None = None
    groups: Path | None = None
    split: Split | None = None
    format: IncomingFormat = "isic-png"


@dataclass(frozen=True, slots=True)
class Listing:
    """A project's images, and a sentence about them all."""

    rows: tuple[ImageRow, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class Report:
    """What came out of it: a sentence, and one for each thing worth knowing."""

    sentence: str
    details: tuple[str, ...] = ()


def read_listing(root: Path) -> Listing:
    """List a project's images."""
    project = AnnotationProject.open(root)
    rows = list_images(project)
    return Listing(tuple(rows), list_sentence(project, rows))


def check_project(root: Path, _: Job, __: Tell) -> Report:
    """Read every image and mask."""
    problems = AnnotationProject.open(root).check()
    if not problems:
        return Report("Checked every image and mask: nothing is wrong.")
    found = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return Report(f"Checked every image and mask: {found}.", tuple(problems))


def take_in(root: Path, request: ImportRequest, job: Job, tell: Tell) -> Report:
    """Take photographs in, with their masks if there are any.

    Raises
    ------
    GLMedSAError
        If a folder or the table cannot be read, or the project not be written to.
    Cancelled
        If the job was called off; what was taken in until then stays.
    """
    project = AnnotationProject.open(root)
    images = request.images.expanduser()
    remarks: list[str] = []
    if request.masks is None:
        files = images_in(images)
        arriving, total = add_photographs(project, files), len(files)
    else:
        from napari_glmedsa.export.incoming import incoming  # takes its time

        found = incoming(request.format, images, request.masks.expanduser())
        remarks.extend(found.remarks)
        table, names = GroupTable(), [image.name for image, _ in found.pairs]
        if request.groups is not None:
            table = GroupTable.read(request.groups.expanduser(), names)
        remarks += [table.remark] if table.remark else []
        arriving, total = (
            import_pairs(
                project,
                found.pairs,
                groups=table,
                split=request.split,
                read=found.read,
            ),
            len(found.pairs),
        )
    arrivals: list[Arrival] = []
    for arrival in arriving:
        arrivals.append(arrival)
        tell(len(arrivals), total)
        job.raise_if_cancelled()
    say = add_sentence if request.masks is None else import_sentence
    refused = [arrival.reason for arrival in arrivals if arrival.kind == "refused"]
    return Report(say(project, arrivals), (*refused, *remarks))
