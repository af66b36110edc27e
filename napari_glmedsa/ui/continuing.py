"""The photograph that the user was at last, offered while there is no other one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import napari.viewer
from napari.utils.notifications import show_error
from numpy.typing import NDArray
from psygnal import Signal

from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.jobs import JobQueue
from napari_glmedsa.project.shelf import LastPhotograph, Shelf
from napari_glmedsa.ui.companion import OURS
from napari_glmedsa.ui.main_thread import MainThread


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be gone on with.

    Attributes
    ----------
    last : LastPhotograph
        The photograph.
    n_steps : int
        What was done on it and is not finished.
    """

    last: LastPhotograph
    n_steps: int = 0

    @property
    def words(self) -> str:
        """What the user reads."""
        steps = "1 step" if self.n_steps == 1 else f"{self.n_steps} steps"
        done = f": {steps}, nothing lost" if self.n_steps else ""
        return f"You were at {self.last.name}{done}."


class Continuing:
    """Opens the photograph again that was open when napari ended.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where it is shown.
    shelf : Shelf
        Knows which one it was.
    jobs : JobQueue
        The worker that touches projects.
    main_thread : MainThread
        Where answers are wanted.
    """

    changed = Signal()
    """Something is offered now."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        shelf: Shelf,
        *,
        jobs: JobQueue,
        main_thread: MainThread,
    ) -> None:
        self.offer: Offer | None = None
        self._viewer, self._shelf = viewer, shelf
        self._jobs, self._main_thread = jobs, main_thread
        jobs.submit(
            "last photograph",
            lambda _: _look(shelf),
            on_done=main_thread.wrap(self._on_found),
            on_error=main_thread.wrap(self._on_failed),
        )

    @property
    def words(self) -> str:
        """What is offered, in a sentence; empty if nothing is."""
        return self.offer.words if self.offer else ""

    def go_on(self) -> None:
        """Open what is offered."""
        if self.offer is None:
            return
        last = self.offer.last
        if last.file is not None and last.reader and last.file.is_file():
            # As before, so that the pixels are those of before.
            self._viewer.open(last.file, plugin=last.reader)
            return
        self._jobs.submit(
            "open last photograph",
            lambda _: self._shelf.pixels(last),
            on_done=self._main_thread.wrap(lambda pixels: self._show(last, pixels)),
            on_error=self._main_thread.wrap(self._on_failed),
        )

    def _show(self, last: LastPhotograph, pixels: NDArray[Any]) -> None:
        marks = {"image_id": last.image, "path": str(last.file or "")}
        if last.project is not None:
            marks["project"] = str(last.project)
        self._viewer.add_image(pixels, rgb=True, name=last.name, metadata={OURS: marks})

    def _on_found(self, offer: Offer | None) -> None:
        self.offer = offer
        self.changed.emit()

    def _on_failed(self, error: Exception) -> None:
        if not isinstance(error, GLMedSAError):
            raise error
        show_error(str(error))


def _look(shelf: Shelf) -> Offer | None:
    last = shelf.last()
    if last is None:
        return None
    try:
        journal = shelf.work_on(last).journal(last.image)
        n_steps = journal.read().history.position if journal.exists else 0
    except GLMedSAError:  # it will be said when the photograph is open
        n_steps = 0
    return Offer(last, n_steps)
