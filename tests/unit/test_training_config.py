"""Configurations refuse nonsense with one sentence and survive JSON, as events do."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from napari_glmedsa.adapters.config import GLMedSAConfig
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.events import (
    EpochEvent,
    NoticeEvent,
    StepEvent,
    event_from_json,
)
from napari_glmedsa.training.presets import DEFAULT_PRESET, PRESETS

NONSENSE = [
    ("trains", "everything"),
    ("policy", "corrective"),
    ("policy", ["iterative"]),
    ("loss", "hinge"),
    ("optimizer", "sgd"),
    ("schedule", None),
    ("augmentation", "wild"),
    ("precision", "fp8"),
    ("checkpointing", True),
    ("n_points", 0),
    ("n_points", True),
    ("epochs", 1.5),
    ("epochs", "ten"),
    ("batch_size", -2),
    ("accumulation", 0),
    ("learning_rate", 0),
    ("learning_rate", float("nan")),
    ("learning_rate", "1e-4"),
    ("decoder_learning_rate", float("inf")),
    ("weight_decay", -1e-3),
    ("max_gradient_norm", 0),
    ("patience", 0),
    ("seed", -1),
    ("mask_decoder", "yes"),
    ("adapter", {"sites": ["mlp"]}),
]


@pytest.mark.parametrize(("name", "value"), NONSENSE)
def test_a_value_without_meaning_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be .*not .*\\.$") as caught:
        TrainingConfig(**{name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("blocks", ["last", "last:0", "last:-1", "first:3", "", 4])
def test_blocks_are_all_or_the_last_few(blocks):
    with pytest.raises(ValueError, match="blocks must be all or last:k"):
        GLMedSAConfig(blocks=blocks)


def test_blocks_are_counted_from_the_end():
    assert list(GLMedSAConfig().block_indices(3)) == [0, 1, 2]
    assert list(GLMedSAConfig(blocks="last:2").block_indices(12)) == [10, 11]
    with pytest.raises(ValueError, match="last:3 at most"):
        GLMedSAConfig(blocks="last:4").block_indices(3)


def test_a_card_from_before_blocks_could_be_chosen_means_all_of_them():
    fields = GLMedSAConfig().to_json()
    del fields["blocks"]
    assert GLMedSAConfig.from_json(fields) == GLMedSAConfig()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json_and_explains_itself_in_one_sentence(name):
    preset = PRESETS[name]
    assert preset.name == name
    assert preset.sentence.endswith(".")
    plain = json.loads(json.dumps(preset.config.to_json()))
    assert TrainingConfig.from_json(plain) == preset.config


def test_the_paper_is_a_preset_and_the_default_another():
    paper = PRESETS["paper"].config
    assert (paper.optimizer, paper.schedule, paper.learning_rate) == (
        "adam",
        "constant",
        1e-4,
    )
    assert (paper.loss, paper.epochs, paper.augmentation) == ("bce", 35, "none")
    assert not paper.mask_decoder
    assert PRESETS["med-sa"].config.adapter.sites == ("attn", "mlp")
    assert PRESETS["gmed-sa"].config.adapter.sites == ("block",)
    assert PRESETS["full"].config.trains == "full"
    assert PRESETS["decoder"].config.trains_decoder
    assert DEFAULT_PRESET in PRESETS


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"colour": "red", "loss": "bce"}, "no field colour"),
        ({"adapter": "attn"}, "adapter must be a set of fields"),
        ({"adapter": {"sites": ["mlp"], "size": 3}}, "Not a GL-Med-SA configuration"),
        ({"epochs": None}, "epochs must be"),
    ],
)
def test_a_configuration_with_unknown_fields_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig.from_json(fields)


def test_what_a_file_leaves_out_takes_its_default():
    assert TrainingConfig.from_json({"seed": 4}) == replace(TrainingConfig(), seed=4)


def test_the_last_step_of_an_epoch_may_be_smaller():
    config = TrainingConfig(batch_size=2, accumulation=3)
    assert [config.steps_per_epoch(n) for n in (1, 6, 7, 100)] == [1, 1, 2, 17]


@pytest.mark.parametrize(
    "event",
    [
        StepEvent(3, 1, 0.5, ("a", "b"), 0.1),
        EpochEvent(1, 4, 0.8, 0.7, True),
        NoticeEvent("Memory ran out."),
    ],
)
def test_events_survive_a_line_of_json(event):
    assert event_from_json(json.loads(json.dumps(event.to_json()))) == event


@pytest.mark.parametrize(
    "fields", [{}, {"kind": "dance"}, {"kind": "step"}, {"kind": "epoch", "x": 1}]
)
def test_what_is_no_event_is_refused(fields):
    with pytest.raises(ValueError, match="Not a training event"):
        event_from_json(fields)


def test_a_window_can_read_configurations_and_events_without_torch():
    code = (
        "import sys; import napari_glmedsa.training.presets, "
        "napari_glmedsa.training.events; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
