"""The dock "Segment": click on a lesion, see its outline, correct it, keep it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari.viewer
import numpy as np
from magicgui.widgets import Container, Widget
from napari.utils.notifications import show_error, show_warning
from numpy.typing import NDArray

from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.inference import EmbeddingCache, default_cache_folder
from napari_glmedsa.jobs import JobQueue
from napari_glmedsa.project.shelf import Shelf
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.registry import ModelRegistry, default_root
from napari_glmedsa.session import JOB_CHAIN, SegmentationSession
from napari_glmedsa.ui import forms, saving
from napari_glmedsa.ui.continuing import Continuing
from napari_glmedsa.ui.corrections import Corrections
from napari_glmedsa.ui.followed_image import FollowedImage
from napari_glmedsa.ui.glance import Glance
from napari_glmedsa.ui.image_work import ImageWork
from napari_glmedsa.ui.layers import LayerTrio, import_what_layers_need
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.ui.model_choice import ModelChoice
from napari_glmedsa.ui.next_click import NextClick
from napari_glmedsa.ui.project_link import ProjectLink
from napari_glmedsa.ui.segment_actions import SegmentActions
from napari_glmedsa.ui.segment_form import BUSY, SegmentForm
from napari_glmedsa.ui.segment_view import View
from napari_glmedsa.ui.starting_mask import StartingMask
from napari_glmedsa.ui.workbench import Workbench

if TYPE_CHECKING:  # the worker imports torch: here, it would halt the window
    from napari_glmedsa.inference import MaskPrediction


class SegmentWidget(Container[Widget]):
    """Turns clicks on an image layer into a Labels layer.

    Clicks go from the layers to the session and masks from the session to the layers,
    never the other way round. The session's worker does all work with the model, and
    one of its own all work with the project.

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
        self._closed = False
        self._problem = ""

        registry = registry or ModelRegistry(default_root())
        self.form = form = SegmentForm(viewer)
        super().__init__(labels=False)
        self.margins = (0, 0, 0, 0)
        self.native.layout().addWidget(forms.scrolled(form.native))
        self._main_thread = MainThread(self.native)
        self._jobs = JobQueue(JOB_CHAIN)
        self._project_jobs = JobQueue()  # a photograph takes seconds: no click waits
        cache = EmbeddingCache(default_cache_folder())
        self.session = SegmentationSession(registry, self._jobs, cache)
        self._followed = FollowedImage(viewer, form.image, self._main_thread)
        # The first jobs import, while the user still looks for the photograph.
        follow = self._followed.follow_later
        self._in_background("layers", import_what_layers_need, follow)
        offer = partial(forms.offer_devices, form.device)
        self._in_background("devices", forms.find_devices, offer)
        self._models = ModelChoice(form.model, registry, parent=self.native)
        form.manage_button.changed.connect(self._models.manage)
        self._bench = Workbench(
            self.session, self._main_thread, lambda: self._project.annotator
        )
        shelf = Shelf(registry.root / "unfinished")
        self._work = ImageWork(
            self._bench,
            shelf,
            jobs=self._project_jobs,
            main_thread=self._main_thread,
            parent=self.native,
        )
        self._corrections = Corrections(self._bench, self._in_background)
        self._actions = SegmentActions(
            viewer,
            form,
            self._bench,
            corrections=self._corrections,
            accept=self._accept,
        )
        self.act = self._actions.act
        self._starting = StartingMask(
            viewer,
            form.finishing,
            self._bench,
            start=self._start_from,
            in_background=self._in_background,
        )
        self._viewer, self._next_click = viewer, NextClick(viewer)
        self._project = ProjectLink(
            form.project,
            RecentProjects(registry.root),
            jobs=self._project_jobs,
            main_thread=self._main_thread,
            work=self._work,
        )
        self._continuing = Continuing(
            viewer, shelf, jobs=self._project_jobs, main_thread=self._main_thread
        )
        self._connect()
        self._models.update()
        if form.model.value is None and not self._problem:
            self._on_model_picked()

    @property
    def _trio(self) -> LayerTrio | None:
        return self._followed.trio

    def reset_choices(self, *_: object) -> None:
        """Offer the image layers that the viewer has now."""
        if not self._closed:  # napari asks even after it closed the dock
            self.form.reset_choices()

    def save_mask(self, path: Path) -> None:
        """Write the mask of all objects as 8-bit PNG, 0 and 255, in the background."""
        mask = self._trio.mask.union() if self._trio else None
        if mask is None:
            show_warning("There is no mask to save yet: click on the lesion first.")
        else:
            write = partial(saving.write, path, mask)
            self._in_background(f"save {path}", write, saving.say_saved)

    def _connect(self) -> None:
        form, session, queued = self.form, self.session, self._main_thread.wrap
        session.state_changed.connect(queued(self._refresh))
        session.embedding_progress.connect(queued(form.show_progress))
        self._glance = Glance(session, self._main_thread, self._on_mask)
        session.failed.connect(queued(self._on_failed))
        self._followed.left.connect(self._on_image_left)
        self._followed.entered.connect(self._on_image_entered)
        self._followed.started.connect(self._on_image_started)
        self._followed.changed.connect(self._refresh)
        self._followed.layer_removed.connect(self._on_layer_removed)
        self._followed.failed.connect(self._on_failed)
        self._models.failed.connect(self._on_failed)
        self._models.watch.changed.connect(self._project.offer_recent)
        self._project.changed.connect(self._refresh)
        self._bench.changed.connect(self._refresh)
        self._work.changed.connect(self._refresh)
        self._continuing.changed.connect(self._refresh)
        form.continue_button.changed.connect(self._continuing.go_on)
        form.take_over_button.changed.connect(self._work.take_over)
        form.replace_button.changed.connect(self._project.replace_others)
        self._bench.kept.connect(self._project.keep)
        self._bench.warned.connect(show_warning)
        # napari says what the user has in hand in the middle of changing it.
        self._viewer.layers.selection.events.active.connect(self._refresh_later)
        self._viewer.events.help.connect(self._refresh_later)
        form.model.changed.connect(self._on_model_picked)
        form.device.changed.connect(self._on_model_picked)
        form.precision.changed.connect(self._on_model_picked)
        form.save_button.changed.connect(self._on_save_pressed)
        self.native_parent_changed.connect(self._on_parent_changed)
        self.native.destroyed.connect(self._close)

    def _in_background(self, key: str, run: Any, on_done: Any) -> None:
        queued = self._main_thread.wrap
        self._jobs.submit(
            key, run, on_done=queued(on_done), on_error=queued(self._on_failed)
        )

    # One image after the other

    def _on_image_left(self) -> None:
        if self._trio is not None:
            self._bench.leave()
            self._project.leave()
        self._problem = ""
        self.session.set_image(None)

    def _on_image_entered(self, trio: LayerTrio) -> None:
        self._bench.enter(trio)

    def _on_image_started(self, trio: LayerTrio) -> None:
        self.session.set_image(trio.pixels)
        self._bench.start()
        self._project.follow(trio)  # what is known is there before it is encoded

    def _on_layer_removed(self) -> None:
        if self._trio is not None:
            self._bench.ask_again()
            self._refresh()

    def _on_mask(self, prediction: MaskPrediction) -> None:
        if self._trio is not None and self.session.is_current(prediction):
            self._problem = ""
            self._bench.model = str(self.form.model.value)
            self._bench.take_answer(prediction)

    # Buttons

    def _on_model_picked(self) -> None:
        if not self._models.confirm():
            return
        self._problem = ""
        spec, device = self.form.model.value, self.form.device.value or forms.AUTO
        if spec is None:
            self._problem = "No model is installed: press Manage… to get one."
        else:
            precision = self.form.precision.value
            self.session.set_model(spec, device=device, precision=precision)
        self._refresh()

    def _accept(self) -> None:
        trio = self._trio
        if trio is None:
            return
        if trio.mask.object_area:
            self._bench.accept()
        elif self._project.is_behind:  # a save failed, or somebody painted since
            self._project.save()

    def _start_from(self, mask: NDArray[np.bool_]) -> None:
        self._corrections.start_from(mask, self.session.low_res_frame)

    def _on_save_pressed(self) -> None:
        if self._trio and (path := saving.ask_where(self._trio.image, self.native)):
            self.save_mask(path)

    # What the worker reports

    def _on_failed(self, error: Exception) -> None:
        self._bench.give_up()
        self._problem = str(error)
        self._refresh()
        if not isinstance(error, GLMedSAError):
            raise error
        show_error(str(error))

    def _refresh_later(self, *_: object) -> None:
        self._main_thread.call(self._refresh)

    def _refresh(self, *_: object) -> None:
        if self._closed:
            return
        is_taken = self._work.holder is not None
        view = View.of(
            self._bench,
            self.session.state,
            next_click=self._next_click.tell(
                self._trio, is_busy=self.session.state in BUSY, is_taken=is_taken
            ),
            problem=self._problem,
            project=self._work.words or self._project.status,
            is_taken=is_taken,
            project_lacks=self._project.is_behind,
            is_disputed=self._project.has_question,
            offer=self._continuing.words,
        )
        self.form.show_view(view)
        self._actions.show()

    # The end

    def _on_parent_changed(self, parent: object) -> None:
        # napari takes a dock apart without destroying what was in it, and Python might
        # do it later in another thread, which Qt does not survive.
        if parent is None and not self._closed:
            self.native.deleteLater()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._actions.close()
            self._next_click.close()
            self._viewer.layers.selection.events.active.disconnect(self._refresh_later)
            self._viewer.events.help.disconnect(self._refresh_later)
            self._followed.close()
            self.session.close()
            self._project_jobs.close()
            self._models.close()
