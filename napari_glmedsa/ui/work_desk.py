"""The unfinished work on one image, as the worker finds it in a project or a shelf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_glmedsa.errors import GLMedSAError, OutputError
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.project.claims import Claim, Holder
from napari_glmedsa.project.journal import Journal
from napari_glmedsa.project.records import Restored
from napari_glmedsa.project.shelf import LastPhotograph, Shelf
from napari_glmedsa.project.work import WorkInProgress
from napari_glmedsa.ui.accepted import AcceptedObject, AcceptedObjects
from napari_glmedsa.ui.photograph import Photograph


@dataclass(frozen=True, eq=False)
class Found:
    """What is known of the work on an image.

    Attributes
    ----------
    last : LastPhotograph
        The image, and the project that its masks go into.
    journal : Journal
        Where steps go; it goes on with what was restored.
    anew : Journal
        The same file for whoever does not want that: the former one is put aside.
    claim : Claim
        On the image.
    former : Journal or None
        What was restored comes from there, and is to be in `journal` instead.
    holder : Holder or None
        Who else works on it; then it is not ours, and nothing was restored.
    restored : Restored or None
        Work that was not finished.
    is_saved : bool
        Whether the project has the accepted objects as they were restored.
    is_theirs : bool
        Whether somebody else has accepted other outlines since.
    state : str
        Of the annotation, empty if there is none; see `Bookmarks.seen`.
    problem : str
        One sentence, if something cannot be read or written.
    """

    last: LastPhotograph
    journal: Journal
    anew: Journal
    claim: Claim
    former: Journal | None = None
    holder: Holder | None = None
    restored: Restored | None = None
    is_saved: bool = True
    is_theirs: bool = False
    state: str = ""
    problem: str = ""


def begin(
    folder: Path | None,
    photograph: Photograph,
    shelf: Shelf,
    *,
    annotator: str,
    shown: Path | None,
    force: bool,
) -> Found:
    """Claim an image and find the work that was not finished.

    Parameters
    ----------
    folder : Path or None
        The project's; without one, or if it must not be written to, the work is on the
        shelf.
    photograph : Photograph
        The image.
    shelf : Shelf
        The user's own.
    annotator : str
        Who is at work.
    shown : Path or None
        The journal whose steps the screen has already.
    force : bool
        Whether to take the image from whoever else has it.

    Raises
    ------
    ProjectError, ProjectVersionError, ImageFormatError
        If the project or the image cannot be read.
    """
    from napari_glmedsa.project.photographs import image_id

    pixels = photograph.rgb()
    file = photograph.file if photograph.file and photograph.file.is_file() else None
    last = LastPhotograph(
        image_id(pixels),
        photograph.source,
        file=file,
        reader=photograph.reader if file else "",
        project=folder,
    )
    problem = _try(lambda: shelf.remember(last, pixels if file is None else None))
    work = shelf.work_on(last)
    claim = work.claim(last.image, annotator=annotator)
    if (refused := _try(lambda: claim.take(force=force))) and folder is not None:
        problem = refused
        last, work = replace(last, project=None), shelf
        claim = work.claim(last.image, annotator=annotator)
        refused = _try(lambda: claim.take(force=force))
    problem, holder = problem or refused, claim.holder()
    journal, anew = work.journal(last.image), work.journal(last.image)
    annotation = work.annotation_sha256(last.image)
    anew.note_annotation(annotation)
    found = Found(last, anew, anew, claim, holder=holder, problem=problem)
    if isinstance(work, AnnotationProject) and annotation is not None:
        found = replace(found, state=work.data_sha256([last.image]))
    if holder is not None or shown == journal.path:
        return found
    size = photograph.accepted.label_map.shape[:2]
    try:
        other = None if shown is not None else _elsewhere(shelf, last, folder)
        if other is not None and journal.exists:
            other = _newer(journal, other)
        if journal.exists:
            try:
                restored = journal.resume(size)
            except OutputError as error:  # it can be gone on with all the same
                restored = journal.read(size)
                found = replace(found, problem=str(error))
            journal.note_annotation(annotation)
            found = replace(found, journal=journal, restored=restored)
        elif other is not None:
            # The project was out of reach, or it was chosen later.
            former = None if last.project is None else other
            found = replace(found, former=former, restored=other.read(size))
        else:
            return found
    except GLMedSAError as error:
        return replace(found, problem=str(error))
    return _compared(found, work, annotation)


def is_finished(last: LastPhotograph, journal: Journal, shelf: Shelf) -> bool:
    """Say whether all that a journal tells is accepted, and in the project.

    Raises
    ------
    ProjectError, ProjectVersionError
        If the journal or the project cannot be read.
    """
    project = shelf.work_on(last)
    if not isinstance(project, AnnotationProject) or not journal.exists:
        return False
    restored = journal.read()
    sheet = restored.sheet
    if not sheet.prompts.is_empty or (restored.label_map == sheet.object_id).any():
        return False
    return project.is_annotated(last.image) and _is_saved(project, last.image, restored)


def _try(do: Callable[[], object]) -> str:
    """Do something that may fail without harm; return why it did, or nothing."""
    try:
        do()
    except GLMedSAError as error:
        return str(error)
    return ""


def _elsewhere(
    shelf: Shelf, last: LastPhotograph, folder: Path | None
) -> Journal | None:
    """Return work on an image that is not where its steps are written now.

    It is on the shelf, or in the project that must not be written to.
    """
    if folder is None:
        return None
    if last.project is None:
        journal = AnnotationProject.open(folder).journal(last.image)
    elif shelf.claim(last.image, annotator="").holder() is None:
        journal = shelf.journal(last.image)
    else:
        return None
    return journal if journal.exists else None


def _newer(here: Journal, elsewhere: Journal) -> Journal | None:
    """Put the older of two aside; return the one elsewhere if that is the newer."""
    is_newer = elsewhere.path.stat().st_mtime > here.path.stat().st_mtime
    if is_newer:
        here.put_aside()
        return elsewhere
    _try(elsewhere.put_aside)  # not where nothing can be written
    return None


def _compared(found: Found, work: WorkInProgress, annotation: str | None) -> Found:
    """Note how what was restored and what the project has are related."""
    restored = found.restored
    if restored is None or not isinstance(work, AnnotationProject):
        return found
    is_saved = _is_saved(work, found.last.image, restored)
    knew = restored.annotation if found.former is None else annotation
    is_theirs = knew != annotation and not is_saved
    return replace(found, is_saved=is_saved, is_theirs=is_theirs)


def _is_saved(project: AnnotationProject, image: str, restored: Restored) -> bool:
    """Say whether the project has the accepted objects of a restored state."""
    sheet = restored.sheet
    known = {
        label: AcceptedObject.cut_out(restored.label_map == label, one)
        for label, one in sheet.objects.items()
    }
    here = AcceptedObjects(restored.label_map, sheet.object_id, known)
    numbers, _ = here.numbered()
    if not project.is_annotated(image):
        return not numbers.any()
    return np.array_equal(project.label_map(image), numbers)
