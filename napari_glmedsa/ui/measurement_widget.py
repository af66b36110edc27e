"""The dock "Measure": a lesion in numbers, as its outline is now."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import napari.viewer
from magicgui.widgets import Container, Widget
from napari.layers import Labels
from napari.utils.notifications import show_error
from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import QFileDialog

from napari_glmedsa.calibration import Calibration
from napari_glmedsa.errors import GLMedSAError, MeasurementError
from napari_glmedsa.jobs import JobQueue
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.registry import ModelRegistry, default_root
from napari_glmedsa.ui import saving
from napari_glmedsa.ui.actions import MEASURE
from napari_glmedsa.ui.canvas_guard import guard_canvas
from napari_glmedsa.ui.keymap import KeyMap, press
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.ui.measurement_desk import Answer, MeasurementDesk, write_table
from napari_glmedsa.ui.measurement_form import MeasurementForm
from napari_glmedsa.ui.measurement_question import note_calibration, question
from napari_glmedsa.ui.measurement_ruler import Ruler
from napari_glmedsa.ui.measurement_subject import Subject, SubjectWatch
from napari_glmedsa.ui.measurement_words import advice, scale_words, subject_words

PAUSE = 200
"""Milliseconds after a change before it is measured: a stroke changes much at once."""

SUFFIX = "_measurements.csv"


class MeasurementWidget(Container[Widget]):
    """Measures the objects on the photograph that the user is at.

    It follows the layers; the Segment dock knows nothing of it. A worker of its own
    measures, one label map after the other.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    registry : ModelRegistry, optional
        Beside it stands which project is in use; else the user's own.
    """

    def __init__(
        self, viewer: napari.viewer.Viewer, registry: ModelRegistry | None = None
    ) -> None:
        self._viewer = viewer
        self._closed = self._is_measuring = self._is_stale = False
        self._answer = Answer()
        self._problem = ""
        self._has_shown_ruler = False
        root = registry.root if registry is not None else default_root()
        self._desk = MeasurementDesk(RecentProjects(root).saves_into)
        super().__init__(labels=False)
        self.margins = (0, 0, 0, 0)
        self.form = MeasurementForm()
        self.native.layout().addWidget(self.form)
        self._main_thread = MainThread(self.native)
        self._jobs = JobQueue()
        self._watch = SubjectWatch(viewer)
        self._ruler = Ruler(viewer, self._main_thread)
        self._timer = QTimer(self.native)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._keys = KeyMap(viewer, MEASURE, partial(press, self.form))
        self._connect()
        self._look_again()
        self._refresh()

    @property
    def answer(self) -> Answer:
        """What is on the screen."""
        return self._answer

    def save_table(self, path: Path) -> None:
        """Write what is on the screen as CSV, in the background."""
        subject = self._watch.subject
        if subject is not None and self._answer.measured:
            source = saving.source_name(subject.image)
            self._jobs.submit(
                f"save {path}",
                partial(write_table, path, source, self._answer.measured),
                on_done=self._main_thread.wrap(saving.say_saved),
                on_error=self._main_thread.wrap(self._on_failed),
            )

    def close_work(self) -> None:
        """Stop listening and end the worker; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._keys.close()
            self._watch.close()
            self._jobs.cancel("measure")
            self._jobs.close()

    def _connect(self) -> None:
        form, watch = self.form, self._watch
        watch.moved.connect(self._on_moved)
        watch.repainted.connect(self._on_stale)
        self._ruler.drawn.connect(self._on_ruler_drawn)
        self._timer.timeout.connect(self._measure)
        form.ruler_button.changed.connect(self._on_ruler_pressed)
        form.length.valueChanged.connect(self._on_length_changed)
        form.forget_button.changed.connect(self._on_forget_pressed)
        form.save_button.changed.connect(self._on_save_pressed)
        self.native_parent_changed.connect(self._on_parent_changed)
        self.native.destroyed.connect(self.close_work)

    # What is measured

    def _on_moved(self) -> None:
        # Not now: napari may be in the middle of adding or removing layers.
        self._main_thread.call(self._look_again)

    def _look_again(self) -> None:
        if self._closed or not self._watch.find():
            return
        subject = self._watch.subject
        self._answer, self._problem = Answer(), ""
        self._has_shown_ruler = False
        guard_canvas(self._viewer, self.native)
        self._ruler.follow(subject.image if subject else None)
        self._refresh()
        self._on_stale()

    def _on_stale(self) -> None:
        """Measure in a moment: what is shown is not what is on the canvas."""
        self._is_stale = True
        if not self._timer.isActive() and not self._closed:
            self._timer.start()

    def _measure(self) -> None:
        subject = self._watch.subject
        # A measurement that is under way is finished first: whoever paints without a
        # pause would never see one otherwise.
        if self._closed or self._is_measuring or not self._is_stale or not subject:
            return
        self._is_stale = False
        self._is_measuring = True
        self._jobs.submit(
            "measure",
            partial(self._desk.answer, question(subject)),
            on_done=self._main_thread.wrap(partial(self._on_answer, subject)),
            on_error=self._main_thread.wrap(self._on_measuring_failed),
        )

    def _on_answer(self, subject: Subject, answer: Answer) -> None:
        self._is_measuring = False
        now = self._watch.subject
        if now is not None and now.key == subject.key:
            self._answer = answer
            self._problem = answer.problem
            if answer.calibration is not None:
                self._show_ruler(answer.calibration)
            self._refresh()
        if self._is_stale:
            self._on_stale()

    def _on_measuring_failed(self, error: Exception) -> None:
        self._is_measuring = False
        self._answer = Answer()
        self._on_failed(error)

    # The ruler

    def _on_ruler_pressed(self) -> None:
        if self._ruler.is_in_hand:
            self._ruler.put_down()
        else:
            self._ruler.take()
        self._refresh()

    def _on_ruler_drawn(self) -> None:
        if self._ruler.is_in_hand:
            self._ruler.put_down()
        self._calibrate()

    def _on_length_changed(self) -> None:
        if self._ruler.line is not None:
            self._calibrate()

    def _calibrate(self) -> None:
        subject, line = self._watch.subject, self._ruler.line
        if subject is None or line is None:
            return
        try:
            length = self.form.length.value()
            found = Calibration.from_ruler(*line, length_mm=length)
        except MeasurementError as error:
            self._problem = str(error)
            known = self._answer.calibration
            if known is not None and known.line is not None:
                self._ruler.show(known.line)
            else:
                self._ruler.remove()
            self._refresh()
            return
        note_calibration(subject.image, found)
        self._on_stale()
        self._refresh()

    def _show_ruler(self, calibration: Calibration) -> None:
        """Show how the photograph was calibrated earlier."""
        line, length = calibration.line, calibration.length_mm
        if line is None or length is None or self._has_shown_ruler:
            return
        self._has_shown_ruler = True  # once: the user may delete it
        if self._ruler.line is None and not self._ruler.is_in_hand:
            with QSignalBlocker(self.form.length):
                self.form.length.setValue(length)
            self._ruler.show(line)

    def _on_forget_pressed(self) -> None:
        subject = self._watch.subject
        if subject is None:
            return
        self._ruler.remove()
        note_calibration(subject.image, None)
        asked = replace(question(subject), labels=None)
        self._jobs.submit(
            "forget",
            lambda _: self._desk.forget(asked),
            on_done=self._main_thread.wrap(lambda _: self._on_stale()),
            on_error=self._main_thread.wrap(self._on_failed),
        )
        self._refresh()

    # Words

    def _on_save_pressed(self) -> None:
        subject = self._watch.subject
        if subject is None:
            return
        suggested = saving.suggested_path(subject.image)
        stem = suggested.name.removesuffix(saving.SUFFIX)
        path, _ = QFileDialog.getSaveFileName(
            self.native,
            "Save measurements",
            str(suggested.with_name(stem + SUFFIX)),
            "Table (*.csv)",
        )
        if path:
            self.save_table(Path(path).with_suffix(".csv"))

    def _on_failed(self, error: Exception) -> None:
        self._problem = str(error)
        self._refresh()
        if not isinstance(error, GLMedSAError):
            raise error
        show_error(str(error))

    def _refresh(self) -> None:
        if self._closed:
            return
        form, subject, answer = self.form, self._watch.subject, self._answer
        form.ruler_button.native.setChecked(self._ruler.is_in_hand)
        form.ruler_button.enabled = subject is not None
        form.forget_button.enabled = answer.calibration is not None
        form.subject.value = subject_words(subject)
        form.scale.value = scale_words(answer, drawing=self._ruler.is_in_hand)
        form.words.value = self._problem or advice(answer, subject)
        mask = subject.mask if subject else None
        form.show_measured(answer.measured, partial(_colour_of, mask))

    # The end

    def _on_parent_changed(self, parent: object) -> None:
        # napari takes a dock apart without destroying what was in it; see the dock
        # "Segment".
        if parent is None and not self._closed:
            self.native.deleteLater()


def _colour_of(mask: Labels | None, label: int) -> Any:
    return None if mask is None else mask.get_color(label)
