"""The dock "Worklist": photograph after photograph, until all is done."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import napari.viewer
from magicgui.widgets import Container, Widget
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QModelIndex

from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.registry import ModelRegistry, default_root
from napari_glmedsa.ui.actions import WORKLIST
from napari_glmedsa.ui.canvas_guard import guard_canvas
from napari_glmedsa.ui.export_window import ExportWindow
from napari_glmedsa.ui.folder_watch import FolderWatch
from napari_glmedsa.ui.keymap import KeyMap, press
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.ui.worklist_desk import WorklistDesk
from napari_glmedsa.ui.worklist_folder import FolderChoice
from napari_glmedsa.ui.worklist_form import WorklistForm
from napari_glmedsa.ui.worklist_layers import PhotographLayers
from napari_glmedsa.ui.worklist_position import Position
from napari_glmedsa.ui.worklist_ranking import Ranking
from napari_glmedsa.ui.worklist_thumbnails import Thumbnails
from napari_glmedsa.ui.worklist_view import ENTRY
from napari_glmedsa.ui.worklist_work import Listing, Photograph
from napari_glmedsa.worklist import (
    Bookmark,
    Entry,
    LastWorklist,
    Order,
    Status,
    Worklist,
)

ASK = "Choose a folder of photographs, or a project, to work through."


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
        self._position = Position()
        self._problem = ""
        self._recent = RecentProjects(self._registry.root)
        self._last = LastWorklist(self._registry.root)

        super().__init__(labels=False)
        self.margins = (0, 0, 0, 0)
        self._main_thread = MainThread(self.native)
        self._desk = WorklistDesk(self._registry, self._main_thread)
        self._thumbnails = thumbnails = Thumbnails(self.native)
        self.form = form = WorklistForm(thumbnails)
        self.native.layout().addWidget(form)
        self._layers = PhotographLayers(viewer, self._main_thread)
        self._folders = FolderChoice(form, self._recent)
        self._watch = FolderWatch(self.native)
        self._ranking = Ranking(self.native)
        self.exporting = ExportWindow()
        self._keys = KeyMap(viewer, WORKLIST, partial(press, form))
        self._connect()
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
    def current(self) -> Entry | None:
        """The photograph that is in the viewer."""
        return self._position.current

    def open_folder(self, folder: Path, *, key: str = "") -> None:
        """List a folder or a project; show the photograph of a key, if given."""
        self._problem = ""
        self._ranking.cancel()
        self._desk.open(folder, key)
        self.form.words.value = f"Listing {folder}…"

    def go(self, step: int) -> None:
        """Show the photograph so many places further on in the list."""
        entry = self._position.step(self.form.shown.value, step)
        if entry is not None:
            self.open_photograph(entry)
        elif self._position.entries:
            end = "end" if step > 0 else "beginning"
            show_info(f"This is the {end} of the list ({self.form.shown.value}).")

    def open_photograph(self, entry: Entry) -> None:
        """Show a photograph in the viewer."""
        worklist = self._worklist
        if worklist is None:
            return
        self._problem, self._position.current = "", entry
        self._refresh()
        if self._layers.find(worklist.project.root, entry) is not None:
            self._desk.fetch_none()
            self._on_fetched(worklist, entry.key, Photograph(entry, None))
        else:
            self._desk.fetch(worklist, entry)

    def mark(self, status: Status) -> None:
        """Flag or skip the photograph in the viewer, or take that back."""
        worklist, entry = self._worklist, self._position.current
        if worklist is None or entry is None:
            return
        taken_back = entry.status is status
        # At once, so that the same key pressed again takes it back.
        now = Status.NEW if taken_back else status
        self._position.current = replace(entry, status=now)
        mark: Any = None if taken_back else str(status)
        self._desk.mark(worklist, entry, mark, self._recent.annotator())
        self._refresh()
        if status is Status.SKIPPED and not taken_back:
            self.go(1)

    def close_work(self) -> None:
        """End the workers and the ranking; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._keys.close()
            self._ranking.close()
            self.exporting.close_down()
            self._desk.close()
            self._thumbnails.close()

    def _connect(self) -> None:
        form = self.form
        self._folders.picked.connect(self.open_folder)
        form.shown.changed.connect(self._on_view_changed)
        form.order.changed.connect(self._on_view_changed)
        form.list.clicked.connect(self._on_clicked)
        form.list.activated.connect(self._on_clicked)
        form.list.pressed_key.connect(self._keys.do)
        form.rank_button.changed.connect(self._on_rank_pressed)
        form.export_button.changed.connect(self._on_export_pressed)
        form.next_button.changed.connect(lambda _: self.go(1))
        form.previous_button.changed.connect(lambda _: self.go(-1))
        form.flag_button.changed.connect(lambda _: self.mark(Status.FLAGGED))
        form.skip_button.changed.connect(lambda _: self.mark(Status.SKIPPED))
        self._desk.opened.connect(self._on_opened)
        self._desk.listed.connect(self._on_listed)
        self._desk.fetched.connect(self._on_fetched)
        self._desk.fetched_ahead.connect(self._on_fetched_ahead)
        self._desk.failed.connect(self._on_failed)
        self._watch.changed.connect(self._look_again)
        self._ranking.progressed.connect(self._look_again)
        self._ranking.ended.connect(self._on_ranked)
        self.native_parent_changed.connect(self._on_parent_changed)
        self.native.destroyed.connect(self.close_work)

    # Which folder

    def _on_opened(self, key: str, listing: Listing) -> None:
        worklist = self._worklist = listing.worklist
        self._position.current = None
        self._recent.save_into(worklist.project.root)
        self._layers.use_project(worklist.project.root)
        self._watch.watch(worklist.written_to)
        self._folders.show(worklist.folder)
        if worklist.remarks:
            show_info(" ".join(worklist.remarks))
        self._on_listed(listing)
        if (found := self._position.find(key)) is not None:
            self.open_photograph(found)
        self._bookmark()

    # What is in it

    def _look_again(self) -> None:
        if self._worklist is not None:
            self._desk.look(self._worklist)

    def _on_listed(self, listing: Listing) -> None:
        if listing.worklist is self._worklist:
            self._position.take(listing.entries, self.form.order.value)
            self._refresh()

    def _on_view_changed(self) -> None:
        self._position.take(self._position.entries, self.form.order.value)
        self._refresh()
        self._bookmark()

    # One photograph after the other

    def _on_clicked(self, index: QModelIndex) -> None:
        entry: Entry | None = index.data(ENTRY)
        if entry is None or self._worklist is None:
            return
        # Once more, if the user has removed the layer meanwhile.
        layer = self._layers.find(self._worklist.project.root, entry)
        if layer is None or entry.key != self._position.key:
            self.open_photograph(entry)

    def _on_fetched(self, worklist: Worklist, key: str, photograph: Photograph) -> None:
        entry = photograph.entry
        if worklist is not self._worklist or key != self._position.key:
            return
        self._position.current = entry
        guard_canvas(self._viewer, self.native)
        self._layers.show(worklist.project.root, entry, photograph.pixels)
        self._bookmark()
        following = self._position.step(self.form.shown.value, 1)
        if following is not None:
            self._desk.fetch_ahead(worklist, following)
        self._look_again()  # its id may tell that it is known

    def _on_fetched_ahead(self, photograph: Photograph) -> None:
        worklist = self._worklist
        if worklist is None or photograph.pixels is None:
            return
        after = self._position.after(photograph.entry, self.form.shown.value)
        later = [partial(worklist.read, after)] if after is not None else []
        self._layers.encode_ahead([photograph.pixels, *later])

    # Ranking

    def _on_rank_pressed(self) -> None:
        if self._ranking.is_running:
            self._ranking.cancel()
        elif self._worklist is not None:
            self._ranking.start(self._worklist.folder, root=self._registry.root)
            self._refresh()

    def _on_export_pressed(self) -> None:
        if self._worklist is not None:
            self.exporting.show(self._worklist.project.root, self.native)

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
        position, running = self._position, self._ranking.is_running
        self.form.show_entries(position.shown(self.form.shown.value), position.current)
        self.form.set_open(self._worklist is not None)
        known, waiting = position.ranked()
        self.form.show_ranking(known / max(1, waiting) if running else None)
        words = ASK if self._worklist is None else position.sentence(ranking=running)
        self.form.words.value = self._problem or words

    def _bookmark(self) -> None:
        if self._worklist is not None:
            order, shown = self.form.order.value, self.form.shown.value
            key = self._position.key or ""
            self._last.write(
                Bookmark(self._worklist.folder, key=key, order=order, shown=shown)
            )

    # The end

    def _on_failed(self, error: Exception) -> None:
        self._problem = str(error)
        self._refresh()
        if not isinstance(error, GLMedSAError):
            raise error
        show_error(str(error))

    def _on_parent_changed(self, parent: object) -> None:
        # napari takes a dock apart without destroying what was in it; see the dock
        # "Segment".
        if parent is None and not self._closed:
            self.native.deleteLater()
