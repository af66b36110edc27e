"""The unfinished work on one image, as the worker finds it in a project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.project.claims import Claim, Holder
from napari_glmedsa.project.journal import Journal
from napari_glmedsa.project.records import Restored
from napari_glmedsa.ui.accepted import AcceptedObject, AcceptedObjects
from napari_glmedsa.ui.photograph import Photograph


@dataclass(frozen=True, eq=False)
class Found:
    """What a project knows of the work on an image.

    Attributes
    ----------
    folder, image : Path, str
        The project's, and the id of the image.
    journal : Journal
        Where steps go; it goes on with what was restored.
    anew : Journal
        The same file for whoever does not want that: the former one is put aside.
    claim : Claim
        On the image.
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

    folder: Path
    image: str
    journal: Journal
    anew: Journal
    claim: Claim
    holder: Holder | None = None
    restored: Restored | None = None
    is_saved: bool = True
    is_theirs: bool = False
    state: str = ""
    problem: str = ""


def begin(
    folder: Path, photograph: Photograph, *, annotator: str, resume: bool, force: bool
) -> Found:
    """Claim an image and find the work that was not finished.

    Parameters
    ----------
    folder : Path
        The project's.
    photograph : Photograph
        The image.
    annotator : str
        Who is at work.
    resume : bool
        False if the screen has the work already.
    force : bool
        Whether to take the image from whoever else has it.

    Raises
    ------
    ProjectError, ProjectVersionError, ImageFormatError
        If the project or the image cannot be read.
    """
    from napari_glmedsa.project.photographs import image_id

    project = AnnotationProject.open(folder)
    image = image_id(photograph.rgb())
    claim = project.claim(image, annotator=annotator)
    journal, anew = project.journal(image), project.journal(image)
    holder, restored, problem = None, None, ""
    try:
        holder = claim.take(force=force)
        project.set_bookmark(annotator, image)
    except GLMedSAError as error:
        problem = str(error)
    annotation = project.annotation_sha256(image)
    anew.note_annotation(annotation)
    is_saved, is_theirs, state = True, False, ""
    if holder is None and resume and journal.exists:
        try:
            restored = journal.resume(photograph.accepted.label_map.shape[:2])
        except GLMedSAError as error:
            problem = str(error)
    if restored is not None:
        if restored.is_damaged:
            problem = (
                "A part of what was done on this photograph could not be read: the "
                "file was put aside, and work goes on from where it could be."
            )
        is_saved = _is_saved(project, image, restored)
        is_theirs = restored.annotation != annotation and not is_saved
        journal.note_annotation(annotation)
    if annotation is not None:
        state = project.data_sha256([image])
    return Found(
        folder,
        image,
        journal,
        anew,
        claim,
        holder,
        restored,
        is_saved,
        is_theirs,
        state,
        problem,
    )


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
