"""The dock "Fine-tune": train on accepted masks, watch, compare, activate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import napari.viewer
from magicgui.widgets import Container, Widget
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QTimer, QUrl
from qtpy.QtGui import QDesktopServices

from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.jobs import JobQueue
from napari_glmedsa.registry import ModelRegistry, default_root
from napari_glmedsa.ui.finetune_form import RUNS, FineTuneForm
from napari_glmedsa.ui.finetune_projects import ProjectChoice
from napari_glmedsa.ui.finetune_work import FineTuneWork, Verb
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.ui.registry_watch import RegistryWatch
from napari_glmedsa.ui.run_panel import state_sentence
from napari_glmedsa.ui.run_snapshot import UNFINISHED, Look

LOOK_INTERVAL = 1000
"""Milliseconds between two looks at the run's files."""
_LOOKS_PER_PROJECT = 5  # how many images there are changes slowly


class FineTuneWidget(Container[Widget]):
    """Starts training runs and shows how they go; they run in their own processes.

    What it knows, it reads from the project's folder, so it finds a run again after
    napari was restarted. Files are read and written in a worker alone: a slow drive
    never halts the window.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    registry : ModelRegistry, optional
        Where models come from and go to; else the user's own.
    """

    def __init__(
        self, viewer: napari.viewer.Viewer, registry: ModelRegistry | None = None
    ) -> None:
        self._viewer = viewer
        self._closed = False
        registry = registry or ModelRegistry(default_root())
        self._work = FineTuneWork(registry)
        self._look = Look()
        self._folder: Path | None = None  # of the run that is shown
        self._looks = 0
        self._looking = self._starting = False
        self._problem = ""

        super().__init__(labels=False)
        self.margins = (0, 0, 0, 0)
        self.form = FineTuneForm()
        self.projects = ProjectChoice(self.form)
        self.native.layout().addWidget(self.form)
        self._main_thread = MainThread(self.native)
        self._jobs, self._estimates = JobQueue(), JobQueue()  # one waits for torch
        self._timer = QTimer(self.native)
        self._timer.setInterval(LOOK_INTERVAL)
        self._watch = RegistryWatch(registry.root, self.native)
        self._connect()
        self._on_theme()
        self._look_now()
        self._timer.start()

    @property
    def project(self) -> Path | None:
        """Folder of the project that is shown."""
        return self.projects.picked

    @property
    def look(self) -> Look:
        """What is on the screen."""
        return self._look

    def open_project(self, folder: Path) -> None:
        """Show another project, and remember it."""
        self.projects.open(folder)

    def show_run(self, folder: Path) -> None:
        """Show another run of the project."""
        self._folder = folder
        self.form.show_page(RUNS)
        self._look_now()

    def close_work(self) -> None:
        """Stop looking and end the worker; runs go on. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._timer.stop()
            self._viewer.events.theme.disconnect(self._on_theme)
            self._jobs.close()
            self._estimates.close()
            self.projects.close_down()

    def _connect(self) -> None:
        setup, run = self.form.setup, self.form.run
        self.projects.changed.connect(self._on_project_picked)
        self.projects.filled.connect(self._look_now)
        setup.changed.connect(self._estimate)
        setup.start_button.changed.connect(self._on_start_pressed)
        run.runs.changed.connect(self._on_run_picked)
        run.pause_button.changed.connect(partial(self._on_run_button, "pause"))
        run.resume_button.changed.connect(partial(self._on_run_button, "resume"))
        run.cancel_button.changed.connect(partial(self._on_run_button, "cancel"))
        run.activate_button.changed.connect(self._on_activate_pressed)
        run.roll_back_button.changed.connect(self._on_roll_back_pressed)
        run.reveal_button.changed.connect(self._on_reveal_pressed)
        self._timer.timeout.connect(self._on_timer)
        self._watch.changed.connect(self._on_registry_changed)
        self._viewer.events.theme.connect(self._on_theme)
        self.native_parent_changed.connect(self._on_parent_changed)
        self.native.destroyed.connect(self.close_work)

    # Which project

    def _on_project_picked(self) -> None:
        if self.project == self._look.root:
            return
        self._look = Look(root=self.project, recent=self._look.recent)
        self._folder = None
        self._problem = ""
        self._refresh()
        if (folder := self.project) is not None:
            remember = partial(self._work.remember, folder)
            self._act("remember", remember)  # and then look
        else:
            self._look_now()

    # What the files say: looked at every second, in the worker

    def _on_timer(self) -> None:
        # On a slow drive a look takes longer than a second: one after the other.
        if not self._looking:
            self._looks += 1
            self._look_now(whole=self._looks % _LOOKS_PER_PROJECT == 0)

    def _look_now(self, *, whole: bool = True) -> None:
        self._looking = True
        asked = (self.project, self._folder)
        look = partial(self._work.look, *asked, self._look, whole=whole)
        self._jobs.submit(
            "look",
            lambda _: look(),
            on_done=self._main_thread.wrap(partial(self._on_look, asked)),
            on_error=self._main_thread.wrap(self._on_look_failed),
        )

    def _on_look(self, asked: tuple[Path | None, Path | None], look: Look) -> None:
        self._looking = False
        if self._closed or asked != (self.project, self._folder):
            return  # it answers a question that is no longer asked
        before, self._look = self._look, look
        self.projects.offer(look.recent)
        first = before.project is None
        if look.run is not None:
            if first and self._folder is None and look.run.status.state in UNFINISHED:
                self.form.show_page(RUNS)  # found again after a restart
            self._folder = look.run.folder
            self._tell(before, look)
        if look.problem and look.problem != before.problem:  # said once
            show_error(look.problem)
        self._refresh()
        if before.to_estimate != look.to_estimate:
            self._estimate()

    def _on_look_failed(self, error: Exception) -> None:
        self._looking = False
        self._timer.stop()  # a bug shows its traceback once, not every second
        raise error

    def _tell(self, before: Look, now: Look) -> None:
        """Tell the user who looks elsewhere that a run has ended."""
        was, run = before.run, now.run
        if was is None or run is None or was.folder != run.folder:
            return
        if was.status.is_active and run.status.state in ("failed", "lost"):
            show_error(state_sentence(run.status))
        elif was.status.is_active and run.status.state == "finished":
            show_info("Fine-tuning has finished.")

    # Buttons

    def _estimate(self) -> None:
        model, project = self.form.setup.start_model, self._look.project
        if model is not None and project is not None and project.can_train:
            config, counts = self.form.setup.config, project.counts
            estimate = partial(self._work.estimate, model, config, counts)
            self._on_estimate("Estimating time and memory…")
            self._estimates.submit(
                "estimate",
                lambda _: estimate(),
                on_done=self._main_thread.wrap(self._on_estimate),
                on_error=self._main_thread.wrap(self._on_failed),
            )
        else:
            self._on_estimate("")

    def _on_estimate(self, sentence: str) -> None:
        self.form.setup.estimate.value = sentence

    def _on_start_pressed(self) -> None:
        model, root = self.form.setup.start_model, self.project
        if model is None or root is None:
            return
        self._starting = True
        start = partial(self._work.start, root, model, self.form.setup.config)
        self._act("start", start, self._on_started)

    def _on_started(self, folder: Path) -> None:
        self._starting = False
        self.show_run(folder)

    def _on_run_button(self, verb: Verb) -> None:
        if self._folder is not None:
            self._act(verb, partial(self._work.steer, self._folder, verb))

    def _on_activate_pressed(self) -> None:
        run = self._look.run
        if run is not None and run.model is not None:
            self._act("activate", partial(self._work.activate, run.model))

    def _on_roll_back_pressed(self) -> None:
        self._act("roll back", self._work.roll_back)

    def _on_reveal_pressed(self) -> None:
        if self._folder is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._folder)))

    def _on_run_picked(self) -> None:
        picked = self.form.run.runs.value
        if picked is not None and picked != self._folder:
            self.show_run(picked)

    def _act(
        self,
        key: str,
        action: Callable[[], Any],
        on_done: Callable[[Any], object] | None = None,
    ) -> None:
        self._problem = ""
        self._refresh()
        self._jobs.submit(
            key,
            lambda _: action(),
            on_done=self._main_thread.wrap(on_done or (lambda _: self._look_now())),
            on_error=self._main_thread.wrap(self._on_failed),
        )

    # What the worker reports

    def _on_failed(self, error: Exception) -> None:
        self._starting = False
        self._problem = str(error)
        self._refresh()
        if not isinstance(error, GLMedSAError):
            raise error
        show_error(str(error))

    def _refresh(self) -> None:
        if not self._closed:
            problem = self._problem or self._look.problem
            self.form.show_look(self._look, starting=self._starting, problem=problem)

    def _on_registry_changed(self) -> None:
        self._look_now()

    def _on_theme(self, *_: object) -> None:
        self.form.run.curve.set_theme(self._viewer.theme)

    # The end

    def _on_parent_changed(self, parent: object) -> None:
        # napari takes a dock apart without destroying what was in it; see the dock
        # "Segment".
        if parent is None and not self._closed:
            self.native.deleteLater()
