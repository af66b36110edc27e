"""The dock "Worklist": photograph after photograph, until all is done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import napari.viewer
from magicgui.widgets import Container, Widget
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QModelIndex
from qtpy.QtWidgets import QFileDialog

from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.jobs import Job, JobQueue
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.registry import ModelRegistry, default_root
from napari_glmedsa.ui.folder_watch import FolderWatch
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.ui.worklist_form import FLAG, NEXT, PREVIOUS, SKIP, WorklistForm
from napari_glmedsa.ui.worklist_layers import PhotographLayers
from napari_glmedsa.ui.worklist_ranking import Ranking
from napari_glmedsa.ui.worklist_thumbnails import Thumbnails
from napari_glmedsa.ui.worklist_view import ENTRY
from napari_glmedsa.ui.worklist_work import Listing, Photograph, WorklistWork
from napari_glmedsa.worklist import (
    Bookmark,
    Entry,
    LastWorklist,
    Order,
    Status,
    Worklist,
    neighbour,
    ordered,
    to_be_done,
)

T = TypeVar("T")

LIST, OPEN, AHEAD = "list", "open", "ahead"


class WorklistWidget(Container[Widget]):
    """Lists photographs, opens one after the other, and remembers where the user was.

    All that touches files is done by workers, so ten thousand photographs on a slow
    drive never halt the window. The Segment dock follows the image layer by itself.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    registry : ModelRegistry, optional
        Where models come from; else the user's own and the built-in ones.
    """

    def __init__(
        self, viewer: napari.viewer.Viewer, registry: ModelRegistry | None = None
    ) -> None:
        self._viewer = viewer
        self._registry = registry or ModelRegistry(default_root())
        self._closed = False
        self._worklist: Worklist | None = None
        self._entries: list[Entry] = []  # all, in order
        self._current: Entry | None = None
        self._problem = ""
        self._actions: dict[str, Callable[..., object]] = {}
        self._recent = RecentProjects(self._registry.root)
        self._last = LastWorklist(self._registry.root)
        self._work = WorklistWork(self._registry)

        super().__init__(labels=False)
        self.margins = (0, 0, 0, 0)
        self._main_thread = MainThread(self.native)
        self._jobs, self._thumbnail_jobs = JobQueue(), JobQueue()
        thumbnails = Thumbnails(self._thumbnail_jobs, self.native)
        self.form = form = WorklistForm(thumbnails)
        self.native.layout().addWidget(form)
        self._layers = PhotographLayers(viewer, self._main_thread)
        self._watch = FolderWatch(self.native)
        self._ranking = Ranking(self.native)
        self._connect()
        self._offer_folders()
        if (mark := self._last.read()) is not None:
            with form.shown.changed.blocked(), form.order.changed.blocked():
                form.shown.value, form.order.value = mark.shown, mark.order
            self.open_folder(mark.folder, key=mark.key)
        self._refresh()

    @property
    def worklist(self) -> Worklist | None:
        """What is open."""
        return self._worklist

    @property
    def _key(self) -> str | None:
        return None if self._current is None else self._current.key

    @property
    def current(self) -> Entry | None:
        """The photograph that is in the viewer."""
        return self._current

    def open_folder(self, folder: Path, *, key: str = "") -> None:
        """List a folder of photographs or a project, and show one of them.

        Parameters
        ----------
        folder : Path
            The folder.
        key : str
            Of the photograph to show; empty shows none.
        """
        self._problem = ""
        self._ranking.cancel()
        self._do(
            LIST,
            lambda job: self._work.open(folder, job.raise_if_cancelled),
            partial(self._on_opened, key),
        )
        self._say(f"Listing {folder}…")

    def go(self, step: int) -> None:
        """Show the photograph so many places further on in the list."""
        entry = neighbour(self._shown(), self._key, step)
        if entry is not None:
            self.open_photograph(entry)
        elif self._entries:
            end = "end" if step > 0 else "beginning"
            show_info(f"This is the {end} of the list ({self.form.shown.value}).")

    def open_photograph(self, entry: Entry) -> None:
        """Show a photograph in the viewer."""
        worklist = self._worklist
        if worklist is None:
            return
        self._problem, self._current = "", entry
        self._refresh()
        if self._layers.find(worklist.project.root, entry) is not None:
            self._jobs.cancel(OPEN)
            self._on_fetched(worklist, entry.key, Photograph(entry, None))
            return
        self._do(
            OPEN,
            lambda _: self._work.fetch(worklist, entry),
            partial(self._on_fetched, worklist, entry.key),
        )

    def mark(self, status: Status) -> None:
        """Flag or skip the photograph in the viewer, or take that back."""
        worklist, entry = self._worklist, self._current
        if worklist is None or entry is None:
            return
        taken_back = entry.status is status
        wanted: Any = None if taken_back else str(status)
        who = self._recent.annotator()
        # A key of its own: no mark ever replaces another.
        self._do(
            f"mark {entry.key}",
            lambda job: self._mark(worklist, entry, wanted, who, job),
            self._on_listed,
        )
        if status is Status.SKIPPED and not taken_back:
            self.go(1)

    def close_work(self) -> None:
        """End the workers and the ranking; a second call does nothing."""
        if not self._closed:
            self._closed = True
            for key in (NEXT, PREVIOUS, FLAG, SKIP):
                self._viewer.bind_key(key, None)
            self._ranking.close()
            self._jobs.close()
            self._thumbnail_jobs.close()

    def _connect(self) -> None:
        form = self.form
        form.folder.changed.connect(self._on_folder_picked)
        form.choose_button.changed.connect(self._on_choose_pressed)
        form.shown.changed.connect(self._on_view_changed)
        form.order.changed.connect(self._on_order_changed)
        form.list.clicked.connect(self._on_clicked)
        form.list.activated.connect(self._on_clicked)
        form.list.pressed_key.connect(self._on_key)
        form.rank_button.changed.connect(self._on_rank_pressed)
        actions = {
            NEXT: (form.next_button, lambda *_: self.go(1)),
            PREVIOUS: (form.previous_button, lambda *_: self.go(-1)),
            FLAG: (form.flag_button, lambda *_: self.mark(Status.FLAGGED)),
            SKIP: (form.skip_button, lambda *_: self.mark(Status.SKIPPED)),
        }
        for key, (button, action) in actions.items():
            self._actions[key] = action
            button.changed.connect(action)
            self._viewer.bind_key(key, action, overwrite=True)
        self._watch.changed.connect(self._look_again)
        self._ranking.progressed.connect(self._look_again)
        self._ranking.ended.connect(self._on_ranked)
        self.native_parent_changed.connect(self._on_parent_changed)
        self.native.destroyed.connect(self.close_work)

    # Which folder

    def _offer_folders(self) -> None:
        open_now = self._worklist.folder if self._worklist else None
        recent = self._recent.paths()
        if open_now is not None and open_now not in recent:
            recent = (open_now, *recent)
        self.form.offer_folders(recent, open_now)

    def _on_folder_picked(self, folder: Path | None) -> None:
        if folder is not None and (
            self._worklist is None or folder != self._worklist.folder
        ):
            self.open_folder(folder)

    def _on_choose_pressed(self) -> None:
        known = self._worklist.folder.parent if self._worklist else Path.home()
        folder = QFileDialog.getExistingDirectory(
            self.form, "Open a folder of photographs, or a project", str(known)
        )
        if folder:
            self.open_folder(Path(folder))

    def _on_opened(self, key: str, listing: Listing) -> None:
        worklist = self._worklist = listing.worklist
        self._current = None
        self._recent.save_into(worklist.project.root)
        self._watch.watch(
            worklist.project.root / name
            for name in ("images", "masks", "prompts", "worklist", "worklist/marks")
        )
        self._offer_folders()
        for remark in worklist.remarks:
            show_info(remark)
        self._on_listed(listing)
        found = next((one for one in self._entries if one.key == key), None)
        if found is not None:
            self.open_photograph(found)
        self._bookmark()

    # What is in it

    def _look_again(self) -> None:
        if (worklist := self._worklist) is not None:
            self._do(
                LIST,
                lambda job: self._work.look(worklist, job.raise_if_cancelled),
                self._on_listed,
            )

    def _on_listed(self, listing: Listing) -> None:
        if listing.worklist is self._worklist:
            self._entries = ordered(listing.entries, self.form.order.value)
            if self._current is not None:
                key = self._current.key
                now = (one for one in self._entries if one.key == key)
                self._current = next(now, self._current)
            self._refresh()

    def _mark(
        self, worklist: Worklist, entry: Entry, status: Any, by: str, job: Job
    ) -> Listing:
        worklist.mark(entry, status, by=by)
        return self._work.look(worklist, job.raise_if_cancelled)

    def _shown(self) -> list[Entry]:
        """Return what is wanted, and where the user is in any case."""
        includes = self.form.shown.value.includes
        return [one for one in self._entries if one.key == self._key or includes(one)]

    def _on_view_changed(self) -> None:
        self._refresh()
        self._bookmark()

    def _on_order_changed(self) -> None:
        self._entries = ordered(self._entries, self.form.order.value)
        self._on_view_changed()

    # One photograph after the other

    def _on_clicked(self, index: QModelIndex) -> None:
        entry: Entry | None = index.data(ENTRY)
        if entry is not None and entry.key != self._key:
            self.open_photograph(entry)

    def _on_key(self, key: str) -> None:
        self._actions[key]()

    def _on_fetched(self, worklist: Worklist, key: str, photograph: Photograph) -> None:
        entry = photograph.entry
        if worklist is not self._worklist or key != self._key:
            return
        self._current = entry
        root = worklist.project.root
        self._layers.show(root, entry, photograph.pixels)
        self._bookmark()
        following = neighbour(self._shown(), key)
        if following is not None:
            # Read in pauses of nothing more urgent; encoded when Segment has time.
            self._do(
                AHEAD,
                lambda _: self._work.fetch_ahead(worklist, following),
                self._on_fetched_ahead,
                quietly=True,
            )
        self._look_again()  # its id may tell that it is known

    def _on_fetched_ahead(self, photograph: Photograph) -> None:
        worklist = self._worklist
        if worklist is None or photograph.pixels is None:
            return
        after = neighbour(self._shown(), photograph.entry.key)
        later = [partial(worklist.read, after)] if after is not None else []
        self._layers.encode_ahead([photograph.pixels, *later])

    # Ranking

    def _on_rank_pressed(self) -> None:
        if self._ranking.is_running:
            self._ranking.cancel()
        elif self._worklist is not None:
            self._do("model", lambda _: self._work.active_model(), self._rank)

    def _rank(self, model: str) -> None:
        if self._worklist is not None:
            root = self._registry.root
            self._ranking.start(self._worklist.folder, model=model, root=root)
            self._refresh()

    def _on_ranked(self, problem: str) -> None:
        self._problem = problem
        if problem:
            show_error(problem)
        elif self.form.order.value is not Order.UNCERTAINTY:
            show_info("Ranked: choose the order by uncertainty to use it.")
        self._look_again()
        self._refresh()

    # What is on the screen

    def _refresh(self) -> None:
        if self._closed:
            return
        self.form.show_entries(self._shown(), self._current)
        self.form.rank_button.enabled = self._worklist is not None
        waiting = [entry for entry in self._entries if to_be_done(entry)]
        known = sum(entry.uncertainty is not None for entry in waiting)
        share = known / max(1, len(waiting))
        self.form.show_ranking(share if self._ranking.is_running else None)
        if self._problem:
            self._say(self._problem)
        elif self._worklist is None:
            self._say("Choose a folder of photographs, or a project, to work through.")
        elif self._ranking.is_running:
            self._say(f"Ranking: {known} of {len(waiting)} photographs looked at.")
        else:
            done = len(self._entries) - len(waiting)
            sentence = f"{done} of {len(self._entries)} done. "
            self._say(sentence + f"{NEXT}: next, {PREVIOUS}: previous photograph.")

    def _say(self, words: str) -> None:
        self.form.words.value = words

    def _bookmark(self) -> None:
        if self._worklist is not None:
            self._last.write(
                Bookmark(
                    self._worklist.folder,
                    key=self._key or "",
                    order=self.form.order.value,
                    shown=self.form.shown.value,
                )
            )

    # Workers

    def _do(
        self,
        key: str,
        run: Callable[[Job], T],
        on_done: Callable[[T], object],
        *,
        quietly: bool = False,
    ) -> None:
        queued = self._main_thread.wrap
        on_error = self._on_unasked_failure if quietly else self._on_failed
        self._jobs.submit(key, run, on_done=queued(on_done), on_error=queued(on_error))

    def _on_failed(self, error: Exception) -> None:
        self._problem = str(error)
        self._refresh()
        if not isinstance(error, GLMedSAError):
            raise error
        show_error(str(error))

    def _on_unasked_failure(self, error: Exception) -> None:
        if not isinstance(error, GLMedSAError):  # the user will ask, and be told
            raise error

    # The end

    def _on_parent_changed(self, parent: object) -> None:
        # napari takes a dock apart without destroying what was in it; see the dock
        # "Segment".
        if parent is None and not self._closed:
            self.native.deleteLater()
