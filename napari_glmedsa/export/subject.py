"""What is exported: images of a project, what their files are called, how far it is."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_glmedsa.errors import ProjectError
from napari_glmedsa.pairs import MASK_ENDING
from napari_glmedsa.project import AnnotationProject, ImageRecord

_LONGEST = 200  # bytes of a stem that leave room for an id and an ending, of 255

Step = Callable[[int, int], None]
"""Told how many images are done, of how many; what it raises ends the export."""


@dataclass(frozen=True, slots=True)
class Written:
    """What an export has written.

    Attributes
    ----------
    output : Path
        The folder or file.
    n_images, n_objects : int
        How much is in it.
    remark : str
        A sentence about what was not as one might think, or nothing.
    """

    output: Path
    n_images: int
    n_objects: int
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """One annotated image of a project, with a name that no other one of them has."""

    record: ImageRecord
    stem: str

    @property
    def id(self) -> str:
        """What the project calls it."""
        return self.record.id


def silent(done: int, total: int) -> None:
    """Tell nobody."""


def subjects(
    project: AnnotationProject, ids: Sequence[str], step: Step
) -> Iterator[Subject]:
    """Yield the images in order of their names, and tell how many are done.

    Photographs that came from files of one name get their ids into the names, and so
    does one whose name is too long.

    Raises
    ------
    ProjectError
        If an image has no accepted mask, or there is none at all.
    """
    if not ids:
        raise ProjectError(
            f"The project {project.name} has no accepted mask to export; accept one"
            " first."
        )
    wanted = set(ids)
    records = [record for record in project.images() if record.id in wanted]
    for image in wanted:
        project.labels(image)  # raises if there is none
    times = Counter(Path(record.source).stem.casefold() for record in records)
    named = [Subject(record, _stem_of(record, times)) for record in records]
    named.sort(key=lambda subject: subject.stem)
    step(0, len(named))
    for done, subject in enumerate(named, start=1):
        yield subject
        step(done, len(named))


def _stem_of(record: ImageRecord, times: Counter[str]) -> str:
    stem = Path(record.source).stem
    name = os.fsencode(stem)
    is_short = len(name) <= _LONGEST
    short = stem if is_short else name[:_LONGEST].decode("utf-8", "ignore")
    is_plain = times[stem.casefold()] == 1 and is_short
    if is_plain and stem and not stem.casefold().endswith(MASK_ENDING):
        return stem
    return f"{short}-{record.id}" if stem else record.id
