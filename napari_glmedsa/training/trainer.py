"""The training loop: encode, click, decode, loss, backward, step, and tell about it."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from functools import partial
from typing import Any, NoReturn

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from napari_glmedsa.errors import TrainingError
from napari_glmedsa.inference.attention import fuse_attention
from napari_glmedsa.inference.device import resolve_device, resolve_precision
from napari_glmedsa.inference.predictor import Predictor
from napari_glmedsa.training.batch import load_batch
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.dataset import SegmentationDataset, check_parts
from napari_glmedsa.training.draws import generator, shuffled
from napari_glmedsa.training.economy import Economy, out_of_memory
from napari_glmedsa.training.events import (
    EpochEvent,
    NoticeEvent,
    StepEvent,
    TrainingEvent,
)
from napari_glmedsa.training.losses import mask_loss
from napari_glmedsa.training.memory import checkpoint_blocks
from napari_glmedsa.training.parameters import (
    copy_weights,
    make_optimizer,
    select_parameters,
    set_learning_rates,
)
from napari_glmedsa.training.precision import autocast
from napari_glmedsa.training.processes import Processes
from napari_glmedsa.training.prompting import click_losses, draw_plan
from napari_glmedsa.training.validation import validate

_COUNTERS = ("epoch", "position", "step", "n_events", "best_epoch", "best_dice")
_ECONOMY = ("micro_batch", "checkpointing")


class Trainer:
    """Fine-tunes one SAM in place, and keeps the weights that validated best.

    Parameters
    ----------
    sam
        The base, or the base with the adapters to go on with.
    config
        What to train and how.
    device
        ``"auto"`` or a name; under ``accelerate launch`` every process has its own.

    Attributes
    ----------
    trained
        The parameters that change, by SAM's own names.
    epoch, position, step, n_events
        Epochs finished, steps in the one that runs, steps and events in all.
    economy
        How memory is saved by now.
    best_epoch, best_dice
        Of the weights that `best` brings back; epoch 0 is before training.
    """

    def __init__(
        self, sam: Sam, config: TrainingConfig, *, device: str = "auto"
    ) -> None:
        self.config = config
        self.processes = Processes()
        alone = self.processes.count == 1
        self.device = resolve_device(device) if alone else self.processes.device
        # ``auto`` measures: each process for itself might find something else
        found = resolve_precision(config.precision, self.device)
        self.precision = self.processes.tell(found)
        self.trained = select_parameters(sam, config)
        self.sam = sam.to(self.device).eval()  # SAM has no dropout to switch on
        fuse_attention(self.sam.image_encoder)
        self.optimizer = make_optimizer(self.trained, config)
        scales = self.precision == "fp16"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=scales)
        self.loss = mask_loss(config.loss)
        self.epoch = self.position = self.step = self.n_events = 0
        self.economy = Economy(config)
        self.best_epoch: int | None = None
        self.best_dice = 0.0
        self._best: dict[str, Tensor] = {}
        self._images = ""

    def fit(
        self,
        train: SegmentationDataset,
        val: SegmentationDataset,
        *,
        state: Mapping[str, Any] | None = None,
        checkpoint: Callable[[dict[str, Any]], None] | None = None,
    ) -> Iterator[TrainingEvent]:
        """Validate, then train and validate epoch by epoch.

        At every event `state_dict` is complete: whoever goes on from there gets the
        same events and, bit by bit on one CPU, the same weights.

        Parameters
        ----------
        train, val
            What to learn from and what to judge by.
        state
            Go on from here.
        checkpoint
            Called with `state_dict` when the receiver of an event is done with it.

        Raises
        ------
        TrainingError
            If there is nothing to learn from, not memory for one image, or the loss
            is no number; `best` still works then.
        """
        if state is not None:
            self.load_state_dict(state)
        self._check(train, val)
        for event in self._events(train, val):
            self.n_events += 1
            yield event
            if checkpoint is not None:
                checkpoint(self.state_dict())

    def _events(
        self, train: SegmentationDataset, val: SegmentationDataset
    ) -> Iterator[TrainingEvent]:
        size, seed = self.config.images_per_step, self.config.seed
        if self.best_epoch is None:
            is_short = partial(self.economy.is_short, self.sam, device=self.device)
            if any(self.processes.together(is_short)):
                yield NoticeEvent(self.economy.look_ahead())
            yield self._validate(val)
        while not self.finished:
            order = shuffled(train.ids, seed=seed, epoch=self.epoch + 1)
            batches = [order[i : i + size] for i in range(0, len(order), size)]
            while self.position < len(batches):
                yield from self._step(train, batches[self.position], len(batches))
            self.epoch, self.position = self.epoch + 1, 0
            yield self._validate(val)

    def _step(
        self, train: SegmentationDataset, batch: Sequence[str], n_batches: int
    ) -> Iterator[TrainingEvent]:
        """Take one optimisation step, in smaller pieces if memory does not suffice."""
        started = time.perf_counter()
        n_steps = n_batches * self.config.epochs
        set_learning_rates(self.optimizer, self.config, self.step, n_steps)
        losses = torch.zeros(len(batch), device=self.device)
        compute = partial(self._gradients, train, batch, losses)
        while not all(self.processes.together(compute)):
            yield NoticeEvent(self.economy.tighten())
        gradients = (p.grad for p in self.trained.values() if p.grad is not None)
        self.processes.add_up([*gradients, losses])
        self._check_numbers(losses, batch)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self.position += 1
        loss, seconds = float(losses.mean()), time.perf_counter() - started
        yield StepEvent(self.step, self.epoch + 1, loss, tuple(batch), seconds)

    def _gradients(
        self, train: SegmentationDataset, batch: Sequence[str], losses: Tensor
    ) -> bool:
        """Add up this process's share of the gradient; False if memory ran out.

        The losses (len(batch),) of its images are filled in.
        """
        for parameter in self.trained.values():
            parameter.grad = torch.zeros_like(parameter)
        own = self.processes.share(range(len(batch)))
        try:
            for start in range(0, len(own), self.economy.micro_batch):
                rows = list(own[start : start + self.economy.micro_batch])
                each = self._losses(train, [batch[row] for row in rows])
                torch.autograd.backward(self.scaler.scale(each.sum() / len(batch)))
                losses[rows] = each.detach()
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            return False
        return True

    def _losses(self, train: SegmentationDataset, names: Sequence[str]) -> Tensor:
        """Encode once, click and decode often; return one loss per image."""
        sam, config, epoch = self.sam, self.config, self.epoch + 1
        inputs, masks = load_batch(sam, train, names, config=config, epoch=epoch)
        rngs = [generator(config.seed, epoch, name, "clicks") for name in names]
        return click_losses(
            sam,
            self._encode(inputs),
            masks,
            plans=[draw_plan(config, rng) for rng in rngs],
            rngs=rngs,
            loss=self.loss,
            iou_head=config.trains_decoder,
        )

    def _encode(self, inputs: Tensor) -> Tensor:
        encoder, spare = self.sam.image_encoder, self.economy.checkpointing
        remember = checkpoint_blocks(encoder) if spare else nullcontext()
        with autocast(self.precision, self.device), remember:
            embedding: Tensor = encoder(inputs)
        return embedding.float()

    def _check_numbers(self, losses: Tensor, batch: Sequence[str]) -> None:
        """Clip the gradient; refuse one that would spoil the weights."""
        for loss, name in zip(losses.tolist(), batch, strict=True):
            if not math.isfinite(loss):
                self._refuse("loss", f"image {name}")
        self.scaler.unscale_(self.optimizer)
        longest = self.config.max_gradient_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.trained.values(), longest)
        if not norm.isfinite() and not self.scaler.is_enabled():
            self._refuse("gradient", f"images {', '.join(batch)}")

    def _refuse(self, what: str, where: str) -> NoReturn:
        raise TrainingError(
            f"The {what} is not a number any more (step {self.step + 1}, {where}); the "
            "best weights are kept, so lower the learning rate or check these masks."
        )

    def _validate(self, val: SegmentationDataset) -> EpochEvent:
        """Judge the model; keep its weights if they are the best so far."""
        predictor = Predictor(self.sam, fingerprint="", precision=self.precision)
        config = self.config
        dice, iou = validate(predictor, val, config=config, processes=self.processes)
        better = self.best_epoch is None or dice > self.best_dice
        if better:
            self.best_epoch, self.best_dice = self.epoch, dice
            self._best = {n: p.detach().clone() for n, p in self.trained.items()}
        return EpochEvent(self.epoch, config.epochs, dice, iou, better)

    @property
    def finished(self) -> bool:
        """Whether all epochs are over, or patience is."""
        patience, best = self.config.patience, self.best_epoch or 0
        tired = patience is not None and self.epoch - best >= patience
        return self.epoch >= self.config.epochs or tired

    def best(self) -> None:
        """Put the weights that validated best, if any did, into the model."""
        if self._best:
            copy_weights(self.trained, self._best)

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs, live: the next step changes it."""
        return {
            **{name: getattr(self, name) for name in _COUNTERS},
            "config": self.config.to_json(),
            "precision": self.precision,
            **{name: getattr(self.economy, name) for name in _ECONOMY},
            "images": self._images,
            "weights": {name: p.detach() for name, p in self.trained.items()},
            "best": dict(self._best),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to where `state_dict` was taken.

        Raises
        ------
        TrainingError
            If it is the state of another model or configuration.
        """
        try:
            if state["config"] != self.config.to_json():
                raise ValueError("it has other settings")
            copy_weights(self.trained, state["weights"])
            self.optimizer.load_state_dict(deepcopy(state["optimizer"]))
            self.scaler.load_state_dict(state["scaler"])
            best = state["best"].items()
            self._best = {n: w.to(self.device, copy=True) for n, w in best}
            for name in _COUNTERS:
                setattr(self, name, state[name])
            for name in _ECONOMY:
                setattr(self.economy, name, state[name])
            self._images, self.precision = state["images"], state["precision"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TrainingError(
                f"The checkpoint belongs to another run ({error}); start a new one."
            ) from error

    def _check(self, train: SegmentationDataset, val: SegmentationDataset) -> None:
        check_parts(train, val)
        if self._images not in ("", train.digest):
            raise TrainingError(
                "The training images are not those the run began with; start a new run."
            )
        self._images = train.digest
