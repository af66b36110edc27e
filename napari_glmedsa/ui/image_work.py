"""The work on the image at hand: written down, restored, and ours alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari.utils.notifications import show_warning
from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.history import Document
from napari_glmedsa.jobs import Job, JobQueue
from napari_glmedsa.project.claims import RENEW_SECONDS, Claim, Holder
from napari_glmedsa.project.journal import Journal
from napari_glmedsa.ui import work_desk
from napari_glmedsa.ui.companion import OURS
from napari_glmedsa.ui.layers import LayerTrio
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.ui.photograph import Bookmarks, Photograph
from napari_glmedsa.ui.work_desk import Found
from napari_glmedsa.ui.workbench import Workbench

RETRY_SECONDS = 5.0
"""How often what could not be written is tried again."""


class ImageWork:
    """Has every step written into the project as it happens.

    Parameters
    ----------
    bench : Workbench
        At the image.
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
        *,
        jobs: JobQueue,
        main_thread: MainThread,
        parent: QObject,
    ) -> None:
        self.holder: Holder | None = None
        self._bench, self._jobs, self._main_thread = bench, jobs, main_thread
        self._trio: LayerTrio | None = None
        self._claim: Claim | None = None
        self._journal: Journal | None = None
        self._again: Callable[[], None] = lambda: None
        self._heartbeat, self._retry = QTimer(parent), QTimer(parent)
        for timer, seconds, do in (
            (self._heartbeat, RENEW_SECONDS, self._renew),
            (self._retry, RETRY_SECONDS, self._save),
        ):
            timer.setInterval(round(1000 * seconds))
            timer.timeout.connect(do)
        bench.in_trouble.connect(self._on_trouble)

    @property
    def words(self) -> str:
        """Who else works on the image, in a sentence; empty if nobody does."""
        if self.holder is None:
            return ""
        return (
            f"In work: {self.holder}. What you do here is not written down, and saving "
            "replaces what they accept."
        )

    def begin(
        self,
        trio: LayerTrio,
        photograph: Photograph,
        *,
        folder: Path,
        then: Callable[[], object],
        force: bool = False,
    ) -> None:
        """Claim an image in a project and restore what was not finished.

        Parameters
        ----------
        trio : LayerTrio
            Its layers.
        photograph : Photograph
            What they show.
        folder : Path
            The project's.
        then : callable
            Called when that is done, or impossible.
        force : bool
            Whether to take the image from whoever else has it.
        """
        self.end()
        self._trio = trio
        self._again = partial(
            self.begin, trio, photograph, folder=folder, then=then, force=True
        )
        known = _journal_of(trio)
        has_it = known is not None and known.is_open and folder in known.path.parents
        annotator = self._bench.annotator()

        def run(job: Job) -> Found:
            found = work_desk.begin(
                folder, photograph, annotator=annotator, resume=not has_it, force=force
            )
            if job.cancelled:
                found.claim.release()
            return found

        self._jobs.submit(
            "begin work",
            run,
            on_done=self._main_thread.wrap(
                partial(self._on_begun, trio, then, known if has_it else None)
            ),
            on_error=self._main_thread.wrap(partial(self._on_failed, trio, then)),
        )

    def take_over(self) -> None:
        """Take the image from whoever else works on it."""
        if self.holder is not None:
            self._again()

    def note_saved(self, trio: LayerTrio, annotation: str | None) -> None:
        """Write down which accepted mask the project has now."""
        journal = _journal_of(trio)
        if journal is not None:
            try:
                journal.note_annotation(annotation)
            except GLMedSAError as error:
                self._on_trouble(error)

    def end(self) -> None:
        """Give the image back."""
        self._heartbeat.stop()
        self._retry.stop()
        claim, self._claim = self._claim, None
        journal, self._journal = self._journal, None
        nothing_done = self._trio is not None and _is_untouched(self._trio)
        self._trio, self.holder = None, None

        def release(_: Job) -> None:
            if journal is not None and nothing_done:
                journal.discard()
            if claim is not None:
                claim.release()

        if claim is not None:
            # A key of its own: nothing ever replaces it.
            self._jobs.submit(
                f"release {id(claim)}",
                release,
                on_done=lambda _: None,
                on_error=self._main_thread.wrap(self._warn),
            )

    def _on_begun(
        self,
        trio: LayerTrio,
        then: Callable[[], object],
        known: Journal | None,
        found: Found,
    ) -> None:
        episode = self._bench.episode
        if trio is not self._trio or trio is not self._bench.trio or episode is None:
            self._jobs.submit(
                f"release {id(found.claim)}",
                lambda _: found.claim.release(),
                on_done=lambda _: None,
                on_error=self._main_thread.wrap(self._warn),
            )
            return
        if found.problem:
            show_warning(found.problem)
        if found.holder is not None:
            self.holder = found.holder
            episode.write_into(None)
        else:
            self._claim, self._journal = found.claim, known or found.anew
            self._heartbeat.start()
            if known is None:
                self._restore(trio, found)
        self.changed.emit()
        then()

    def _restore(self, trio: LayerTrio, found: Found) -> None:
        episode, restored = self._bench.episode, found.restored
        if episode is None:
            return
        if restored is None or not episode.is_new:
            if restored is not None:
                show_warning(
                    "Work on this photograph from before was put aside: there is newer."
                )
            episode.write_into(found.anew)
            return
        self._journal = found.journal
        self._bench.restore(
            Document(
                restored.label_map,
                restored.sheet,
                history=restored.history,
                journal=found.journal,
            ),
            found.journal,
        )
        marks = Bookmarks.of(trio)
        if found.state:
            # Whatever the project has, and the screen has not, was removed here.
            marks.seen[found.folder, found.image] = found.state
        marks.version += not found.is_saved
        if found.is_theirs:
            marks.seen.pop((found.folder, found.image), None)
            marks.saved[found.folder] = marks.version
            show_warning(
                "Somebody else has changed the accepted lesions of this photograph "
                "since you worked on it: compare before you accept."
            )

    def _renew(self) -> None:
        claim = self._claim
        if claim is not None:
            self._jobs.submit(
                "renew claim",
                lambda _: claim.renew(),
                on_done=self._main_thread.wrap(partial(self._on_renewed, claim)),
                on_error=self._main_thread.wrap(self._warn),
            )

    def _on_renewed(self, claim: Claim, holder: Holder | None) -> None:
        if claim is self._claim and holder is not None:
            self.holder, self._claim = holder, None
            self._heartbeat.stop()
            if self._bench.episode is not None:
                self._bench.episode.write_into(None)
            show_warning(f"This photograph was taken over: {self.words}")
            self.changed.emit()

    def _on_trouble(self, error: GLMedSAError) -> None:
        self._warn(error)
        self._retry.start()

    def _save(self) -> None:
        if self._bench.episode is None or self._bench.episode.document.save():
            self._retry.stop()

    def _on_failed(
        self, trio: LayerTrio, then: Callable[[], object], error: Exception
    ) -> None:
        self._warn(error)
        if trio is self._trio:
            then()

    def _warn(self, error: Exception) -> None:
        if not isinstance(error, GLMedSAError):
            raise error
        show_warning(str(error))


def _journal_of(trio: LayerTrio) -> Journal | None:
    layer = trio.mask.layer
    known = None if layer is None else layer.metadata[OURS].get("journal")
    return known if isinstance(known, Journal) else None


def _is_untouched(trio: LayerTrio) -> bool:
    """Say whether there is nothing that is worth being restored."""
    return not trio.mask.has_objects and trio.prompts().is_empty
