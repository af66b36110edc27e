"""One training run on the screen: choice, progress, curves, result, and what to do."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path

from magicgui.widgets import ComboBox, PushButton
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_glmedsa.training.estimate import in_words
from napari_glmedsa.training.status import RunStatus
from napari_glmedsa.ui import forms
from napari_glmedsa.ui.learning_curve import LearningCurve
from napari_glmedsa.ui.result_table import ResultTable
from napari_glmedsa.ui.run_gallery import RunGallery
from napari_glmedsa.ui.run_snapshot import UNFINISHED, Look, RunSnapshot

STATE_WORDS = {
    "queued": "Starting.",
    "running": "Training.",
    "paused": "Paused.",
    "finished": "Finished.",
    "cancelled": "Cancelled.",
    "failed": "Failed.",
    "lost": "Interrupted.",
}


class RunPanel(QWidget):
    """The widgets that show a run, without any behaviour."""

    def __init__(self) -> None:
        super().__init__()
        self._offered: list[tuple[str, Path]] = []
        self.runs = forms.narrow(
            ComboBox(label="Run", choices=[], tooltip="The newest run stands first")
        )
        self.state = forms.paragraph(lines=2)
        self.progress = forms.progress_bar()
        self.pause_button = PushButton(
            text="Pause", tooltip="Stop after this step; Resume goes on exactly there"
        )
        self.resume_button = PushButton(
            text="Resume", tooltip="Go on from the last checkpoint"
        )
        self.cancel_button = PushButton(
            text="Cancel", tooltip="End the run; the best adapter so far is kept"
        )
        self.curve = LearningCurve()
        self.table = ResultTable()
        self.gallery = RunGallery()
        self.activate_button = PushButton(
            text="Activate", tooltip="Let this run's adapter answer the next clicks"
        )
        self.roll_back_button = PushButton(
            text="Roll back", tooltip="Return to the model that was active before"
        )
        self.reveal_button = PushButton(
            text="Reveal folder", tooltip="Show the run's files: settings, log, adapter"
        )
        self.active = forms.paragraph()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (
            forms.picker_rows(self.runs),
            self.state.native,
            self.progress.native,
            forms.button_row(
                self.pause_button, self.resume_button, self.cancel_button
            ).native,
            self.table,
            self.active.native,
            forms.button_row(
                self.activate_button, self.roll_back_button, self.reveal_button
            ).native,
            self.gallery,
            self.curve,
        ):
            layout.addWidget(widget)
        self.show_look(Look())

    def show_look(self, look: Look) -> None:
        """Show the chosen run and what can be done with it."""
        self._offer_runs(look)
        self._show_run(look.run)
        run, active = look.run, look.active
        self.active.value = "" if active is None else f"Active model: {active}."
        self.activate_button.enabled = (
            run is not None and run.model is not None and run.model != active
        )
        self.roll_back_button.enabled = look.can_roll_back

    def _offer_runs(self, look: Look) -> None:
        runs = look.project.runs if look.project else ()
        times = Counter(moment(folder.name) for folder, _ in runs)
        offered = []
        for folder, state in runs:
            when = moment(folder.name)
            unique = when if times[when] == 1 else f"{when} {folder.name[-6:]}"
            offered.append((f"{unique}, {state}", folder))
        if offered != self._offered:
            self._offered = offered
            with self.runs.changed.blocked():
                forms.offer(self.runs, offered)
        if look.run is not None and look.run.folder in self.runs.choices:
            with self.runs.changed.blocked():
                self.runs.value = look.run.folder

    def _show_run(self, run: RunSnapshot | None) -> None:
        status = RunStatus() if run is None else run.status
        self.state.value = "No run yet." if run is None else state_sentence(status)
        self.progress.native.setVisible(run is not None and status.is_at_work)
        self.progress.native.setRange(0, status.n_steps)  # 0 to 0: no idea how long
        self.progress.native.setValue(status.step)
        self.pause_button.enabled = run is not None and status.is_at_work
        self.resume_button.enabled = run is not None and status.can_resume
        self.cancel_button.enabled = run is not None and status.state in UNFINISHED
        self.reveal_button.enabled = run is not None
        self.curve.setVisible(run is not None)
        if run is not None:
            self.curve.show_curves(run.curves, n_epochs=status.n_epochs)
        self.table.show_result(run.gate if run else None, verdict=status.message)
        self.gallery.show_pictures(run.pictures if run else ())


def state_sentence(status: RunStatus) -> str:
    """Return how far a run is, in words."""
    # The last word of a finished run stands beside its table.
    own = "" if status.state == "finished" else status.message
    words = [own or STATE_WORDS[status.state]]
    if status.epoch and status.n_epochs:
        words.append(f"Epoch {status.epoch} of {status.n_epochs}.")
    if status.is_active and status.eta_seconds is not None:
        words.append(f"About {in_words(status.eta_seconds)} left.")
    elif status.seconds >= 1:
        words.append(f"{in_words(status.seconds).capitalize()} of training.")
    if status.best_dice is not None:
        words.append(f"Best Dice {status.best_dice:.3f} (epoch {status.best_epoch}).")
    return " ".join(words)


def moment(name: str) -> str:
    """Return when a run was made, in local time, from the name of its folder."""
    try:
        made = datetime.strptime(f"{name[:15]}Z", "%Y%m%dT%H%M%S%z")
    except ValueError:
        return name
    return made.astimezone().strftime("%Y-%m-%d %H:%M:%S")
