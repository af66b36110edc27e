"""What ties the dock to the project that accepted masks go into."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari.utils.notifications import show_error, show_warning
from psygnal import Signal

from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.jobs import Job, JobQueue
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.ui.companion import OURS
from napari_glmedsa.ui.completion import to_the_end
from napari_glmedsa.ui.image_work import ImageWork
from napari_glmedsa.ui.layers import LayerTrio
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.ui.photograph import Bookmarks, Photograph
from napari_glmedsa.ui.project_desk import Entry, ProjectDesk
from napari_glmedsa.ui.project_picker import ProjectPicker


class ProjectLink:
    """Saves the accepted objects of an image and brings back those saved earlier.

    A worker does all that touches the project. A save that fails loses nothing: the
    mask stays on the screen, and `is_behind` until it has been saved.

    Parameters
    ----------
    picker : ProjectPicker
        Where the user chooses.
    recent : RecentProjects
        What is remembered over restarts.
    jobs : JobQueue
        The worker, without a chain: it finishes a save even when the dock is closed.
    main_thread : MainThread
        Where answers are wanted.
    work : ImageWork
        What is written down before anything is accepted.
    """

    changed = Signal()
    """The status changed, or the objects on the screen did."""

    def __init__(
        self,
        picker: ProjectPicker,
        recent: RecentProjects,
        *,
        jobs: JobQueue,
        main_thread: MainThread,
        work: ImageWork,
    ) -> None:
        self.status = ""
        self.has_question = False
        self._work = work
        self._picker, self._recent = picker, recent
        self._jobs, self._main_thread = jobs, main_thread
        self._desk: ProjectDesk | None = None
        self._trio: LayerTrio | None = None
        self._is_opening = False
        self._n_saves = 0
        picker.opened.connect(self.open)
        picker.created.connect(self.create)
        picker.closed.connect(self.close_project)
        picker.signed.connect(self._on_signed)
        self.offer_recent()
        if (folder := recent.saves_into()) is not None:
            desk = ProjectDesk(folder)
            self._open(desk.open, partial(self._use, desk))

    @property
    def annotator(self) -> str:
        """Who accepts."""
        return self._recent.annotator()

    @property
    def is_behind(self) -> bool:
        """Whether the project lacks what was accepted on this image."""
        return self._trio is not None and self._lacks(self._trio)

    # Which project

    def offer_recent(self) -> None:
        """Offer the projects that were used recently, in this dock or elsewhere."""
        self._picker.offer(self._recent.paths(), annotator=self.annotator)

    def open(self, folder: Path) -> None:
        """Save into the project in a folder from now on."""
        desk = ProjectDesk(folder.absolute())
        self._open(desk.open, partial(self._pick, desk))

    def create(self, folder: Path) -> None:
        """Save into a new project from now on."""
        desk = ProjectDesk(folder.absolute())
        self._open(desk.create, partial(self._pick, desk))

    def close_project(self) -> None:
        """Save nowhere from now on."""
        self._jobs.cancel("open project")
        self._desk, self._is_opening = None, False
        self._recent.save_into(None)
        self._picker.show_project(None)
        self._say("")
        self._meet()

    def _open(
        self, run: Callable[[], Entry], on_done: Callable[[Entry], object]
    ) -> None:
        self._is_opening = True
        self._submit("open project", lambda _: run(), on_done)

    def _pick(self, desk: ProjectDesk, entry: Entry) -> None:
        self._recent.save_into(desk.folder)
        self._use(desk, entry)

    def _use(self, desk: ProjectDesk, entry: Entry) -> None:
        self._desk, self._is_opening = desk, False
        self.offer_recent()
        self._picker.show_project(desk.folder)
        self._say(entry.saving_words)
        self._meet()

    def _on_signed(self, name: str) -> None:
        self._recent.set_annotator(name)
        self.offer_recent()

    # What is in it

    def follow(self, trio: LayerTrio) -> None:
        """Keep the accepted objects of this image from now on."""
        self.leave()
        self._trio = trio
        trio.mask.repainted.connect(self._on_repainted)
        wanted = trio.image.metadata.get(OURS, {}).get("project")
        if wanted and (self._desk is None or self._desk.folder != Path(wanted)):
            self.open(Path(wanted))
        else:
            self._meet()

    def leave(self) -> None:
        """Save what was painted on accepted objects, and let go of the image."""
        if self._trio is not None:
            self._look_at_accepted()
            if self._lacks(self._trio):
                self.save()
            self._work.end()
            self._trio.mask.repainted.disconnect(self._on_repainted)
            self._trio, self.has_question = None, False

    def keep(self) -> None:
        """Save the objects of the image, of which one was accepted just now."""
        if self._trio is not None:
            Bookmarks.of(self._trio).version += 1
            self.save()

    def replace_others(self) -> None:
        """Save, although somebody else has accepted other outlines meanwhile."""
        self.save(replace_others=True)

    def save(self, *, replace_others: bool = False) -> None:
        """Save the accepted objects of the image, if it is ours."""
        trio, desk = self._trio, self._desk
        if self._work.holder is not None:
            show_warning(self._work.words)
            self.changed.emit()
        elif trio is not None and desk is not None and trio.mask.layer is not None:
            photograph = self._photograph(trio)
            version, note = photograph.bookmarks.version, self._work.noting(trio)
            self._say(f"Saving to {desk.folder.name}…")
            self.has_question = False

            def run(_: Job) -> Entry:
                entry = desk.save(photograph, replace_others=replace_others)
                if not entry.disputed:
                    note(entry.annotation)
                return entry

            # A key of its own: no save ever replaces another.
            self._n_saves += 1
            finished = threading.Event()
            job = self._submit(
                f"save {self._n_saves}",
                to_the_end(run, finished),
                partial(self._on_saved, trio, version),
            )
            if job.cancelled:
                finished.set()

    def _meet(self) -> None:
        """Bring image and project together, whichever of them is new."""
        trio, desk = self._trio, self._desk
        if trio is not None and not self._is_opening:
            self._work.begin(
                trio,
                self._photograph(trio),
                folder=desk.folder if desk else None,
                then=partial(self._look_up, trio, desk),
            )

    def _look_up(self, trio: LayerTrio, desk: ProjectDesk | None) -> None:
        if trio is not self._trio or desk is not self._desk or desk is None:
            return
        if self._lacks(trio):
            self.save()
            return
        photograph = self._photograph(trio)
        self._submit(
            "look up",
            lambda _: desk.look_up(photograph),
            partial(self._on_looked_up, trio),
        )

    def _on_saved(self, trio: LayerTrio, version: int, entry: Entry) -> None:
        if entry.disputed:
            if trio is self._trio:
                self.has_question = True
                self._say(entry.question)
            return
        if trio.in_viewer:
            Bookmarks.of(trio).saved[entry.folder] = version
        words = f"Saved to {entry.name} ({entry.n_annotated} annotated)."
        if entry.n_replaced:
            words += f" Outlines replaced: {entry.n_replaced}."
        self._take_over(trio, entry, words)

    def _on_looked_up(self, trio: LayerTrio, entry: Entry) -> None:
        self._take_over(trio, entry, entry.saving_words)

    def _take_over(self, trio: LayerTrio, entry: Entry, words: str) -> None:
        """Show what the project had and the screen had not."""
        if self._desk is None or entry.folder != self._desk.folder:
            return
        if trio.in_viewer and entry.place is not None:
            if entry.missing:
                trio.mask.show_accepted(entry.missing)
                number = len(entry.missing)
                lesions = "1 lesion" if number == 1 else f"{number} lesions"
                words = f"{lesions} came back from {entry.name}."
            if not entry.n_replaced:
                Bookmarks.of(trio).seen[entry.place] = entry.state
        self._say(words)

    def _on_repainted(self) -> None:
        # Not now: napari may say so just before it changes the pixels.
        self._main_thread.call(self._look_at_accepted)

    def _look_at_accepted(self) -> None:
        trio = self._trio
        if trio is not None and trio.mask.objects and trio.mask.have_accepted_changed():
            Bookmarks.of(trio).version += 1
        self.changed.emit()

    def _lacks(self, trio: LayerTrio) -> bool:
        if self._desk is None or trio.mask.layer is None:
            return False
        marks = Bookmarks.of(trio)
        return marks.saved.get(self._desk.folder, 0) != marks.version

    def _photograph(self, trio: LayerTrio) -> Photograph:
        return Photograph.of(trio, annotator=self.annotator)

    # The worker

    def _submit(
        self, key: str, run: Callable[[Job], Entry], on_done: Callable[[Entry], object]
    ) -> Job:
        return self._jobs.submit(
            key,
            run,
            on_done=self._main_thread.wrap(on_done),
            on_error=self._main_thread.wrap(partial(self._on_failed, key)),
        )

    def _on_failed(self, key: str, error: Exception) -> None:
        self._say(str(error))
        if key == "open project":
            self._is_opening = False
            self._meet()
        if not isinstance(error, GLMedSAError):
            raise error
        show_error(str(error))

    def _say(self, words: str) -> None:
        self.status = words
        self.changed.emit()
