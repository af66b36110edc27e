"""`glmedsa train` in this process: options, progress, pause, resume, sentences."""

import json
import signal
from pathlib import Path

import pytest
import torch
from command import Outcome, glmedsa, is_one_sentence
from fake_run import start_run
from runs import curve, drawn_project, new_run, weights

from napari_glmedsa.activation import ActiveModel
from napari_glmedsa.adapters import Compat
from napari_glmedsa.cli.settings import configure
from napari_glmedsa.cli.train import NOT_FINISHED, starting_model
from napari_glmedsa.errors import TrainingError
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.training.presets import PRESETS
from napari_glmedsa.training.processes import Processes
from napari_glmedsa.training.run import TrainingRun
from napari_glmedsa.training.trainer import Trainer

TINY = ("--start", "sam_tiny", "--compare-with", "sam_tiny", "--device", "cpu")
SMALL = ("--preset", "quick", "--epochs", 2, "--set", "precision=fp32")


@pytest.fixture
def project(tmp_path: Path) -> AnnotationProject:
    return drawn_project(tmp_path / "lesions")


@pytest.fixture
def train(project, registry: ModelRegistry, monkeypatch, capsys):
    """Runs train with the tiny registry as the user's, on one thread."""
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(registry.root))
    monkeypatch.setattr("napari_glmedsa.training.plan.cpu_cores", lambda: 1)
    threads = torch.get_num_threads()

    def run(*arguments: object) -> Outcome:
        return glmedsa(capsys, "train", *arguments)

    yield run
    torch.set_num_threads(threads)


def test_a_run_shows_its_progress_and_the_comparison(train, project, registry):
    ActiveModel(registry).activate(ModelSpec("sam_tiny"))
    outcome = train(project.root, *TINY, *SMALL, "--name", "moles", "--seed", 3)
    assert outcome.code == 0
    run = TrainingRun.runs(project)[0]
    assert run.folder.name in outcome.err
    assert "Epoch 2 of 2: validation Dice" in outcome.err
    assert "Held out: 5 images (test)" in outcome.out
    for number in (*run.gate().before["iou"], *run.gate().after["dice"]):
        assert f"{number:.3f}" in outcome.out
    assert run.status().message in outcome.out
    assert run.plan.config == configure("quick", ["precision=fp32"], epochs=2, seed=3)
    assert ActiveModel(registry).current().adapter.startswith("moles-")
    assert "INFO" not in outcome.err
    assert "It takes about" in outcome.err
    assert "Comparing with the old model" in run.log_path.read_text()


def test_however_it_ends_the_command_leaves_the_other_processes(
    train, project, tmp_path, monkeypatch
):
    left = []
    monkeypatch.setattr(Processes, "close", lambda _: left.append(True))
    assert train(tmp_path / "nowhere").code == 2
    assert len(left) == 1
    assert train(project.root, *TINY, *SMALL, "--epochs", 1).code == 0
    assert len(left) == 2


def test_a_run_that_must_not_activate_does_not(train, project, registry):
    ActiveModel(registry).activate(ModelSpec("sam_tiny"))
    assert train(project.root, *TINY, *SMALL, "--no-activate").code == 0
    assert ActiveModel(registry).current() == ModelSpec("sam_tiny")


def test_ctrl_c_pauses_and_the_sentence_resumes(train, project, monkeypatch):
    assert train(project.root, *TINY, *SMALL).code == 0
    whole = TrainingRun.runs(project)[0]
    whole.folder.rename(whole.folder.parent / "19990101T000000Z-whole")
    whole = TrainingRun(whole.folder.parent / "19990101T000000Z-whole")
    steps = Trainer._step

    def interrupted(trainer: Trainer, *arguments: object):
        if trainer.step == 1:
            signal.raise_signal(signal.SIGINT)
        yield from steps(trainer, *arguments)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted)
        outcome = train(project.root, *TINY, *SMALL)
    assert outcome.code == NOT_FINISHED
    assert signal.getsignal(signal.SIGINT) == before
    run = TrainingRun.runs(project)[0]
    assert f"glmedsa train --resume {run.folder}" in outcome.err
    assert run.status().state == "paused"
    assert curve(run)[-1]["step"] == 2
    assert train(project.root, "--resume", run.id).code == 0
    assert curve(run) == curve(whole)
    assert weights(run.adapter_path) == weights(whole.adapter_path)
    again = train("--resume", run.folder)
    assert (again.code, is_one_sentence(again.err)) == (2, True)


def test_ctrl_c_twice_stops_at_once(train, project, monkeypatch):
    def interrupted(*_: object):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        yield

    monkeypatch.setattr(Trainer, "_step", interrupted)
    assert train(project.root, *TINY, *SMALL).code == 130
    assert TrainingRun.runs(project)[0].status().state == "paused"


def test_mistakes_are_one_sentence(train, project, tmp_path):
    for arguments in (
        ("--preset", "quick"),
        (tmp_path / "nowhere",),
        (project.root, "--preset", "best"),
        (project.root, "--set", "learning_rates=1"),
        (project.root, "--set", "learning_rate=fast"),
        (project.root, "--set", "adapter.sites=nose"),
        (project.root, "--set", "epochs"),
        (project.root, "--start", "sam_huge"),
        (project.root, "--start", "sam_vit_mini+tiny_adapter"),
        (project.root, "--compare-with", "+"),
        (project.root, "--device", "abacus"),
        (project.root, "--resume", "yesterday"),
    ):
        outcome = train(*arguments)
        assert (outcome.code, outcome.out) == (2, ""), arguments
        assert is_one_sentence(outcome.err), outcome.err
    assert TrainingRun.runs(project) == []


def test_a_second_run_at_once_is_refused_and_leaves_no_folder(train, project, registry):
    first = start_run(project, registry, ModelSpec("sam_tiny"))  # as if it was at work
    outcome = train(project.root, *TINY, *SMALL)
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
    assert first.id in outcome.err
    assert [run.id for run in TrainingRun.runs(project)] == [first.id]


@pytest.mark.parametrize("more", [("--epochs", 3), ("--preset", "quick")], ids=str)
def test_a_resumed_run_keeps_its_settings_and_says_so(train, project, registry, more):
    run = new_run(project, registry)
    outcome = train("--resume", run.folder, *more)
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
    assert "settings that the run began with" in outcome.err
    assert run.status().state == "queued"


def test_a_run_that_cannot_be_estimated_does_not_wait_for_ever(train, project):
    done = train(project.root, "--set", "adapter.blocks=last:99", "--start", "sam_tiny")
    assert done.code == 2
    assert "blocks only" in done.err
    (run,) = TrainingRun.runs(project)
    assert run.status().state == "cancelled"


def test_a_failed_run_is_one_sentence_and_its_traceback_is_in_the_log(train, project):
    name = project.annotated("train")[0]
    (project.root / "images" / f"{name}.png").write_bytes(b"")
    outcome = train(project.root, *TINY, *SMALL)
    assert outcome.code == 2
    assert name in outcome.err.splitlines()[-1]
    assert "Traceback" not in outcome.err
    assert "Traceback" in TrainingRun.runs(project)[0].log_path.read_text()


def test_settings_change_one_field_each():
    config = configure(
        "paper",
        [
            "learning_rate=0.01",
            "adapter.sites=attn,mlp",
            "adapter.blocks=last:2",
            "mask_decoder=true",
            "patience=none",
        ],
        epochs=7,
        seed=5,
    )
    paper = PRESETS["paper"].config.to_json()
    assert config.to_json() == {
        **paper,
        "learning_rate": 0.01,
        "mask_decoder": True,
        "patience": None,
        "epochs": 7,
        "seed": 5,
        "adapter": {**paper["adapter"], "sites": ["attn", "mlp"], "blocks": "last:2"},
    }
    assert json.dumps(config.to_json())
    with pytest.raises(TrainingError, match="standard, quick"):
        configure("best", [])


def test_settings_reach_the_switches_within_the_adapter():
    config = configure("paper", ["adapter.compat.drop_rel_pos=true", "epochs=2"])
    assert config.adapter.compat == Compat(drop_rel_pos=True)
    with pytest.raises(TrainingError, match=r"compat.swap_xy must be true or false"):
        configure("paper", ["adapter.compat.swap_xy=perhaps"])


@pytest.mark.parametrize(
    "odd",
    [
        "adapter.compat.no_such=true",
        "adapter.compat.swap_xy.more=true",
        "adapter.compat=true",
        "adapter=1",
        "adapter.compat.swap_xy",
        ".=1",
        "=1",
    ],
)
def test_a_setting_that_is_none_is_one_sentence(odd):
    with pytest.raises(TrainingError, match="not KEY=VALUE with a known key"):
        configure("paper", [odd])


def test_without_a_start_the_active_adapter_is_trained_further(registry):
    spec = ModelSpec("sam_tiny", "tiny_adapter")
    ActiveModel(registry).activate(spec)
    for settings, start in (
        ([], spec),
        (["adapter.bottleneck_ratio=0.25"], spec),
        (["adapter.bottleneck_ratio=0.5"], ModelSpec("sam_tiny")),
        (["adapter.sites=attn,mlp"], ModelSpec("sam_tiny")),
        (["trains=full"], ModelSpec("sam_tiny")),
    ):
        assert starting_model(registry, configure("quick", settings)) == start


def test_a_run_that_somebody_cancels_ends_without_a_model(train, project, monkeypatch):
    steps = Trainer._step

    def cancelled(trainer: Trainer, *arguments: object):
        TrainingRun.runs(project)[0].cancel()
        yield from steps(trainer, *arguments)

    monkeypatch.setattr(Trainer, "_step", cancelled)
    outcome = train(project.root, *TINY, *SMALL)
    assert outcome.code == NOT_FINISHED
    assert "unregistered" in outcome.err
    assert "--resume" not in outcome.err
