"""A folder of photographs, or a project, as a list of what is to be done."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from napari_glmedsa.errors import OutputError, ProjectError
from napari_glmedsa.images import read_image
from napari_glmedsa.project import AnnotationProject, image_id
from napari_glmedsa.worklist.entries import Entry, Status
from napari_glmedsa.worklist.holders import held_by_others
from napari_glmedsa.worklist.photographs import find_photographs
from napari_glmedsa.worklist.records import (
    Mark,
    MarkName,
    WorklistRecords,
    name_of_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_glmedsa.worklist.uncertainty import Uncertainty

logger = logging.getLogger(__name__)

PROJECT_NAME = "glmedsa_project"
"""The project that a folder of photographs gets, inside it."""


class Worklist:
    """Photographs, how far each is, and what people and models say about them.

    Nothing is copied: a photograph comes into the project when somebody works on it.
    Answers always come from the folder as it is now, so several programs and people
    may have one worklist open.

    Parameters
    ----------
    project : AnnotationProject
        Where masks go.
    photographs : Path or None
        The folder with the photographs; None if they are those of the project. Use
        `open`, which finds out.
    """

    def __init__(
        self, project: AnnotationProject, *, photographs: Path | None = None
    ) -> None:
        self.project, self.photographs = project, photographs
        self.remarks: tuple[str, ...] = ()
        self._records = WorklistRecords(project.root)

    @classmethod
    def open(cls, folder: Path, *, spare: Path) -> Self:
        """Open the worklist of a project, or of a folder of photographs.

        Such a folder gets a project of its own, ``glmedsa_project`` inside it. If it
        must not be written to, the project is made elsewhere; `remarks` tells where.

        Parameters
        ----------
        folder : Path
            The folder.
        spare : Path
            Holds the projects of folders that must not be written to.

        Raises
        ------
        ImageFormatError
            If the folder cannot be read, or there is no photograph in it.
        ProjectError, ProjectVersionError
            If its project cannot be opened.
        OutputError
            If there is no place for its project.
        """
        folder = folder.expanduser().absolute()
        if (folder / "project.json").exists():
            return cls(AnnotationProject.open(folder))
        files, _ = find_photographs(folder)
        if not files:
            raise ProjectError(
                f"There is no photograph in {folder}; choose a folder with PNG, JPEG,"
                " TIFF or DICOM files, or a project."
            )
        project, remark = _project_of(folder, spare)
        worklist = cls(project, photographs=folder)
        worklist.remarks = (remark,) if remark else ()
        return worklist

    @property
    def folder(self) -> Path:
        """What the user opened."""
        return self.photographs or self.project.root

    @property
    def written_to(self) -> tuple[Path, ...]:
        """Folders in which something comes or goes when a photograph's state does."""
        names = ("images", "masks", "prompts", "work", "worklist", "worklist/marks")
        return tuple(self.project.root / name for name in names)

    def entries(
        self, *, model: str = "", check: Callable[[], None] = lambda: None
    ) -> list[Entry]:
        """Return every photograph as it is now, in no particular order.

        Parameters
        ----------
        model
            Fingerprint of the model whose uncertainty is wanted; empty is the one
            that was asked last.
        check
            Called now and then; what it raises ends the search.

        Raises
        ------
        ImageFormatError
            If the folder cannot be read any more.
        """
        found = (
            self._images_of_project()
            if self.photographs is None
            else self._files_of(self.photographs, check)
        )
        check()
        accepted = set(self.project.annotated())
        in_work = set(self.project.images_in_work())
        held = held_by_others(self.project)
        marks = self._records.marks()
        unsure = self._records.uncertainties(model)
        judged = (
            self._judged(entry, accepted, in_work, marks, unsure) for entry in found
        )
        return [replace(one, holder=held.get(one.image_id, "")) for one in judged]

    def read(self, entry: Entry) -> NDArray[np.uint8]:
        """Return a photograph, (H, W, 3) uint8 RGB.

        Raises
        ------
        ImageFormatError, ProjectError
            If it cannot be read.
        """
        if self.photographs is None:
            return self.project.image(entry.image_id)
        return read_image(entry.path)

    def identify(self, entry: Entry, pixels: NDArray[np.uint8]) -> Entry:
        """Return the entry with the id of its image, and remember that.

        Parameters
        ----------
        entry
            The photograph.
        pixels
            (H, W, 3) uint8, as `read` returned it.
        """
        own_id = image_id(pixels)
        if self.photographs is not None and own_id != entry.image_id:
            try:
                status = entry.path.stat()
                self._records.add_image_id(
                    entry.key, (status.st_mtime_ns, status.st_size), own_id
                )
            except OSError as error:  # it is found out again next time
                logger.debug("image id not remembered: %s", error)
        return replace(entry, image_id=own_id)

    def mark(
        self, entry: Entry, status: MarkName | None, *, by: str = "", note: str = ""
    ) -> None:
        """Flag or skip a photograph, or take that back.

        Parameters
        ----------
        entry
            The photograph.
        status
            ``"flagged"``: somebody should look at it. ``"skipped"``: it is not to be
            worked on. None is neither.
        by, note
            Who says so, and why.

        Raises
        ------
        OutputError
            If the project cannot be written to.
        """
        mark = None if status is None else Mark(status, by=by, note=note)
        for name in (entry.image_id, name_of_file(entry.key)):
            if name:
                self._records.mark(name, mark)
                mark = None  # one is enough; an older one under the other name goes

    def remember(self, model: str, entry: Entry, found: Uncertainty) -> None:
        """Keep what a model, by its fingerprint, thinks of a photograph.

        Raises
        ------
        OutputError
            If the project cannot be written to.
        """
        self._records.add_uncertainty(model, entry.image_id, found)

    def _images_of_project(self) -> list[Entry]:
        entries = []
        for record in self.project.images():
            path = self.project.root / "images" / f"{record.id}.png"
            try:
                modified = path.stat().st_mtime
            except OSError:  # deleted just now
                continue
            name = record.source or record.id
            entries.append(Entry(record.id, name, path, modified, image_id=record.id))
        return entries

    def _files_of(self, folder: Path, check: Callable[[], None]) -> list[Entry]:
        files, n_others = find_photographs(folder, check=check)
        if n_others:
            words = (
                "1 other file is" if n_others == 1 else f"{n_others} other files are"
            )
            passed = f"{words} no photograph and not in the list."
            self.remarks = (*(r for r in self.remarks if "other file" not in r), passed)
        known = self._records.image_ids()
        return [
            Entry(
                file.key,
                file.key,
                file.path,
                file.modified / 1e9,
                image_id=known.get((file.key, file.modified, file.n_bytes), ""),
            )
            for file in files
        ]

    def _judged(
        self,
        entry: Entry,
        accepted: set[str],
        in_work: set[str],
        marks: Mapping[str, Mark],
        unsure: Mapping[str, Uncertainty],
    ) -> Entry:
        own = entry.image_id
        mark = marks.get(own) if own else None
        mark = mark or marks.get(name_of_file(entry.key))
        status = Status.NEW
        if mark is not None and mark.status == "flagged":
            status = Status.FLAGGED
        elif own in accepted:
            status = Status.ACCEPTED
        elif own in in_work:
            status = Status.IN_WORK
        elif mark is not None:
            status = Status.SKIPPED
        return replace(
            entry,
            status=status,
            uncertainty=unsure.get(own),
            by=mark.by if mark else "",
            note=mark.note if mark else "",
        )


def _project_of(folder: Path, spare: Path) -> tuple[AnnotationProject, str]:
    """Return the project of a folder of photographs, made if need be, and a remark."""
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    inside, elsewhere = folder / PROJECT_NAME, spare / f"{folder.name}-{digest}"
    for place in (inside, elsewhere):
        if (place / "project.json").exists():
            return AnnotationProject.open(place), ""
    try:
        made = AnnotationProject.create(inside, name=folder.name)
    except OutputError:
        made = AnnotationProject.create(elsewhere, name=folder.name)
        return made, (
            f"{folder} cannot be written to, so its project was made in {elsewhere}."
        )
    return made, f"Masks and marks go into the project {inside}."
