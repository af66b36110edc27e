"""The Fine-tune dock in a viewer, over runs that nobody trains."""

import errno
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_run import GATE, N_EPOCHS, SIZE, events, finish, say, tell
from fake_run import start_run as fake_start
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel
from runs import drawn_project, new_run
from segmenting import LONG

from napari_glmedsa.activation import ActiveModel
from napari_glmedsa.adapters.card import read_card
from napari_glmedsa.errors import TrainingError
from napari_glmedsa.project import Provenance
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.training.presets import PRESETS
from napari_glmedsa.training.run import TrainingRun
from napari_glmedsa.training.status import ProcessId
from napari_glmedsa.ui import finetune_widget
from napari_glmedsa.ui.finetune_form import RUNS, SETUP
from napari_glmedsa.ui.finetune_widget import FineTuneWidget
from napari_glmedsa.ui.finetune_work import FineTuneWork

pytestmark = pytest.mark.ui

BASE, ADAPTED = ModelSpec("sam_tiny"), ModelSpec("sam_tiny", "tiny_adapter")


@pytest.fixture
def project(tmp_path):
    return drawn_project(tmp_path / "moles", train=4, val=1, test=1)


@pytest.fixture
def dock(make_napari_viewer_proxy, registry, project, monkeypatch):
    """Open docks in a viewer that look often, over runs that only seem to start."""
    monkeypatch.setattr(finetune_widget, "LOOK_INTERVAL", 30)
    launched = []

    def launch(run, _):
        launched.append(run)
        say(run, state="running", epoch=1, message="")
        return 1

    monkeypatch.setattr(TrainingRun, "launch", launch)
    ActiveModel(registry).activate(BASE)
    RecentProjects(registry.root).add(project.root)
    viewer, opened = make_napari_viewer_proxy(), []

    def open_dock() -> FineTuneWidget:
        widget = FineTuneWidget(viewer, registry)
        viewer.window.add_dock_widget(widget, name="Fine-tune")
        opened.append(widget)
        return widget

    yield SimpleNamespace(viewer=viewer, open=open_dock, launched=launched)
    for widget in opened:
        widget.close_work()


@pytest.fixture
def widget(dock, wait):
    widget = dock.open()
    wait(lambda: widget.look.project is not None)
    return widget


@pytest.fixture
def running(dock, registry, project, wait):
    """The dock with a run that was at work before it was opened."""
    run = fake_start(project, registry, BASE)
    widget = dock.open()
    wait(lambda: widget.look.run is not None)
    return SimpleNamespace(widget=widget, run=run, form=widget.form.run)


# -------------------------------------------------------------- before the first run


def test_the_project_used_last_is_shown_with_its_images(widget, project):
    assert widget.project == project.root
    assert "6 annotated images: 4 to train, 1 to validate, 1 to test." in (
        widget.form.images.value
    )
    assert "means little" in widget.form.images.value
    assert widget.form.pages.currentIndex() == SETUP
    assert widget.form.setup.start_button.enabled


def test_a_mask_accepted_meanwhile_is_counted(widget, project, wait):
    lesion = draw_lesion(seed=77, size=SIZE)
    image = project.add_image(lesion.image, source="77.png")
    project.save_annotation(image, lesion.mask, [Provenance()])
    wait(lambda: "7 annotated images" in widget.form.images.value)


def test_one_image_cannot_train(dock, registry, tmp_path, wait):
    lonely = drawn_project(tmp_path / "lonely", train=1, val=0, test=0)
    RecentProjects(registry.root).add(lonely.root)
    widget = dock.open()
    wait(lambda: widget.look.project is not None)
    assert "1 annotated image cannot train" in widget.form.images.value
    assert not widget.form.setup.start_button.enabled


def test_without_a_project_the_dock_says_where_projects_come_from(
    make_napari_viewer_proxy, tmp_path, wait
):
    viewer = make_napari_viewer_proxy()
    widget = FineTuneWidget(viewer, ModelRegistry(tmp_path / "nothing"))
    viewer.window.add_dock_widget(widget)
    wait(lambda: widget.look.active is not None)
    assert "Choose an annotation project" in widget.form.images.value
    assert not widget.form.setup.start_button.enabled
    widget.close_work()


def test_time_and_memory_are_estimated_before_the_start(widget, wait, monkeypatch):
    asked = []
    estimate = widget.form.setup.estimate
    wait(lambda: "on cpu" in estimate.value and "GB are free" in estimate.value)
    monkeypatch.setattr(
        FineTuneWork,
        "estimate",
        lambda _, *what: asked.append(what) or "A second or two.",
    )
    widget.form.setup.advanced.epochs.setValue(3)
    wait(lambda: estimate.value == "A second or two.")
    model, config, counts = asked[-1]
    assert (model, config.epochs) == (BASE, 3)
    assert counts == {"train": 4, "val": 1, "test": 1}


def test_a_preset_fills_the_form_and_explains_itself(widget):
    setup = widget.form.setup
    setup.preset.value = "gmed-sa"
    assert setup.config.adapter.sites == ("block",)
    assert setup.explanation.value.startswith("GMed-SA")


def test_the_active_model_or_a_base_can_be_started_from(dock, registry, wait):
    ActiveModel(registry).activate(ADAPTED)
    widget = dock.open()
    wait(lambda: widget.look.project is not None)
    setup = widget.form.setup
    assert setup.start.choices[0] == ADAPTED
    assert BASE in setup.start.choices
    assert not setup.advanced.ratio.isEnabled()
    setup.start.value = BASE
    assert setup.advanced.ratio.isEnabled()


@pytest.mark.parametrize("preset", ["med-sa", "gmed-sa", "full"])
def test_a_preset_of_another_shape_starts_from_the_base_alone(
    dock, registry, wait, preset
):
    ActiveModel(registry).activate(ADAPTED)
    widget = dock.open()
    wait(lambda: widget.look.project is not None)
    setup = widget.form.setup
    setup.preset.value = "decoder"
    assert setup.start_model == ADAPTED
    assert setup.advanced.decoder_learning_rate.isEnabled()
    setup.preset.value = preset
    assert setup.start_model == BASE
    assert setup.config == PRESETS[preset].config
    setup.preset.value = "standard"
    assert setup.start_model == ADAPTED
    setup.preset.value = preset
    setup.start.value = ADAPTED
    setup.start.value = BASE  # which is what the user wants now
    setup.preset.value = "standard"
    assert setup.start_model == BASE


def test_the_shape_of_the_adapter_that_is_continued_is_shown(dock, registry, wait):
    ActiveModel(registry).activate(ADAPTED)
    widget = dock.open()
    wait(lambda: widget.look.project is not None)
    setup = widget.form.setup
    own = read_card(registry.adapter_path("tiny_adapter")).config
    assert own != PRESETS["standard"].config.adapter
    assert setup.config.adapter == own
    assert setup.advanced.ratio.value() == pytest.approx(own.bottleneck_ratio, abs=1e-4)
    setup.start.value = BASE
    assert setup.config == PRESETS["standard"].config


def test_another_project_can_be_chosen_and_is_remembered(
    widget, registry, tmp_path, wait, monkeypatch
):
    other = drawn_project(tmp_path / "other", train=1, val=1, test=1)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(other.root))
    widget.form.choose_button.native.click()
    wait(lambda: "3 annotated images" in widget.form.images.value)
    assert RecentProjects(registry.root).latest() == other.root


def test_a_folder_that_is_no_project_is_refused_with_a_sentence(
    widget, tmp_path, wait, messages
):
    (tmp_path / "photos").mkdir()
    widget.open_project(tmp_path / "photos")
    wait(lambda: "is not an annotation project" in widget.form.problem.value)
    assert len([one for one in messages() if "is not an annotation" in one]) == 1


def test_a_project_of_a_newer_version_is_refused_with_a_sentence(
    dock, project, wait, messages
):
    document = json.loads((project.root / "project.json").read_text())
    (project.root / "project.json").write_text(
        json.dumps({**document, "schema_version": 99})
    )
    widget = dock.open()
    wait(lambda: "update napari-glmedsa" in widget.form.problem.value)
    assert not widget.form.setup.start_button.enabled


def test_a_project_that_was_moved_away_and_back_is_shown_again(widget, project, wait):
    away = project.root.with_name("away")
    project.root.rename(away)
    wait(lambda: "There is no folder" in widget.form.problem.value)
    away.rename(project.root)
    wait(lambda: not widget.form.problem.value)


# ------------------------------------------------------------------------- the run


def test_start_makes_a_run_as_the_form_says_and_shows_it(widget, dock, wait):
    widget.form.setup.advanced.epochs.setValue(N_EPOCHS)
    widget.form.setup.start_button.native.click()
    assert not widget.form.setup.start_button.enabled
    wait(lambda: dock.launched)
    plan = dock.launched[0].plan
    assert (plan.start, plan.config.epochs) == (BASE, N_EPOCHS)
    wait(lambda: widget.look.run is not None)
    assert widget.form.pages.currentIndex() == RUNS
    wait(lambda: widget.form.setup.start_button.enabled)


def test_the_curve_grows_and_the_progress_is_told(running, wait):
    assert running.form.progress.native.value() == 2
    assert "Epoch 1 of 4. About 60 s left." in running.form.state.value
    tell(running.run, events(2)[len(events(1)) :])
    say(running.run, state="running", epoch=2, step=4, best_epoch=2, best_dice=0.85)
    wait(lambda: len(running.form.curve.curves.dice) == 3)
    wait(lambda: "Best Dice 0.850 (epoch 2)" in running.form.state.value)
    assert running.form.curve.best_words == "best 0.850, epoch 2"


def test_a_story_told_anew_from_a_checkpoint_replaces_what_was_drawn(running, wait):
    told = events(1)
    wait(lambda: len(running.form.curve.curves.step_losses) == 2)
    running.run.metrics_path.unlink()
    tell(running.run, told[:2])
    wait(lambda: len(running.form.curve.curves.step_losses) == 1)


@pytest.mark.parametrize(
    ("state", "enabled"),
    [
        ("queued", {"pause", "cancel"}),
        ("running", {"pause", "cancel"}),
        ("paused", {"resume", "cancel"}),
        ("failed", {"resume"}),
        ("finished", set()),
        ("cancelled", set()),
    ],
)
def test_the_buttons_follow_the_state(running, wait, state, enabled):
    say(running.run, state=state)
    wait(lambda: running.widget.look.run.status.state == state)
    form = running.form
    buttons = {"pause": form.pause_button, "resume": form.resume_button}
    buttons["cancel"] = form.cancel_button
    assert {name for name, button in buttons.items() if button.enabled} == enabled


def test_pause_and_cancel_ask_the_run(running, wait):
    running.form.pause_button.native.click()
    wait(lambda: running.run.request() == "pause")
    running.form.cancel_button.native.click()
    wait(lambda: running.run.request() == "cancel")


def test_resume_launches_the_run_again(running, dock, wait):
    say(running.run, state="paused")
    wait(lambda: running.form.resume_button.enabled)
    running.form.resume_button.native.click()
    wait(lambda: [run.folder for run in dock.launched] == [running.run.folder])
    wait(lambda: running.widget.look.run.status.state == "running")


def test_a_run_whose_process_is_gone_can_be_resumed(running, wait, messages):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    born = ProcessId.of(gone.pid).born
    gone.wait()
    say(running.run, state="running", pid=gone.pid, born=born)
    wait(lambda: running.widget.look.run.status.state == "lost")
    assert running.form.resume_button.enabled
    assert any("resume it" in message for message in messages())


def test_a_failure_is_said_in_the_dock_and_as_a_notification(running, wait, messages):
    sentence = "The disk is full; make room and resume."
    say(running.run, state="failed", message=sentence)
    wait(lambda: sentence in running.form.state.value)
    assert any(sentence in message for message in messages())
    assert running.form.resume_button.enabled


def test_a_run_that_cannot_be_launched_says_why_and_does_not_wait_for_ever(
    widget, project, wait, monkeypatch
):
    def refuse(run, _):
        raise TrainingError("The run of yesterday is at work; wait for its end.")

    monkeypatch.setattr(TrainingRun, "launch", refuse)
    widget.form.setup.start_button.native.click()
    wait(lambda: "at work" in widget.form.problem.value)
    assert [run.status().state for run in TrainingRun.runs(project)] == ["cancelled"]
    wait(lambda: widget.form.setup.start_button.enabled)


def test_a_run_that_was_made_and_never_started_can_be_started(
    dock, project, registry, wait
):
    run = new_run(project, registry)
    widget = dock.open()
    wait(lambda: widget.look.run is not None)
    form = widget.form.run
    assert "has not begun" in form.state.value
    assert (form.pause_button.enabled, form.cancel_button.enabled) == (False, True)
    form.resume_button.native.click()
    wait(lambda: [run.folder for run in dock.launched] == [run.folder])


def test_a_run_that_died_before_its_first_word_shows_what_its_log_says(running, wait):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    born = ProcessId.of(gone.pid).born
    gone.wait()
    running.run.log_path.write_text("ImportError: No module named accelerate\n")
    say(running.run, state="queued", pid=gone.pid, born=born)
    wait(lambda: "No module named accelerate" in running.form.state.value)


def test_a_project_that_cannot_be_written_is_shown_and_refuses_to_train(
    widget, project, wait, messages, monkeypatch
):
    original = Path.mkdir

    def refuse(path, *args, **kwargs):
        if path.is_relative_to(project.root):
            raise PermissionError(errno.EROFS, "Read-only file system", str(path))
        original(path, *args, **kwargs)

    project.assign_splits()
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert "6 annotated images" in widget.form.images.value
    widget.form.setup.start_button.native.click()
    wait(lambda: "Read-only file system" in widget.form.problem.value)
    assert any("Read-only file system" in message for message in messages())
    assert TrainingRun.runs(project) == []
    wait(lambda: widget.form.setup.start_button.enabled)


def test_a_finished_run_shows_table_gallery_and_verdict(running, wait):
    finish(running.run, ADAPTED)
    wait(lambda: running.form.table.rows)
    assert running.form.table.verdict.value == GATE.sentence
    wait(lambda: len(running.form.gallery.thumbnails) == 2)
    wait(lambda: running.form.activate_button.enabled)  # which is told last


def test_activate_and_roll_back_change_the_active_model(running, registry, wait):
    finish(running.run, ADAPTED)
    wait(lambda: running.form.activate_button.enabled)
    running.form.activate_button.native.click()
    wait(lambda: ActiveModel(registry).current() == ADAPTED)
    wait(lambda: str(ADAPTED) in running.form.active.value)
    wait(lambda: not running.form.activate_button.enabled)
    running.form.roll_back_button.native.click()
    wait(lambda: ActiveModel(registry).current() == BASE)
    wait(lambda: running.form.activate_button.enabled)


def test_reveal_opens_the_run_s_folder(running, monkeypatch):
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    running.form.reveal_button.native.click()
    assert [url.toLocalFile() for url in opened] == [str(running.run.folder)]


def test_ten_runs_in_one_session_are_listed_newest_first(widget, dock, project, wait):
    for number in range(1, 11):
        widget.form.show_page(SETUP)
        wait(lambda: widget.form.setup.start_button.enabled)
        widget.form.setup.start_button.native.click()
        wait(lambda n=number: len(dock.launched) == n)
        run = dock.launched[-1]
        wait(lambda r=run: widget.look.run and widget.look.run.folder == r.folder)
        finish(run, ADAPTED)
        wait(lambda: widget.look.run.status.state == "finished")
    wait(lambda: len(widget.form.run.runs.choices) == 10)
    assert widget.form.pages.tabText(RUNS) == "Runs (10)"
    newest_first = [run.folder for run in TrainingRun.runs(project)]
    assert list(widget.form.run.runs.choices) == newest_first
    widget.form.run.runs.value = newest_first[-1]
    wait(lambda: widget.look.run.folder == newest_first[-1])


def test_a_damaged_run_is_named_and_hides_nothing_else(running, wait):
    (running.run.folder / "config.json").write_text("{")
    wait(
        lambda: (
            "not a training run that can be read" in (running.widget.form.problem.value)
        )
    )
    assert "6 annotated images" in running.widget.form.images.value


# --------------------------------------------------------------- napari and its window


@pytest.mark.parametrize("state", ["running", "paused"])
def test_an_unfinished_run_is_found_again_by_a_new_dock(running, dock, wait, state):
    say(running.run, state=state)
    dock.viewer.window.remove_dock_widget(running.widget.native)
    again = dock.open()
    wait(lambda: again.look.run is not None)
    assert again.look.run.folder == running.run.folder
    assert again.form.pages.currentIndex() == RUNS
    wait(lambda: len(again.form.run.curve.curves.dice) == 2)


def test_a_closed_dock_stops_looking(running, dock, wait, monkeypatch):
    looks, original = [], FineTuneWork.look

    def look(*args, **kwargs):
        looks.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(FineTuneWork, "look", look)
    wait(lambda: len(looks) > 2)
    gone = []
    running.widget.native.destroyed.connect(lambda: gone.append(True))
    dock.viewer.window.remove_dock_widget(running.widget.native)
    wait(lambda: gone)
    dock.viewer.theme = "light"  # and nobody is left to take it over
    n_looks = len(looks)
    end = time.monotonic() + 0.3
    wait(lambda: time.monotonic() > end)
    assert len(looks) <= n_looks + 1  # one may have been under way


def test_a_dock_that_is_moved_keeps_its_choices(running):
    before = list(running.form.runs.choices)
    running.widget.native.parent().setFloating(True)
    QApplication.processEvents()
    assert list(running.form.runs.choices) == before
    assert running.widget.project is not None
    assert running.widget.form.setup.start_model == BASE


def test_a_drive_that_does_not_answer_never_halts_the_window(
    running, wait, monkeypatch
):
    answer, asked = threading.Event(), []

    def hang(run):
        asked.append(run)
        assert answer.wait(LONG / 1000)
        return original(run)

    original = TrainingRun.status
    monkeypatch.setattr(TrainingRun, "status", hang)
    wait(lambda: asked)
    end = time.monotonic() + 0.5
    wait(lambda: time.monotonic() > end)  # the window lives
    assert len(asked) == 1  # and looks do not pile up
    answer.set()
    say(running.run, state="paused")
    wait(lambda: running.form.resume_button.enabled)


def test_the_curve_takes_over_the_theme(running, dock):
    before = running.form.curve.backgroundBrush().color().name()
    dock.viewer.theme = "light"
    assert running.form.curve.backgroundBrush().color().name() != before
    dock.viewer.theme = "dark"
    assert running.form.curve.backgroundBrush().color().name() == before


def test_the_dock_says_what_it_is_not(widget):
    labels = [child.text() for child in widget.form.findChildren(QLabel)]
    assert "Research software, not a medical device." in labels


def test_opening_the_dock_does_not_import_torch():
    code = (
        "import sys, napari_glmedsa.ui.finetune_widget;"
        "sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
