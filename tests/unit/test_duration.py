from dataclasses import replace

import pytest
import torch
from tiny import TINY

from napari_glmedsa.training import duration
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.duration import estimate_seconds

CONFIG = TrainingConfig(epochs=2, n_points=1)
COUNTS = {"train": 10, "val": 2, "test": 5}
CPU = torch.device("cpu")


def estimate(config=CONFIG, counts=COUNTS) -> float:
    return estimate_seconds(TINY, config, counts, device=CPU)


@pytest.fixture
def _steady(monkeypatch):
    """Encoding takes a second and a click none, on every computer."""
    monkeypatch.setattr(duration, "_forward_seconds", lambda *_: (1.0, 0.0))


@pytest.mark.usefixtures("_steady")
def test_learning_validating_and_comparing_are_counted():
    learnt, judged, compared = 2 * 10 * 2.3, 2 * 2 + 2, 5 * 2
    assert estimate() == pytest.approx(learnt + judged + compared)


@pytest.mark.usefixtures("_steady")
def test_without_a_test_part_the_validation_images_are_compared():
    assert estimate(counts={"train": 10, "val": 2}) == pytest.approx(
        estimate() - 5 * 2 + 2 * 2
    )


@pytest.mark.usefixtures("_steady")
def test_the_whole_encoder_takes_longer_than_adapters():
    assert estimate(replace(CONFIG, trains="full")) > estimate()


@pytest.mark.usefixtures("_steady")
def test_computing_activations_again_takes_a_forward_pass_per_image_and_epoch():
    spared = estimate(replace(CONFIG, checkpointing="on"))
    assert spared == pytest.approx(estimate() + 2 * 10)


def test_the_computer_is_measured():
    assert estimate() > 0
