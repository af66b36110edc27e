"""One annotation project, as the worker uses it: masks go in and come back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.project.scale import keep_scale
from napari_glmedsa.ui.accepted import AcceptedObject
from napari_glmedsa.ui.photograph import Bookmarks, Photograph, Place

SAME_LESION = 0.5
"""IoU from which on two objects are two outlines of one lesion."""


@dataclass(frozen=True, eq=False)
class Entry:
    """What a project has now, after it was asked or given something.

    Attributes
    ----------
    folder, name : Path, str
        The project.
    n_annotated : int
        Images with a mask.
    missing : sequence of AcceptedObject
        Objects of the photograph that were in the project and not on the screen.
    n_replaced : int
        Other objects that the screen has another outline of, which holds.
    disputed : sequence of Provenance
        Where those came from, if they were there first: nothing was saved.
    place, state : Place or None, str
        Of the photograph's annotation, if there is one.
    annotation : str or None
        Hash of its mask.
    """

    folder: Path
    name: str
    n_annotated: int
    missing: tuple[AcceptedObject, ...] = ()
    n_replaced: int = 0
    disputed: tuple[Provenance, ...] = ()
    place: Place | None = None
    state: str = ""
    annotation: str | None = None

    @property
    def saving_words(self) -> str:
        """Where accepted masks go, in a sentence."""
        return f"Saving into {self.name} ({self.n_annotated} annotated)."

    @property
    def question(self) -> str:
        """Whose outlines are disputed, and what the user can do."""
        names = {one.annotator for one in self.disputed if one.annotator}
        who = " and ".join(sorted(names)) or "Somebody"
        number = len(self.disputed)
        lesions = "1 lesion" if number == 1 else f"{number} lesions"
        return (
            f"Not saved: meanwhile, {who} outlined {lesions} otherwise. Replace that,"
            " or delete yours to see it."
        )


class ProjectDesk:
    """Saves what was accepted and finds what was accepted earlier.

    Nothing here is for the Qt thread, and every method may raise ProjectError,
    ProjectVersionError, OutputError or ImageFormatError.

    Parameters
    ----------
    folder : Path
        The project's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: AnnotationProject | None = None

    def create(self) -> Entry:
        """Make the project."""
        AnnotationProject.create(self.folder)
        return self.open()

    def open(self) -> Entry:
        """Tell what the project is."""
        project = self._project()
        return Entry(self.folder, project.name, len(project.annotated()))

    def look_up(self, photograph: Photograph) -> Entry:
        """Find the objects of a photograph that are not on the screen."""
        project = self._project()
        annotated = project.annotated()
        nothing = Entry(self.folder, project.name, len(annotated))
        if not annotated:
            return nothing
        from napari_glmedsa.project.photographs import image_id

        image = image_id(photograph.rgb())
        if image not in annotated:
            return nothing
        numbers, _ = photograph.accepted.numbered()
        missing, others = self._unseen(project, image, numbers, photograph.bookmarks)
        return self._entry(project, image, missing, len(others))

    def save(self, photograph: Photograph, *, replace_others: bool = False) -> Entry:
        """Put a photograph and its accepted objects into the project.

        Objects that the project has and the screen never showed stay in it. Without
        any object the photograph is not annotated any more.

        Parameters
        ----------
        photograph : Photograph
            What is saved.
        replace_others : bool
            Whether outlines go that the screen never showed and has others of. Else
            nothing is saved if there are such; the entry tells of them.
        """
        project = self._project()
        image = project.add_image(photograph.rgb(), source=photograph.source)
        keep_scale(project.root, image, photograph.file)
        numbers, provenances = photograph.accepted.numbered()
        # Another program may be saving objects of the same photograph.
        with project.changing():
            missing, others = self._unseen(
                project, image, numbers, photograph.bookmarks
            )
            if others and not replace_others:
                return replace(self.open(), disputed=others)
            for one in missing:
                provenances.append(one.provenance)
                numbers[one.box][one.pixels] = len(provenances)
            if not provenances and project.is_annotated(image):
                project.withdraw_annotation(image)  # all that was accepted is erased
            else:
                project.save_annotation(image, numbers, provenances)
            entry = self._entry(project, image, missing, len(others))
        if entry.place and not missing:
            photograph.bookmarks.seen[entry.place] = entry.state
        return entry

    def _project(self) -> AnnotationProject:
        # Opened each time, because it may have been moved, and kept all the same,
        # because it remembers what it has read.
        now = AnnotationProject.open(self.folder)
        if self._known is None or self._known.name != now.name:
            self._known = now
        return self._known

    def _entry(
        self,
        project: AnnotationProject,
        image: str,
        missing: tuple[AcceptedObject, ...],
        n_replaced: int,
    ) -> Entry:
        annotated = project.annotated()
        entry = Entry(self.folder, project.name, len(annotated))
        if image not in annotated:
            return entry
        return replace(
            entry,
            missing=missing,
            n_replaced=n_replaced,
            place=(self.folder, image),
            state=project.data_sha256([image]),
            annotation=project.annotation_sha256(image),
        )

    def _unseen(
        self,
        project: AnnotationProject,
        image: str,
        numbers: NDArray[np.uint16],
        bookmarks: Bookmarks,
    ) -> tuple[tuple[AcceptedObject, ...], tuple[Provenance, ...]]:
        """Return what a label map (H, W) lacks, and whose outlines it has otherwise."""
        if image not in project.annotated():
            return (), ()
        if bookmarks.seen.get((self.folder, image)) == project.data_sha256([image]):
            return (), ()
        label_map, provenances = project.label_map(image), project.objects(image)
        missing, others = [], []
        for label in project.labels(image):
            mask = label_map == label
            known = (*provenances[label - 1 : label], Provenance())[0]
            iou = _best_iou(numbers, mask)
            if 0 < iou < 1:
                others.append(known)
            if iou < SAME_LESION and (rest := mask & (numbers == 0)).any():
                missing.append(AcceptedObject.cut_out(rest, known))
        return tuple(missing), tuple(others)


def _best_iou(numbers: NDArray[np.uint16], mask: NDArray[np.bool_]) -> float:
    counts = np.bincount(numbers[mask], minlength=2)
    counts[0] = 0
    best = int(counts.argmax())
    shared = int(counts[best])
    both = int(mask.sum()) + int((numbers == best).sum()) - shared
    return shared / both if shared else 0.0
