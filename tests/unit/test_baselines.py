"""Automatic methods, in small: every network learns, and goes on where it was."""

import sys

import numpy as np
import pytest
import torch
from training import lesions, small

from napari_glmedsa.baselines.networks import NETWORKS, build_network
from napari_glmedsa.baselines.segmenter import (
    NetworkSegmenter,
    OtsuSegmenter,
    RandomWalkerSegmenter,
    network_input,
)
from napari_glmedsa.baselines.training import NetworkTrainer, boundary
from napari_glmedsa.errors import DeviceError, MissingPackageError, TrainingError
from napari_glmedsa.metrics import dice
from napari_glmedsa.samples import draw_lesion

SIZE = 64


class Tiny(torch.nn.Sequential):
    """A network that learns colours in no time."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__(
            torch.nn.Conv2d(3, 8, 3, padding=1),
            torch.nn.BatchNorm2d(8),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, channels, 3, padding=1),
        )


def tiny_trainer(channels: int = 1, **fields: object) -> NetworkTrainer:
    torch.manual_seed(0)
    config = small(**{"batch_size": 2, "learning_rate": 1e-2, **fields})
    return NetworkTrainer(Tiny(channels), config, size=SIZE)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_answers_with_a_logit_per_pixel(name):
    network = build_network(name, size=SIZE).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(1, 3, SIZE, SIZE))
    assert logits.shape[-2:] == (SIZE, SIZE)
    assert logits.shape[1] == (2 if name == "deeplabv3plus_boundary" else 1)


def test_the_same_seed_builds_the_same_network():
    first, second, other = (
        build_network("dynunet", size=SIZE, seed=seed) for seed in (1, 1, 2)
    )
    weights = [next(network.parameters()) for network in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_missing_package_is_named_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    monkeypatch.setattr("napari_glmedsa.extras.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"napari-glmedsa\[baselines\]"):
        build_network("unet_resnet34", size=SIZE)


def test_training_lowers_the_loss_and_finds_drawn_lesions():
    trainer, train = tiny_trainer(epochs=15), lesions(range(4))
    losses = [trainer.train_epoch(train) for _ in range(15)]
    assert trainer.finished
    assert losses[-1] < 0.7 * losses[0]
    lesion = draw_lesion(seed=20, size=(64, 80))
    found = NetworkSegmenter(trainer.network, size=SIZE).segment(lesion.image)
    assert found.shape == lesion.mask.shape
    assert dice(found, lesion.mask) > 0.8


def test_a_second_output_is_taught_the_boundary():
    trainer, train = tiny_trainer(channels=2, epochs=1), lesions(range(2))
    before = trainer.network[-1].weight[1].detach().clone()
    trainer.train_epoch(train)
    assert not torch.equal(before, trainer.network[-1].weight[1])


def test_a_boundary_is_a_seam_round_the_mask():
    mask = torch.zeros(1, 1, 20, 20)
    mask[..., 5:15, 5:15] = 1
    seam = boundary(mask)[0, 0]
    assert seam[5, 10] == 1
    assert seam[10, 10] == 0
    assert seam[0, 0] == 0


def test_a_stopped_training_goes_on_and_ends_the_same():
    train = lesions(range(4))
    whole = tiny_trainer(epochs=2)
    for _ in range(2):
        whole.train_epoch(train)
    first = tiny_trainer(epochs=2)
    first.train_epoch(train)
    second = tiny_trainer(epochs=2)
    second.load_state_dict(first.state_dict())
    second.train_epoch(train)
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, second.network.state_dict()[name]), name


def test_a_loss_that_is_no_number_ends_the_training_with_a_sentence():
    trainer = tiny_trainer(epochs=1)
    with torch.no_grad():
        trainer.network[-1].bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="not a number"):
        trainer.train_epoch(lesions(range(2)))


def test_the_input_is_normalised_then_padded():
    image = np.full((32, 48, 3), 255, np.uint8)
    tensor = network_input(image, SIZE)
    assert tensor.shape == (3, SIZE, SIZE)
    assert tensor[0, 0, 0] == pytest.approx((1 - 0.485) / 0.229, rel=1e-5)
    assert (tensor[:, 32:] == 0).all()
    assert (tensor[:, :, 48:] == 0).all()


def test_a_network_gets_its_images_where_it_is():
    class Elsewhere(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1, device="meta"))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.seen = images.device.type
            return torch.zeros(1, 1, SIZE, SIZE)

    network = Elsewhere()
    NetworkSegmenter(network, size=SIZE).segment(np.zeros((32, 48, 3), np.uint8))
    assert network.seen == "meta"


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(DeviceError, match="quantum"):
        NetworkTrainer(Tiny(), small(), size=SIZE, device="quantum")


@pytest.mark.parametrize("kind", [OtsuSegmenter, RandomWalkerSegmenter])
def test_the_classics_find_a_dark_lesion_on_light_skin(kind):
    lesion = draw_lesion(seed=0, size=(300, 400))
    assert dice(kind().segment(lesion.image), lesion.mask) > 0.8


@pytest.mark.parametrize("kind", [OtsuSegmenter, RandomWalkerSegmenter])
def test_the_classics_give_up_on_an_even_picture_without_an_error(kind):
    mask = kind().segment(np.full((40, 60, 3), 128, np.uint8))
    assert mask.shape == (40, 60)
