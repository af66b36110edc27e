"""One annotation project, as the worker uses it: masks go in and come back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.ui.accepted import AcceptedObject, AcceptedObjects
from napari_glmedsa.ui.pytorch import prepare_pytorch

SAME_LESION = 0.5
"""IoU from which on two objects are two outlines of one lesion."""

Place = tuple[Path, str]
"""Of an annotation: the project's folder and the id of the image."""


@dataclass
class Bookmarks:
    """How far projects and one mask layer know each other.

    Attributes
    ----------
    version : int
        Of the accepted objects on the screen; it grows when they change.
    saved : dict
        The version that each project has.
    seen : dict
        The state of an annotation that was wholly on the screen: whatever lacks on the
        screen since then was removed there. In any other state, it was not seen yet.
    """

    version: int = 0
    saved: dict[Path, int] = field(default_factory=dict)
    seen: dict[Place, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Photograph:
    """An image and its accepted objects at one moment, to be read by the worker.

    Attributes
    ----------
    pixels : array-like
        What the image layer holds; it may be lazy.
    source : str
        Name of its file.
    accepted : AcceptedObjects
        Also the (H, W) of the image.
    bookmarks : Bookmarks
        Of its mask layer.
    """

    pixels: Any
    source: str
    accepted: AcceptedObjects
    bookmarks: Bookmarks


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
    place, state : Place or None, str
        Of the photograph's annotation, if there is one.
    """

    folder: Path
    name: str
    n_annotated: int
    missing: tuple[AcceptedObject, ...] = ()
    n_replaced: int = 0
    place: Place | None = None
    state: str = ""


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

        image = image_id(_rgb(photograph))
        if image not in annotated:
            return nothing
        numbers, _ = photograph.accepted.numbered()
        missing, n_replaced = self._unseen(
            project, image, numbers, photograph.bookmarks
        )
        return self._entry(project, image, missing, n_replaced)

    def save(self, photograph: Photograph) -> Entry:
        """Put a photograph and its accepted objects into the project.

        Objects that the project has and the screen never showed stay in it. Without
        any object the photograph is not annotated any more.
        """
        project = self._project()
        image = project.add_image(_rgb(photograph), source=photograph.source)
        numbers, provenances = photograph.accepted.numbered()
        # Another program may be saving objects of the same photograph.
        with project.changing():
            missing, n_replaced = self._unseen(
                project, image, numbers, photograph.bookmarks
            )
            for one in missing:
                provenances.append(one.provenance)
                numbers[one.box][one.pixels] = len(provenances)
            if not provenances and project.is_annotated(image):
                project.withdraw_annotation(image)  # all that was accepted is erased
            else:
                project.save_annotation(image, numbers, provenances)
            entry = self._entry(project, image, missing, n_replaced)
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
        )

    def _unseen(
        self,
        project: AnnotationProject,
        image: str,
        numbers: NDArray[np.uint16],
        bookmarks: Bookmarks,
    ) -> tuple[tuple[AcceptedObject, ...], int]:
        """Return what a label map (H, W) lacks, and how much it has otherwise."""
        if image not in project.annotated():
            return (), 0
        if bookmarks.seen.get((self.folder, image)) == project.data_sha256([image]):
            return (), 0
        label_map, provenances = project.label_map(image), project.objects(image)
        missing, n_replaced = [], 0
        for label in project.labels(image):
            mask = label_map == label
            iou = _best_iou(numbers, mask)
            if iou >= SAME_LESION:  # outlined anew: the outline on the screen holds
                n_replaced += iou < 1
            elif (rest := mask & (numbers == 0)).any():
                known = provenances[label - 1 : label] or (Provenance(),)
                missing.append(AcceptedObject.cut_out(rest, known[0]))
        return tuple(missing), n_replaced


def _best_iou(numbers: NDArray[np.uint16], mask: NDArray[np.bool_]) -> float:
    counts = np.bincount(numbers[mask], minlength=2)
    counts[0] = 0
    best = int(counts.argmax())
    shared = int(counts[best])
    both = int(mask.sum()) + int((numbers == best).sum()) - shared
    return shared / both if shared else 0.0


def _rgb(photograph: Photograph) -> NDArray[np.uint8]:
    prepare_pytorch()
    from napari_glmedsa.inference import to_rgb_uint8  # imports torch

    return to_rgb_uint8(photograph.pixels)
