"""A run is a folder: made, found again, watched, and steered from any process."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from runs import BASE, TINY_CONFIG, drawn_project, new_run
from tiny import TINY, randomise

from napari_glmedsa.errors import (
    AdapterMismatchError,
    ModelNotFoundError,
    ProjectError,
    TrainingError,
)
from napari_glmedsa.files import read_json, sha256_file, write_json
from napari_glmedsa.inference import build_sam
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.registry import DEFAULT_MODEL, ModelSpec, write_base
from napari_glmedsa.training import run as run_module
from napari_glmedsa.training.events import EpochEvent, NoticeEvent, StepEvent
from napari_glmedsa.training.metrics import append_event, cut_events, read_events
from napari_glmedsa.training.process import ProcessId, only_run, start_detached
from napari_glmedsa.training.run import TrainingRun
from napari_glmedsa.training.status import RunStatus, StatusWriter

HERE = ProcessId.of(os.getpid())


@pytest.fixture
def project(tmp_path: Path) -> AnnotationProject:
    return drawn_project(tmp_path / "lesions", train=2, val=1, test=1)


def set_status(run: TrainingRun, **changes: object) -> None:
    write_json(run.status_path, replace(RunStatus(), **changes).to_json())


def dead_process() -> ProcessId:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1)
    name = ProcessId.of(process.pid)
    assert name.alive
    process.kill()
    process.wait()
    assert not name.alive
    process.stdin.close()
    return name


def test_a_new_run_waits_and_says_what_it_will_do(project, registry):
    run = new_run(project, registry)
    plan = TrainingRun.open(run.folder).plan
    assert run.folder.parent == project.runs_folder
    assert plan.config == TINY_CONFIG
    assert (plan.start, plan.compare_with) == (BASE, BASE)
    assert plan.counts == {"train": 2, "val": 1, "test": 1}
    assert plan.held_out == "test"
    assert plan.base_sha256 == registry.bases()[0].sha256
    assert plan.data_sha256["train"] == project.data_sha256(plan.images["train"])
    assert plan.packages["torch"]
    assert plan.name == "drawn_lesions"
    waiting = "It has not begun; resume it to start it."
    assert run.status() == RunStatus(n_epochs=2, message=waiting)
    assert run.status().can_resume
    assert not run.status().is_at_work
    assert run.events() == []
    assert run.gate() is None
    assert run.gallery() == []


def test_the_plan_names_no_folder_so_that_a_project_can_move(project, registry):
    run = new_run(project, registry)
    assert str(project.root) not in (run.folder / "config.json").read_text()
    moved = project.root.rename(project.root.parent / "moved")
    found = TrainingRun.runs(AnnotationProject.open(moved))
    assert [other.id for other in found] == [run.id]
    assert found[0].project.root == moved


def test_the_newest_run_comes_first(project, registry):
    made = []
    for _ in range(3):
        made.append(new_run(project, registry).id)
        time.sleep(0.002)
    assert [run.id for run in TrainingRun.runs(project)] == made[::-1]


def test_an_adapter_trained_further_keeps_its_shape_and_names_its_parent(
    project, registry
):
    run = new_run(project, registry, start=ModelSpec("sam_tiny", "tiny_adapter"))
    assert run.plan.config.adapter.bottleneck_ratio == 0.25
    path = registry.adapter_path("tiny_adapter")
    assert run.plan.parent_sha256 == sha256_file(path)


def test_a_run_compares_with_the_active_model_if_nothing_else_is_named(
    project, registry
):
    run = new_run(project, registry, compare_with=None)
    assert run.plan.compare_with == DEFAULT_MODEL


def test_what_cannot_be_trained_is_refused_at_once(tmp_path, project, registry):
    empty = AnnotationProject.create(tmp_path / "empty")
    with pytest.raises(TrainingError, match="no annotated image"):
        new_run(empty, registry)
    with pytest.raises(ModelNotFoundError, match="sam_tiny"):
        new_run(project, registry, start=ModelSpec("sam_huge"))
    with pytest.raises(ModelNotFoundError, match="tiny_adapter"):
        new_run(project, registry, start=ModelSpec("sam_tiny", "none"))
    whole = replace(TINY_CONFIG, trains="full")
    adapted = ModelSpec("sam_tiny", "tiny_adapter")
    with pytest.raises(TrainingError, match="a base model alone"):
        new_run(project, registry, start=adapted, config=whole)
    other = randomise(build_sam(TINY), seed=7)
    write_base(registry.root / "base" / "sam_other", other.state_dict())
    with pytest.raises(AdapterMismatchError, match="another base"):
        new_run(project, registry, start=ModelSpec("sam_other", "tiny_adapter"))
    assert TrainingRun.runs(project) == []


def test_a_folder_that_cannot_be_written_is_one_sentence(
    project, registry, monkeypatch
):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    project.assign_splits()
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(TrainingError, match="Permission denied"):
        new_run(project, registry)


def test_what_is_no_run_or_a_newer_one_is_refused(tmp_path, project, registry):
    with pytest.raises(TrainingError, match="not a training run"):
        TrainingRun.open(tmp_path)
    run = new_run(project, registry)
    path = run.folder / "config.json"
    write_json(path, {**read_json(path), "schema_version": 99})
    with pytest.raises(TrainingError, match="format 99"):
        TrainingRun.open(run.folder)
    alone = run.folder.rename(tmp_path / "alone")
    with pytest.raises(ProjectError):
        _ = TrainingRun(alone).project


def test_a_run_whose_process_is_gone_is_lost_and_can_be_resumed(project, registry):
    run = new_run(project, registry)
    gone = dead_process()
    set_status(run, state="running", pid=gone.pid, host=gone.host, born=gone.born)
    assert run.status().state == "lost"
    assert run.status().can_resume
    assert "resume" in run.status().message


def test_a_recycled_process_number_is_not_taken_for_the_run(project, registry):
    run = new_run(project, registry)
    set_status(run, state="running", pid=HERE.pid, host=HERE.host, born="long ago")
    assert run.status().state == "lost"
    set_status(run, state="running", pid=HERE.pid, host=HERE.host, born=HERE.born)
    assert run.status().state == "running"


def test_a_run_on_another_computer_lives_as_long_as_its_heart_beats(project, registry):
    run = new_run(project, registry)
    away = {"state": "running", "pid": 1, "host": "elsewhere", "born": "today"}
    set_status(run, **away, heartbeat="2020-01-01T00:00:00+00:00")
    assert run.status().state == "lost"
    set_status(run, **away, heartbeat="9999-01-01T00:00:00+00:00")
    assert run.status().state == "running"


def test_a_process_that_died_before_its_first_word_is_noticed(project, registry):
    run = new_run(project, registry)
    write_json(run.folder / "launched.json", dead_process().to_json())
    assert run.status().state == "lost"
    assert run.status().message.endswith("last checkpoint.")
    sentence = "glmedsa: The run of yesterday is at work; wait for its end."
    run.log_path.write_text(f"2026-01-01 INFO Training.\n{sentence}\n\n")
    assert run.status().message.endswith(f"Its log ends with: {sentence}")


def test_a_process_that_was_started_makes_way_for_the_one_that_started_it(tmp_path):
    started = start_detached(["--version"], tmp_path / "log.txt")
    process = psutil.Process(started.pid)
    assert process.nice() == min(psutil.Process().nice() + 10, 19)
    process.wait(60)
    assert "glmedsa 0" in (tmp_path / "log.txt").read_text()


def test_the_heart_beats_while_a_step_takes_long(tmp_path):
    path = tmp_path / "status.json"
    writer = StatusWriter(path, RunStatus(state="running"), seconds_between=0.01)
    first = read_json(path)["heartbeat"]
    while read_json(path)["heartbeat"] == first:
        pass
    writer.close(state="paused", message="Paused.")
    last = RunStatus.from_json(read_json(path))
    assert (last.state, last.pid, last.born) == ("paused", HERE.pid, HERE.born)
    assert last.memory_bytes > 1e6
    assert list(tmp_path.iterdir()) == [path]


def test_the_second_run_of_a_project_is_refused_by_name(project, registry):
    first, second = new_run(project, registry), new_run(project, registry)
    set_status(first, state="running", pid=HERE.pid, host=HERE.host, born=HERE.born)
    with pytest.raises(TrainingError, match=first.id):
        second.launch(registry)
    with pytest.raises(TrainingError, match="at work already"):
        first.launch(registry)
    with (
        only_run(project.runs_folder, first.id),
        pytest.raises(TrainingError, match=first.id),
    ):
        second.execute(registry)
    assert second.status().state == "queued"


def test_a_damaged_run_of_the_past_does_not_keep_others_from_starting(
    project, registry, monkeypatch
):
    monkeypatch.setattr(run_module, "start_detached", lambda *_: HERE)
    old, new = new_run(project, registry), new_run(project, registry)
    old.status_path.write_text("nonsense")
    assert new.launch(registry) == HERE.pid
    assert new.status().is_at_work


def test_a_run_that_is_over_is_not_started_again(project, registry):
    run = new_run(project, registry)
    run.cancel()
    assert run.status().state == "cancelled"
    with pytest.raises(TrainingError, match="is cancelled"):
        run.launch(registry)
    set_status(run, state="finished")
    run.cancel()
    assert run.status().state == "finished"


def test_the_lock_of_a_run_that_ended_holds_nobody_up(project):
    with pytest.raises(KeyError), only_run(project.runs_folder, "first"):
        raise KeyError
    with only_run(project.runs_folder, "second"):
        assert read_json(project.runs_folder / "active.json")["run"] == "second"


def test_a_request_reaches_the_process_at_work(project, registry):
    run = new_run(project, registry)
    set_status(run, state="running", pid=HERE.pid, host=HERE.host, born=HERE.born)
    assert run.request() is None
    run.pause()
    assert run.request() == "pause"
    run.cancel()
    assert run.request() == "cancel"
    run.clear_requests()
    assert run.request() is None


def test_events_are_read_as_they_were_written_but_for_a_half_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    events = [
        EpochEvent(0, 1, 0.5, 0.4, True),
        StepEvent(1, 1, 0.25, ("a", "b"), 1.5),
        NoticeEvent("Memory ran out."),
    ]
    for event in events:
        append_event(path, event)
    with path.open("a") as stream:
        stream.write('{"kind": "st')
    assert read_events(path) == events
    assert read_events(path, 2) == events[2:]
    assert read_events(path, 9) == []
    assert json.loads(path.read_text().splitlines()[1])["timing"]["seconds"] == 1.5
    cut_events(path, 2)
    append_event(path, events[2])
    assert read_events(path) == events
    with pytest.raises(TrainingError, match="shorter"):
        cut_events(path, 4)
    path.write_text("nonsense\n")
    with pytest.raises(TrainingError, match="damaged"):
        read_events(path)


def test_a_damaged_status_or_comparison_is_one_sentence(project, registry):
    run = new_run(project, registry)
    run.gate_path.write_text("{}")
    with pytest.raises(TrainingError, match="comparison"):
        run.gate()
    for text in ("{", '{"state": "dancing"}', "[]"):
        run.status_path.write_text(text)
        with pytest.raises(TrainingError, match="status of the run"):
            run.status()
