"""What a run's process does, here in the test's own: learn, judge, register, fail."""

import errno
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import BASE, TINY_CONFIG, curve, drawn_project, new_run, weights
from safetensors import SafetensorError
from tiny import TINY, randomise

from napari_glmedsa.activation import ActiveModel
from napari_glmedsa.adapters import GLMedSAConfig, read_card
from napari_glmedsa.adapters.checkpoint import has_decoder
from napari_glmedsa.errors import TrainingError
from napari_glmedsa.files import atomic_write, read_json, sha256_file, write_json
from napari_glmedsa.images import write_image
from napari_glmedsa.inference import build_sam
from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.registry import ModelRegistry, write_base
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.training.checkpoint import CHECKPOINT, write_checkpoint
from napari_glmedsa.training.execution import execute
from napari_glmedsa.training.run import TrainingRun
from napari_glmedsa.training.trainer import Trainer

LEARNS = replace(
    TINY_CONFIG,
    epochs=30,
    batch_size=4,
    n_points=1,
    mask_decoder=True,
    learning_rate=5e-3,
    decoder_learning_rate=5e-3,
)


@pytest.fixture
def project(tmp_path: Path) -> AnnotationProject:
    return drawn_project(tmp_path / "lesions")


@pytest.fixture(autouse=True)
def _few_threads():
    """Tests share the cores; the run itself takes the number in its plan."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stop_at(run: TrainingRun, number: int, ask: Callable[[], None]):
    """Return a receiver of events that asks for something at one of them."""

    def receive(_: object) -> None:
        if len(curve(run)) == number:
            ask()

    return receive


def fails(run: TrainingRun, registry: ModelRegistry, match: str, **options: object):
    """Let a run fail; the sentence is in the error, in the status and not a trace."""
    with pytest.raises(TrainingError, match=match) as caught:
        execute(run, registry, **options)
    status = run.status()
    assert status.state == "failed"
    assert status.message == str(caught.value)
    assert "\n" not in status.message
    assert "Traceback" in run.log_path.read_text()
    return status


def test_a_run_leaves_an_adapter_with_its_origin_in_the_registry(project, registry):
    run = new_run(project, registry)
    spec = run.execute(registry)
    status = run.status()
    assert (status.state, status.model) == ("finished", str(spec))
    assert (status.step, status.n_steps, status.epoch) == (4, 4, 2)
    assert status.best_dice == max(e.val_dice for e in run.events() if e.kind[0] == "e")
    assert [e["kind"] for e in curve(run)] == [
        *("epoch", "step", "step", "epoch", "step", "step", "epoch")
    ]
    card = read_card(registry.adapter_path(spec.adapter))
    assert card.name.startswith("drawn_lesions-20")
    assert card.name.endswith("-1")
    assert card.base_sha256 == registry.bases()[0].sha256
    assert card.training["parent"] is None
    assert card.training["data"]["counts"] == {"train": 4, "val": 2, "test": 5}
    assert card.training["data"]["sha256"] == run.plan.data_sha256
    assert card.training["config"] == TINY_CONFIG.to_json()
    assert card.training["run"] == run.id
    assert card.metrics["gate"]["n"] == 5
    assert "BSD-3" in card.licence
    registry.load(spec, device=torch.device("cpu"))
    assert run.gate().after_model == "drawn_lesions"
    assert [item.id for item in run.gallery()] == list(run.plan.images["val"])
    assert run.gallery()[0].image.shape == (48, 64, 3)
    truth = project.mask(run.gallery()[0].id)
    assert np.array_equal(run.gallery()[0].truth, truth)


def test_a_second_and_a_third_run_get_names_of_their_own(project, registry):
    names = [
        new_run(project, registry, name="Ärzte & Co/").execute(registry).adapter
        for _ in range(3)
    ]
    assert [name.rpartition("-")[2] for name in names] == ["1", "2", "3"]
    assert all(name.startswith("rzte_co-") for name in names)


def test_an_adapter_trained_further_hands_down_its_licence_and_decoder(
    project, registry
):
    config = replace(TINY_CONFIG, mask_decoder=True, epochs=1)
    parent = new_run(project, registry, config=config).execute(registry)
    path = registry.adapter_path(parent.adapter)
    assert has_decoder(path)
    config = replace(TINY_CONFIG, epochs=1)
    child = new_run(project, registry, config=config, start=parent).execute(registry)
    card = read_card(registry.adapter_path(child.adapter))
    assert card.training["parent"] == {
        "name": parent.adapter,
        "sha256": sha256_file(path),
    }
    assert read_card(path).licence in card.licence
    assert has_decoder(registry.adapter_path(child.adapter))


def test_a_full_training_makes_a_base_of_its_own(project, registry):
    config = replace(TINY_CONFIG, trains="full", epochs=1)
    spec = new_run(project, registry, config=config).execute(registry)
    assert spec.adapter is None
    card = next(card for card in registry.bases() if card.name == spec.base)
    assert card.facts["training"]["base"]["name"] == "sam_tiny"
    registry.load(spec, device=torch.device("cpu"))


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6, 7])
def test_a_pause_at_any_event_changes_neither_curve_nor_adapter(
    project, registry, number
):
    whole, paused = new_run(project, registry), new_run(project, registry)
    whole.execute(registry)
    ask = stop_at(paused, number, paused.pause)
    assert paused.execute(registry, on_event=ask) is None
    status = paused.status()
    assert (status.state, status.can_resume) == ("paused", True)
    assert len(curve(paused)) == number
    paused.clear_requests()
    paused.execute(registry)
    assert curve(paused) == curve(whole)
    assert weights(paused.adapter_path) == weights(whole.adapter_path)
    assert paused.gate().images == whole.gate().images


def test_a_cancelled_run_keeps_its_adapter_and_registers_nothing(project, registry):
    run = new_run(project, registry)
    before = len(registry.adapters())
    assert run.execute(registry, on_event=stop_at(run, 2, run.cancel)) is None
    assert run.status().state == "cancelled"
    assert read_card(run.adapter_path).base_model == "sam_tiny"
    assert len(registry.adapters()) == before


def test_a_run_killed_after_registering_does_not_register_twice(
    project, registry, monkeypatch
):
    run = new_run(project, registry)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ActiveModel, "current", killed)
        with pytest.raises(KeyboardInterrupt):
            run.execute(registry)
    assert run.status().state == "paused"
    names = [card.name for card in registry.adapters()]
    assert run.execute(registry).adapter in names
    assert [card.name for card in registry.adapters()] == names


def test_a_run_that_learns_is_put_into_use_and_a_harmful_one_is_not(tmp_path, registry):
    active = ActiveModel(registry)
    active.activate(BASE)
    project = drawn_project(tmp_path / "right", train=8, val=2, test=6)
    good = new_run(project, registry, config=LEARNS).execute(registry)
    run = TrainingRun.runs(project)[0]
    assert run.gate().verdict == "better"
    assert active.current() == good
    assert "is now in use" in run.status().message

    # Now with the masks of train and val moved to where no lesion is.
    for name, split in project.splits().items():
        if split != "test":
            wrong = np.roll(project.mask(name), (24, 32), axis=(0, 1))
            project.save_annotation(name, wrong, [Provenance()])
    harmful = new_run(
        project,
        registry,
        config=replace(LEARNS, seed=1),
        start=good,
        compare_with=None,
    )
    bad = harmful.execute(registry)
    assert harmful.gate().before_model == str(good)
    assert (harmful.gate().verdict, harmful.gate().activate) == ("worse", False)
    assert active.current() == good
    assert f"{good} stays in use" in harmful.status().message
    assert bad in registry.specs()
    assert active.roll_back() == BASE


def test_a_better_model_stays_out_of_use_if_it_is_told_to(project, registry):
    ActiveModel(registry).activate(BASE)
    run = new_run(project, registry, activation="never")
    run.execute(registry)
    assert run.gate().activate
    assert ActiveModel(registry).current() == BASE


def test_a_model_in_use_that_was_not_compared_with_stays_in_use(project, registry):
    run = new_run(project, registry)
    run.execute(registry)
    assert run.gate().activate
    assert "was not compared with" in run.status().message
    assert ActiveModel(registry).current().base == "sam_vit_mini"


def test_few_held_out_images_never_activate(tmp_path, registry):
    ActiveModel(registry).activate(BASE)
    project = drawn_project(tmp_path / "few", train=2, val=1, test=0)
    run = new_run(project, registry)
    run.execute(registry)
    assert run.gate().verdict == "too_few"
    assert run.gate().split == "val"
    assert ActiveModel(registry).current() == BASE


def test_what_a_killed_process_was_writing_is_cleared_away(project, registry):
    run = new_run(project, registry)
    with pytest.raises(KeyError), atomic_write(run.folder / CHECKPOINT) as unfinished:
        raise KeyError
    unfinished.write_bytes(b"half")
    foreign = run.folder / ".thumbnails"  # of a file manager
    foreign.mkdir()
    run.execute(registry)
    assert list(run.folder.glob(".*")) == [foreign]


def test_a_project_of_a_newer_version_fails_the_run_with_one_sentence(
    project, registry
):
    run = new_run(project, registry)
    path = project.root / "project.json"
    document = read_json(path)
    write_json(path, {**document, "schema_version": 99})
    assert fails(run, registry, "update napari-glmedsa").can_resume
    write_json(path, document)
    assert run.execute(registry) is not None


def test_a_full_disk_fails_the_run_and_keeps_the_last_checkpoint(project, registry):
    whole = new_run(project, registry)
    whole.execute(registry)
    run = new_run(project, registry)
    written = 0

    def writer(path: Path, state: object) -> None:
        nonlocal written
        written += 1
        if written > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_checkpoint(path, state)

    status = fails(run, registry, "disk .* is full", checkpoint_writer=writer)
    assert status.can_resume
    run.execute(registry)
    assert curve(run) == curve(whole)
    assert weights(run.adapter_path) == weights(whole.adapter_path)


def test_a_checkpoint_that_would_not_fit_is_not_begun(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(tmp_path / CHECKPOINT, {"weights": {"a": torch.zeros(9)}})
    assert list(tmp_path.iterdir()) == []


def test_a_disk_full_of_something_else_is_told_the_same_way(
    project, registry, monkeypatch
):
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    fails(new_run(project, registry), registry, "disk .* is full")


def test_a_run_that_cannot_say_that_it_runs_does_not_begin(
    project, registry, monkeypatch
):
    run = new_run(project, registry)

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "status.json")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(TrainingError, match="Read-only file system"):
        run.execute(registry)


def test_an_image_that_vanishes_is_named_and_may_come_back(project, registry):
    whole = new_run(project, registry)
    whole.execute(registry)
    run = new_run(project, registry)
    name = run.plan.images["train"][0]
    path = project.root / "images" / f"{name}.png"
    content = path.read_bytes()
    path.unlink()
    assert fails(run, registry, name).can_resume
    path.write_bytes(b"damaged")
    fails(run, registry, name)
    path.write_bytes(content)
    run.execute(registry)
    assert curve(run) == curve(whole)


def test_a_project_that_is_moved_away_during_a_run_is_one_sentence_and_goes_on_there(
    project, registry
):
    whole = new_run(project, registry)
    whole.execute(registry)
    run, away = new_run(project, registry), project.root.with_name("away")
    move = stop_at(run, 4, lambda: project.root.rename(away))
    with pytest.raises(TrainingError, match="cannot be read or written"):
        run.execute(registry, on_event=move)
    moved = TrainingRun.open(away / "runs" / run.id)
    write_json(moved.status_path, replace(moved.status(), born="long ago").to_json())
    assert moved.status().state == "lost"  # its process is gone
    moved.execute(registry)
    assert curve(moved) == curve(TrainingRun.open(away / "runs" / whole.id))


def test_a_mask_of_another_size_than_its_image_is_named(project, registry):
    run = new_run(project, registry)
    name = run.plan.images["train"][1]
    write_image(project.root / "images" / f"{name}.png", draw_lesion(0, (32, 32)).image)
    fails(run, registry, name)


def test_a_loss_that_is_no_number_names_step_and_image(project, registry, monkeypatch):
    run = new_run(project, registry)
    losses = Trainer._losses

    def broken(trainer: Trainer, *arguments: object) -> torch.Tensor:
        found = losses(trainer, *arguments)
        return found * float("nan") if trainer.step == 2 else found

    monkeypatch.setattr(Trainer, "_losses", broken)
    status = fails(run, registry, r"not a number any more \(step 3, image [0-9a-f]")
    assert status.can_resume
    assert read_card(run.adapter_path).base_model == "sam_tiny"


def test_a_base_that_was_exchanged_is_refused(project, registry):
    run = new_run(project, registry)
    other = randomise(build_sam(TINY), seed=7)
    write_base(registry.root / "base" / "sam_tiny", other.state_dict())
    fails(run, registry, "not the one that this run began with")


@pytest.mark.parametrize("trains", ["adapters", "full"])
def test_more_blocks_than_the_base_has_is_one_sentence(project, registry, trains):
    shape = GLMedSAConfig(blocks="last:99")
    config = replace(TINY_CONFIG, adapter=shape, trains=trains)
    fails(new_run(project, registry, config=config), registry, "has 3 blocks only")


def test_one_image_alone_is_one_sentence(tmp_path, registry):
    project = drawn_project(tmp_path / "one", train=1, val=0, test=0)
    fails(new_run(project, registry), registry, "validate")


def test_a_mistake_of_the_program_is_told_as_such(project, registry, monkeypatch):
    monkeypatch.setattr(Trainer, "_validate", lambda *_: {}["nothing"])
    fails(new_run(project, registry), registry, "mistake of the program .KeyError")


def test_a_checkpoint_that_is_damaged_is_one_sentence(project, registry):
    run = new_run(project, registry)
    (run.folder / CHECKPOINT).write_bytes(b"nonsense")
    fails(run, registry, "checkpoint of the run .* is damaged")


def test_masks_corrected_meanwhile_are_noted_in_the_origin(project, registry):
    run = new_run(project, registry)
    run.execute(registry, on_event=stop_at(run, 2, run.pause))
    name = run.plan.images["train"][0]
    project.save_annotation(name, project.mask(name)[:, ::-1], [Provenance()])
    run.clear_requests()
    spec = run.execute(registry)
    card = read_card(registry.adapter_path(spec.adapter))
    assert card.training["data"]["changed_meanwhile"] == ["train"]


@pytest.fixture
def own_input(registry):
    """The tiny base, whose card says that it was shown images as MedSAM was."""
    path = registry.root / "base" / "sam_tiny" / "card.json"
    write_json(path, {**read_json(path), "input": ["minmax_input", "bicubic_resize"]})
    return registry


def test_fresh_adapters_see_images_as_their_base_did(project, own_input):
    spec = new_run(project, own_input).execute(own_input)
    compat = read_card(own_input.adapter_path(spec.adapter)).config.compat
    assert compat.minmax_input
    assert compat.bicubic_resize


def test_a_full_training_keeps_how_its_base_sees_images(project, own_input):
    config = replace(TINY_CONFIG, trains="full", epochs=1)
    run = new_run(project, own_input, config=config)
    spec = run.execute(own_input)
    (card,) = [card for card in own_input.bases() if card.name == spec.base]
    assert card.facts["input"] == ["minmax_input", "bicubic_resize"]


def test_an_input_that_the_base_cannot_have_is_refused(project, own_input):
    compat = replace(TINY_CONFIG.adapter.compat, unit_range_input=True)
    adapter = replace(TINY_CONFIG.adapter, compat=compat)
    with pytest.raises(TrainingError, match="exclude each other"):
        new_run(project, own_input, config=replace(TINY_CONFIG, adapter=adapter))
