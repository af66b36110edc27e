"""Teach a network masks, with the recipes and draws that adapters have."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from napari_glmedsa.baselines.segmenter import network_input
from napari_glmedsa.errors import TrainingError
from napari_glmedsa.inference.device import resolve_device
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.dataset import SegmentationDataset
from napari_glmedsa.training.draws import shuffled
from napari_glmedsa.training.losses import mask_loss
from napari_glmedsa.training.parameters import make_optimizer, set_learning_rates

OnStep = Callable[[int, int], None]
"""Called with the steps done and all there are."""


class NetworkTrainer:
    """Trains a network for every epoch of a configuration; there is no early stop.

    Parameters
    ----------
    network
        Gives logits (N, C, S, S); a second channel is taught the boundary.
    config
        Loss, optimiser, schedule, rate, batch, epochs, augmentation and seed.
    size
        S.
    device
        Where to compute; the network is moved there.

    Attributes
    ----------
    epoch
        Epochs finished.

    Raises
    ------
    DeviceError
        If this computer has no such device.
    """

    def __init__(
        self,
        network: nn.Module,
        config: TrainingConfig,
        *,
        size: int,
        device: str = "auto",
    ) -> None:
        self.device = resolve_device(device)
        self.network, self.config, self.size = network.to(self.device), config, size
        self.loss = mask_loss(config.loss)
        self.optimizer = make_optimizer(dict(network.named_parameters()), config)
        self.epoch = 0

    @property
    def finished(self) -> bool:
        """Whether all epochs are over."""
        return self.epoch >= self.config.epochs

    def train_epoch(
        self, train: SegmentationDataset, *, on_step: OnStep | None = None
    ) -> float:
        """Show every image once; return the mean loss.

        Raises
        ------
        TrainingError
            If an image cannot be read, or the loss is no number.
        """
        config, losses = self.config, []
        order = shuffled(train.ids, seed=config.seed, epoch=self.epoch + 1)
        size = config.images_per_step
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        n_steps = len(batches) * config.epochs
        self.network.train()
        for index, names in enumerate(batches):
            step = self.epoch * len(batches) + index
            set_learning_rates(self.optimizer, config, step, n_steps)
            losses.append(self._step(train, names))
            if on_step is not None:
                on_step(step + 1, n_steps)
        self.epoch += 1
        return float(np.mean(losses))

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to go on with the next epoch."""
        return {
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to where `state_dict` was taken."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = int(state["epoch"])

    def _step(self, train: SegmentationDataset, names: list[str]) -> float:
        inputs, masks = self._batch(train, names)
        logits = self.network(inputs)
        losses = self.loss(logits[:, :1], masks)
        if logits.shape[1] > 1:
            losses = losses + self.loss(logits[:, 1:2], boundary(masks))
        loss = losses.mean()
        if not torch.isfinite(loss):
            raise TrainingError(
                f"The loss is not a number any more (images {', '.join(names)}); lower "
                "the learning rate."
            )
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        longest = self.config.max_gradient_norm
        if longest is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), longest)
        self.optimizer.step()
        return float(loss.detach())

    def _batch(
        self, train: SegmentationDataset, names: list[str]
    ) -> tuple[Tensor, Tensor]:
        inputs, masks = [], []
        for name in names:
            sample = train.sample(
                name,
                size=self.size,
                seed=self.config.seed,
                epoch=self.epoch + 1,
                augmentation=self.config.augmentation,
            )
            inputs.append(network_input(sample.image, self.size))
            masks.append(_padded(sample.mask, self.size))
        # Batch normalisation cannot learn from a single image.
        while len(inputs) < 2:
            inputs.append(inputs[0])
            masks.append(masks[0])
        return torch.stack(inputs).to(self.device), torch.stack(masks).to(self.device)


def boundary(masks: Tensor) -> Tensor:
    """Return where masks (N, 1, H, W) of 0 and 1 end: a seam five pixels wide."""
    grown = functional.max_pool2d(masks, 5, 1, 2)
    shrunk = -functional.max_pool2d(-masks, 5, 1, 2)
    return grown - shrunk


def _padded(mask: NDArray[np.bool_], size: int) -> Tensor:
    padded = torch.zeros(1, size, size)
    padded[0, : mask.shape[0], : mask.shape[1]] = torch.from_numpy(mask)
    return padded
