"""The worker of the dock "Worklist": asked in the Qt thread, and answers there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from psygnal import Signal

from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.jobs import Job, JobQueue
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.ui.worklist_work import Listing, WorklistWork
from napari_glmedsa.worklist import Entry, Worklist
from napari_glmedsa.worklist.records import MarkName

T = TypeVar("T")

_KINDS = _FOLDER, _LIST, _FETCH, _AHEAD = "folder", "list", "fetch", "ahead"


class WorklistDesk:
    """Does everything that touches files, one thing after the other.

    Methods return at once. A newer question takes the place of an unanswered one of
    its kind; marks are made in any case.

    Parameters
    ----------
    registry : ModelRegistry
        Where models are.
    main_thread : MainThread
        Where answers are wanted.
    """

    opened = Signal(str, object)
    """Key of the photograph to show, and a Listing."""
    listed = Signal(object)
    """Listing."""
    fetched = Signal(object, str, object)
    """Worklist, the key that was asked for, and the Photograph."""
    fetched_ahead = Signal(object)
    """Photograph."""
    failed = Signal(Exception)

    def __init__(self, registry: ModelRegistry, main_thread: MainThread) -> None:
        self._jobs, self._main_thread = JobQueue(), main_thread
        self._work = WorklistWork(registry)
        self._n_marks = 0

    def open(self, folder: Path, key: str) -> None:
        """Open a folder, to show one of its photographs."""
        self._do(
            _FOLDER,
            lambda job: self._work.open(folder, job.raise_if_cancelled),
            partial(self.opened.emit, key),
        )

    def look(self, worklist: Worklist) -> None:
        """List the photographs as they are now."""
        self._do(
            _LIST,
            lambda job: self._work.look(worklist, job.raise_if_cancelled),
            self.listed.emit,
        )

    def mark(
        self, worklist: Worklist, entry: Entry, status: MarkName | None, by: str
    ) -> None:
        """Flag or skip a photograph, or take that back, and list anew."""

        def mark(_: Job) -> Listing:
            worklist.mark(entry, status, by=by)
            return self._work.look(worklist, lambda: None)

        self._n_marks += 1  # a key of its own: no mark ever replaces another
        self._do(f"mark {self._n_marks}", mark, self.listed.emit)

    def fetch(self, worklist: Worklist, entry: Entry) -> None:
        """Read a photograph."""
        self._do(
            _FETCH,
            lambda _: self._work.fetch(worklist, entry),
            partial(self.fetched.emit, worklist, entry.key),
        )

    def fetch_none(self) -> None:
        """Forget the photograph that was asked for last."""
        self._jobs.cancel(_FETCH)

    def fetch_ahead(self, worklist: Worklist, entry: Entry) -> None:
        """Read the photograph that will be asked for next; a failure is not told."""
        self._do(
            _AHEAD,
            lambda _: self._work.fetch_ahead(worklist, entry),
            self.fetched_ahead.emit,
            on_error=_raise_if_a_bug,
        )

    def close(self) -> None:
        """Make the marks that wait, and end."""
        for key in _KINDS:
            self._jobs.cancel(key)
        self._jobs.close()

    def _do(
        self,
        key: str,
        run: Callable[[Job], T],
        on_done: Callable[[T], object],
        *,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        queued = self._main_thread.wrap
        on_error = on_error or self.failed.emit
        self._jobs.submit(key, run, on_done=queued(on_done), on_error=queued(on_error))


def _raise_if_a_bug(error: Exception) -> None:
    if not isinstance(error, GLMedSAError):  # the user will ask, and be told
        raise error
