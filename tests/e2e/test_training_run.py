"""A run in a process of its own, killed at any moment, goes on as if nothing was."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from runs import TINY_CONFIG, curve, drawn_project, new_run, weights

from napari_glmedsa.errors import TrainingError
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.training.process import ProcessId
from napari_glmedsa.training.run import TrainingRun
from napari_glmedsa.training.status import RunStatus

pytestmark = pytest.mark.e2e

PATIENCE = 120.0


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """The tests share the cores, and so do the processes they start."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def wait(run: TrainingRun, until) -> RunStatus:
    """Wait until something is true of the status, or the run has ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status = run.status()
        if until(status) or not status.is_active:
            return status
        time.sleep(0.005)
    raise TimeoutError(run.log_path.read_text())


def end(run: TrainingRun) -> RunStatus:
    return wait(run, lambda _: False)


def test_a_run_killed_at_any_moment_ends_as_one_that_was_not(
    tmp_path, registry: ModelRegistry
):
    # Many held-out images make the gate last long enough to be hit.
    project = drawn_project(tmp_path / "lesions", train=4, val=2, test=40)
    whole, killed = new_run(project, registry), new_run(project, registry)
    whole.launch(registry)
    assert end(whole).state == "finished", whole.log_path.read_text()

    draw = random.Random(0)
    moments = [
        lambda status: status.pid > 0,  # while it starts
        lambda status: len(curve(killed)) >= draw.randint(2, 6),  # in an epoch
        lambda status: status.message.startswith("Comparing"),  # in the gate
    ]
    for moment in moments:
        pid = killed.launch(registry)
        wait(killed, lambda status, moment=moment: moment(status))
        os.kill(pid, signal.SIGKILL)
        status = end(killed)
        assert (status.state, status.can_resume) == ("lost", True)
    killed.resume(registry)
    assert end(killed).state == "finished", killed.log_path.read_text()

    assert curve(killed) == curve(whole)
    assert weights(killed.adapter_path) == weights(whole.adapter_path)
    assert killed.gate().images == whole.gate().images
    names = [card.name for card in registry.adapters("sam_tiny")]
    assert whole.status().adapter in names
    assert killed.status().adapter in names
    assert len(names) == 3  # one was there before


def test_a_detached_run_pauses_goes_on_and_is_cancelled(
    tmp_path, registry: ModelRegistry
):
    project = drawn_project(tmp_path / "lesions")
    endless = replace(TINY_CONFIG, epochs=1000)  # it must not end by itself
    run = new_run(project, registry, config=endless)
    other = new_run(project, registry)
    pid = run.launch(registry)
    wait(run, lambda _: len(curve(run)) >= 2)
    with pytest.raises(TrainingError, match=run.id):
        other.launch(registry)
    run.pause()
    status = end(run)
    assert (status.state, status.pid) == ("paused", pid)
    deadline = time.monotonic() + PATIENCE
    while ProcessId.of(pid).born:  # it ends, and so gives its memory back
        assert time.monotonic() < deadline
        time.sleep(0.005)
    n_events = len(curve(run))
    run.resume(registry)
    found = TrainingRun.open(run.folder)  # as another program would
    wait(found, lambda _: len(curve(found)) > n_events)
    found.cancel()
    assert end(found).state == "cancelled"


def test_two_processes_make_one_run_with_the_result_of_one(
    tmp_path, registry: ModelRegistry, monkeypatch
):
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(registry.root))
    project = drawn_project(tmp_path / "lesions", train=3)
    # `accelerate launch --cpu` starts several processes only where MPI is installed
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--local-addr", "127.0.0.1", "--nproc-per-node", "2"]
    train = ["-m", "--", "napari_glmedsa", "train", str(project.root)]
    train += ["--start", "sam_tiny"]
    train += ["--compare-with", "sam_tiny", "--preset", "quick", "--epochs", "1"]
    finished = subprocess.run(
        [*torchrun, *train, "--set", "precision=fp32"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "Training, shared by 2 processes." in finished.stderr
    (two,) = TrainingRun.runs(project)
    assert two.status().state == "finished"
    assert finished.stdout.count("Held out: 5 images (test)") == 1
    one = new_run(project, registry, config=two.plan.config)
    one.execute(registry)
    for ours, theirs in zip(curve(two), curve(one), strict=True):
        for key, value in theirs.items():
            near = pytest.approx(value, abs=1e-5) if key == "loss" else value
            assert ours[key] == near
    names = [name for event in curve(two) for name in event.get("images", ())]
    assert sorted(names) == sorted(two.plan.images["train"])
