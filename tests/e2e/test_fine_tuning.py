"""The whole way of fine-tuning: real windows, real processes, drawn lesions."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from qtpy.QtCore import Qt
from runs import drawn_project

from napari_glmedsa.activation import ActiveModel
from napari_glmedsa.evaluation import dice
from napari_glmedsa.inference import Prompts
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.registry import DEFAULT_MODEL, ModelRegistry, ModelSpec
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.session import SessionState
from napari_glmedsa.training.events import EpochEvent
from napari_glmedsa.training.run import TrainingRun
from napari_glmedsa.ui.finetune_form import RUNS
from napari_glmedsa.ui.finetune_widget import FineTuneWidget
from napari_glmedsa.ui.segment_widget import SegmentWidget

pytestmark = [pytest.mark.ui, pytest.mark.e2e]

LONG = 240_000
LEFT = Qt.MouseButton.LeftButton
N_LESIONS, N_EPOCHS = 3, 100


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """The window and the training process share the cores."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def wait(qtbot):
    def wait(condition) -> None:
        qtbot.waitUntil(lambda: bool(condition()), timeout=LONG)

    return wait


def middle(mask) -> tuple[float, float]:
    row, column = np.argwhere(mask).mean(axis=0)
    return float(row), float(column)


def answer_of(registry, spec, lesion):
    """Predict the plain way what a click in the middle of a lesion gives."""
    predictor = registry.load(spec, device="cpu", precision="auto")
    where = np.array([middle(lesion.mask)[::-1]])
    embedding = predictor.encode(lesion.image)
    return predictor.predict(embedding, Prompts(where, np.array([1]))).mask


def test_accepted_masks_become_an_adapter_that_answers_the_next_click(
    make_napari_viewer, qtbot, tmp_path, wait, request
):
    registry = ModelRegistry(tmp_path / "registry")
    project = AnnotationProject.create(tmp_path / "moles")
    viewer = make_napari_viewer(show=True)
    segment = SegmentWidget(viewer, registry)
    viewer.window.add_dock_widget(segment, name="Segment")
    finetune = FineTuneWidget(viewer, registry)
    viewer.window.add_dock_widget(finetune, name="Fine-tune")

    # Open the project in the one dock; the other one finds it.
    segment.form.project.opened.emit(project.root)
    wait(lambda: finetune.project == project.root)
    wait(lambda: "No annotated image yet" in finetune.form.images.value)

    def ready() -> bool:
        return segment.session.state is SessionState.READY

    def show(seed: int):
        lesion = draw_lesion(seed=seed, size=(192, 256))
        known = len(viewer.layers)
        segment.form.image.value = viewer.add_image(lesion.image)
        wait(lambda: len(viewer.layers) == known + 3 and ready())
        return lesion, viewer.layers[-1], viewer.layers[-2]

    for n in range(N_LESIONS):
        lesion, clicks, mask = show(seed=n)
        clicks.add(middle(lesion.mask))
        wait(lambda now=mask: now.data.any() and segment.form.accept_button.enabled)
        assert dice(mask.data > 0, lesion.mask) > 0.7
        qtbot.mouseClick(segment.form.accept_button.native, LEFT)
        wait(lambda n=n: len(project.annotated()) == n + 1)
    wait(lambda: "3 annotated images" in finetune.form.images.value)

    # Start, and watch the curve move.
    setup, run_page = finetune.form.setup, finetune.form.run
    setup.preset.value = "quick"
    setup.advanced.epochs.setValue(2)
    qtbot.mouseClick(setup.start_button.native, LEFT)
    wait(lambda: finetune.look.run is not None)
    assert finetune.form.pages.currentIndex() == RUNS
    run = TrainingRun.open(finetune.look.run.folder)
    request.addfinalizer(run.cancel)
    wait(lambda: len(run_page.curve.curves.dice) >= 1)
    assert run.status().pid not in (0, os.getpid())

    # The old model goes on answering clicks while the new one learns.
    lesion, clicks, mask = show(seed=N_LESIONS)
    clicks.add(middle(lesion.mask))
    wait(lambda: mask.data.any() and ready())
    assert np.array_equal(mask.data > 0, answer_of(registry, DEFAULT_MODEL, lesion))
    qtbot.mouseClick(segment.form.clear_button.native, LEFT)
    wait(lambda: not mask.data.any())

    wait(lambda: run.status().state not in ("queued", "running"))
    assert run.status().state == "finished", run.log_path.read_text()
    wait(lambda: run_page.table.rows)
    assert len(run_page.curve.curves.dice) == 3
    assert len(run_page.curve.curves.step_losses) == 2
    assert "held-out image" in run_page.table.difference.value
    wait(lambda: run_page.gallery.thumbnails)

    # One held-out image means little: nothing was activated by itself.
    assert ActiveModel(registry).current() == DEFAULT_MODEL
    wait(lambda: run_page.activate_button.enabled)
    qtbot.mouseClick(run_page.activate_button.native, LEFT)
    new = ModelSpec.parse(run.status().model)
    wait(lambda: segment.form.model.value == new)
    wait(ready)
    clicks.add(middle(lesion.mask))
    wait(lambda: mask.data.any() and ready())
    assert np.array_equal(mask.data > 0, answer_of(registry, new, lesion))
    wait(lambda: run_page.roll_back_button.enabled)
    qtbot.mouseClick(run_page.roll_back_button.native, LEFT)
    wait(lambda: segment.form.model.value == DEFAULT_MODEL)
    finetune.close_work()


NAPARI = """
import sys, napari
from pathlib import Path
from qtpy.QtCore import QTimer
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.ui.finetune_widget import FineTuneWidget
viewer = napari.Viewer()
dock = FineTuneWidget(viewer, ModelRegistry(Path(sys.argv[1])))
viewer.window.add_dock_widget(dock)
assert "torch" not in sys.modules, "the window would stand still for seconds"
started = []
def look():
    setup = dock.form.setup
    if setup.start_button.enabled and not started:
        started.append(True)
        setup.preset.value = "paper"
        setup.advanced.epochs.setValue(int(sys.argv[2]))
        setup.start_button.native.click()
    if dock.look.run is not None and dock.look.run.curves.losses.size:
        print(dock.look.run.folder, flush=True)
timer = QTimer(interval=50)
timer.timeout.connect(look)
timer.start()
napari.run()
"""


def stop_in_the_middle(project: AnnotationProject) -> TrainingRun:
    """Wait until a run has learnt for an epoch, and make it stand still."""
    deadline = time.monotonic() + LONG / 1000
    while time.monotonic() < deadline:
        for run in TrainingRun.runs(project):
            told = run.events()
            if any(isinstance(e, EpochEvent) and e.epoch > 0 for e in told):
                os.kill(run.status().pid, signal.SIGSTOP)
                return run
        time.sleep(0.005)
    raise TimeoutError("The run has not begun to learn.")


def test_a_run_outlives_napari_is_found_again_and_outlives_its_own_death(
    make_napari_viewer, qtbot, registry, tmp_path, wait, request
):
    project = drawn_project(tmp_path / "moles", train=2, val=1, test=1)
    RecentProjects(registry.root).add(project.root)
    ActiveModel(registry).activate(ModelSpec("sam_tiny"))
    old_napari = subprocess.Popen(
        [sys.executable, "-c", NAPARI, str(registry.root), str(N_EPOCHS)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    request.addfinalizer(old_napari.kill)
    # Else it might be at its end before the next window is there.
    run = stop_in_the_middle(project)
    request.addfinalizer(run.cancel)
    assert old_napari.stdout is not None
    folder = old_napari.stdout.readline().strip()
    old_napari.kill()
    old_napari.wait()
    assert str(run.folder) == folder
    assert run.status().is_at_work

    viewer = make_napari_viewer(show=True)
    dock = FineTuneWidget(viewer, registry)
    viewer.window.add_dock_widget(dock, name="Fine-tune")
    wait(lambda: dock.look.run is not None)
    assert dock.look.run.folder == run.folder
    assert dock.form.pages.currentIndex() == RUNS
    page = dock.form.run

    os.kill(run.status().pid, signal.SIGKILL)
    wait(lambda: dock.look.run.status.state == "lost")
    assert "resume it" in page.state.value
    told = len(page.curve.curves.dice)
    assert 0 < told < N_EPOCHS + 1
    qtbot.mouseClick(page.resume_button.native, LEFT)
    wait(lambda: run.status().state not in ("lost", "queued", "running"))
    assert run.status().state == "finished", run.log_path.read_text()
    wait(lambda: page.table.rows)
    validated = [e.epoch for e in run.events() if isinstance(e, EpochEvent)]
    assert validated == list(range(N_EPOCHS + 1))
    assert page.curve.curves.dice_times.tolist() == validated
    assert ModelSpec.parse(run.status().model) in registry.specs()
    wait(lambda: page.activate_button.enabled)
    dock.close_work()
