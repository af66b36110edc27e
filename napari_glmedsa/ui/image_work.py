"""The work on the image at hand: written down, restored, and ours alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari.utils.notifications import show_warning
from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

from napari_glmedsa.errors import GLMedSAError, OutputError
from napari_glmedsa.jobs import Job, JobQueue
from napari_glmedsa.project.claims import RENEW_SECONDS, Holder
from napari_glmedsa.project.journal import Journal
from napari_glmedsa.project.shelf import Shelf
from napari_glmedsa.ui import work_desk
from napari_glmedsa.ui.companion import OURS
from napari_glmedsa.ui.episode import Episode
from napari_glmedsa.ui.layers import LayerTrio
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.ui.photograph import Photograph
from napari_glmedsa.ui.restoring import is_untouched, restore
from napari_glmedsa.ui.work_desk import Found
from napari_glmedsa.ui.workbench import Workbench

RETRY_SECONDS = 5.0
"""How often what could not be written is tried again."""


class ImageWork:
    """Has every step written into the project, or onto the shelf, as it happens.

    Parameters
    ----------
    bench : Workbench
        At the image.
    shelf : Shelf
        For images that belong to no project.
    jobs : JobQueue
        The worker that touches projects.
    main_thread : MainThread
        Where answers are wanted.
    parent : QObject
        Whose end is the end of this.
    """

    changed = Signal()
    """Somebody else has the image now, or nobody has any more."""

    def __init__(
        self,
        bench: Workbench,
        shelf: Shelf,
        *,
        jobs: JobQueue,
        main_thread: MainThread,
        parent: QObject,
    ) -> None:
        self.holder: Holder | None = None
        self._bench, self._shelf = bench, shelf
        self._jobs, self._main_thread = jobs, main_thread
        self._trio: LayerTrio | None = None
        self._found: Found | None = None
        self._episode: Episode | None = None
        self._journal: Journal | None = None
        self._n_silent = 0  # times in a row that the claim could not be renewed
        self._again: Callable[[bool], None] = lambda _: None
        self._heartbeat, self._retry = QTimer(parent), QTimer(parent)
        for timer, seconds, do in (
            (self._heartbeat, RENEW_SECONDS, self._renew),
            (self._retry, RETRY_SECONDS, self._save),
        ):
            timer.setInterval(round(1000 * seconds))
            timer.timeout.connect(do)
        bench.in_trouble.connect(self._on_trouble)

    @property
    def is_ours(self) -> bool:
        """Whether the image was claimed, and nobody has taken it over."""
        return self._found is not None and self.holder is None

    @property
    def words(self) -> str:
        """Who else works on the image, in a sentence; empty if nobody does."""
        if self.holder is None:
            return ""
        alone = " Perhaps nobody is there any more." if self.holder.is_stale else ""
        return (
            f"In work: {self.holder}.{alone} Nothing that you do here is kept before"
            " you take over."
        )

    def begin(
        self,
        trio: LayerTrio,
        photograph: Photograph,
        *,
        folder: Path | None,
        then: Callable[[], object],
        force: bool = False,
    ) -> None:
        """Claim an image and restore what was not finished.

        Parameters
        ----------
        trio : LayerTrio
            Its layers.
        photograph : Photograph
            What they show.
        folder : Path or None
            The project's; without one, the work is on the shelf.
        then : callable
            Called when that is done, or impossible.
        force : bool
            Whether to take the image from whoever else has it.
        """
        self.end()
        self._trio = trio
        self._again = lambda force: self.begin(
            trio, photograph, folder=folder, then=then, force=force
        )
        known, annotator = _journal_of(trio), self._bench.annotator()
        shown = known.path if known is not None and known.is_open else None

        def run(job: Job) -> Found:
            found = work_desk.begin(
                folder,
                photograph,
                self._shelf,
                annotator=annotator,
                shown=shown,
                force=force,
            )
            if job.cancelled:
                found.claim.release()
            return found

        self._jobs.submit(
            "begin work",
            run,
            on_done=self._main_thread.wrap(partial(self._on_begun, trio, then, known)),
            on_error=self._main_thread.wrap(partial(self._on_failed, trio, then)),
        )

    def take_over(self) -> None:
        """Take the image from whoever else works on it."""
        if self.holder is not None:
            self._again(True)

    def noting(self, trio: LayerTrio) -> Callable[[str | None], None]:
        """Return what writes down, in any thread, which accepted mask there is."""
        journal = _journal_of(trio)

        def note(annotation: str | None) -> None:
            if journal is not None:
                try:
                    journal.note_annotation(annotation)
                except GLMedSAError as error:
                    self._main_thread.call(partial(self._on_trouble, error))

        return note

    def end(self) -> None:
        """Give the image back."""
        self._heartbeat.stop()
        self._retry.stop()
        found, episode, is_ours = self._found, self._episode, self.is_ours
        self._trio = self._found = self._episode = self.holder = None
        journal, self._journal = self._journal, None
        if found is None or episode is None or not is_ours:
            return
        nothing_done = is_untouched(episode.document)

        def release() -> None:
            if journal is not None and (
                nothing_done or work_desk.is_finished(found.last, journal, self._shelf)
            ):
                journal.discard()
            found.claim.release()

        self._finally(release)

    def _on_begun(
        self,
        trio: LayerTrio,
        then: Callable[[], object],
        known: Journal | None,
        found: Found,
    ) -> None:
        episode = self._bench.episode if trio.mask.layer is not None else None
        if trio is not self._trio or trio is not self._bench.trio or episode is None:
            self._finally(found.claim.release)
            return
        self._found, self._episode, self.holder = found, episode, found.holder
        self._heartbeat.start()
        if found.problem:
            show_warning(found.problem)
        if found.holder is not None:
            episode.write_into(None)
        elif known is None or not known.is_open or known.path != found.journal.path:
            is_taken = restore(self._bench, trio, found)
            if found.former is not None and not is_taken:
                self._finally(found.former.put_aside)
        self._journal = journal = _journal_of(trio)
        if journal is not None and journal.is_open:
            for former in (known, found.former):
                if former is not None and former.path != journal.path:
                    self._finally(former.discard)
        self.changed.emit()
        then()

    def _renew(self) -> None:
        trio, found = self._trio, self._found
        if trio is not None and found is not None:
            claim = found.claim
            look = claim.renew if self.holder is None else claim.holder
            self._jobs.submit(
                "renew claim",
                lambda _: look(),
                on_done=self._main_thread.wrap(partial(self._on_renewed, found)),
                on_error=self._main_thread.wrap(self._on_not_renewed),
            )

    def _on_not_renewed(self, error: Exception) -> None:
        if self._n_silent == 0:  # the next ones would say the same
            self._warn(error)
        self._n_silent += 1

    def _on_renewed(self, found: Found, holder: Holder | None) -> None:
        self._n_silent = 0
        episode = self._bench.episode
        if found is not self._found or episode is None:
            return
        was_ours = self.holder is None
        if holder is not None:
            self.holder = holder
            if was_ours:
                episode.write_into(None)
                who = holder.owner or "Somebody"
                show_warning(f"{who} has taken this photograph over.")
            self.changed.emit()
        elif not was_ours and episode.is_new:
            self._again(False)  # they have left it, and there is nothing to lose here

    def _on_trouble(self, error: GLMedSAError) -> None:
        self._warn(error)
        self._retry.start()
        if not isinstance(error, OutputError):
            self._renew()  # somebody has taken the image over

    def _save(self) -> None:
        if self._bench.episode is None or self._bench.episode.document.save():
            self._retry.stop()

    def _on_failed(
        self, trio: LayerTrio, then: Callable[[], object], error: Exception
    ) -> None:
        self._warn(error)
        if trio is self._trio:
            then()

    def _finally(self, do: Callable[[], None]) -> None:
        """Have the worker do what nobody waits for, after all that it has to do now."""
        # A key of its own: nothing ever replaces it.
        self._jobs.submit(
            f"finally {id(do)}",
            lambda _: do(),
            on_done=lambda _: None,
            on_error=self._main_thread.wrap(self._warn),
        )

    def _warn(self, error: Exception) -> None:
        if not isinstance(error, GLMedSAError):
            raise error
        show_warning(str(error))


def _journal_of(trio: LayerTrio) -> Journal | None:
    layer = trio.mask.layer
    known = None if layer is None else layer.metadata[OURS].get("journal")
    return known if isinstance(known, Journal) else None
