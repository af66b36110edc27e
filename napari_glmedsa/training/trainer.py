"""The training loop: encode, click, decode, loss, backward, step, and tell about it."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from typing import Any, NoReturn

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from segment_anything.modeling import Sam
from torch import Tensor

from napari_glmedsa.errors import GLMedSAError, TrainingError
from napari_glmedsa.evaluation import ImageScore, evaluate_clicks, summarise
from napari_glmedsa.inference.attention import fuse_attention
from napari_glmedsa.inference.device import resolve_device
from napari_glmedsa.inference.predictor import Precision, Predictor
from napari_glmedsa.training.config import TrainingConfig, TrainingPrecision
from napari_glmedsa.training.dataset import Sample, SegmentationDataset
from napari_glmedsa.training.draws import generator, shuffled
from napari_glmedsa.training.events import (
    EpochEvent,
    NoticeEvent,
    StepEvent,
    TrainingEvent,
)
from napari_glmedsa.training.losses import mask_loss
from napari_glmedsa.training.memory import checkpoint_blocks
from napari_glmedsa.training.parameters import (
    learning_rate_share,
    make_optimizer,
    select_parameters,
)
from napari_glmedsa.training.prompting import click_losses, draw_plan

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


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
    """

    def __init__(
        self, sam: Sam, config: TrainingConfig, *, device: str = "auto"
    ) -> None:
        self.config = config
        self.accelerator = Accelerator()
        alone = self.accelerator.num_processes == 1
        self.device = resolve_device(device) if alone else self.accelerator.device
        self.precision = resolve_precision(config.precision, self.device)
        self.parameters = select_parameters(sam, config)
        self.sam = sam.to(self.device).eval()  # SAM has no dropout to switch on
        fuse_attention(self.sam.image_encoder)
        self.optimizer = make_optimizer(self.parameters, config)
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.precision == "fp16"
        )
        self.loss = mask_loss(config.loss)
        self.checkpointing = config.checkpointing == "on"
        self.micro_batch = config.batch_size
        self.epoch = 0  # epochs finished
        self.position = 0  # steps taken in the epoch that runs
        self.step = 0
        self.n_events = 0
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

        Between two events, `state_dict` is complete: whoever stops there can go on
        later, with the same events and, bit by bit on one CPU, the same weights.

        Parameters
        ----------
        train, val
            What to learn from and what to judge by.
        state
            Go on from here.
        checkpoint
            Called with `state_dict` after every event.

        Raises
        ------
        TrainingError
            If there is nothing to learn from, memory does not suffice for one
            image, or the loss is no number; the best weights so far stay known.
        """
        if state is not None:
            self.load_state_dict(state)
        self._check(train, val)
        for event in self._events(train, val):
            self.n_events += 1
            yield event
            if checkpoint is not None:
                checkpoint(self.state_dict())

    def best(self) -> None:
        """Put the weights that validated best into the model."""
        self._copy(self._best)

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs: live tensors and plain types.

        Write or copy it before the next step changes the tensors.
        """
        return {
            "config": self.config.to_json(),
            "images": self._images,
            "epoch": self.epoch,
            "position": self.position,
            "step": self.step,
            "n_events": self.n_events,
            "micro_batch": self.micro_batch,
            "checkpointing": self.checkpointing,
            "best_epoch": self.best_epoch,
            "best_dice": self.best_dice,
            "best": dict(self._best),
            "weights": {name: p.detach() for name, p in self.parameters.items()},
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
                raise TrainingError(
                    "The checkpoint belongs to a run with other settings; resume with "
                    "those, or start a new run."
                )
            self._copy(state["weights"])
            self.optimizer.load_state_dict(deepcopy(state["optimizer"]))
            self.scaler.load_state_dict(state["scaler"])
            self._best = {
                name: tensor.to(self.device, copy=True)
                for name, tensor in state["best"].items()
            }
            for name in (
                *("epoch", "position", "step", "n_events", "micro_batch"),
                *("checkpointing", "best_epoch", "best_dice"),
            ):
                setattr(self, name, state[name])
            self._images = state["images"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TrainingError(
                f"The checkpoint does not fit this model ({error}); start a new run."
            ) from error

    @property
    def finished(self) -> bool:
        """Whether all epochs are over, or patience is."""
        patience, best = self.config.patience, self.best_epoch or 0
        tired = patience is not None and self.epoch - best >= patience
        return self.epoch >= self.config.epochs or tired

    def _check(self, train: SegmentationDataset, val: SegmentationDataset) -> None:
        if not len(train):
            raise TrainingError(
                "There is no annotated image to learn from; accept some masks first."
            )
        if not len(val):
            raise TrainingError(
                "There is no annotated image to validate on; annotate at least one "
                "more, of another lesion."
            )
        images = hashlib.sha256("\n".join(sorted(train.ids)).encode()).hexdigest()
        if self._images not in ("", images):
            raise TrainingError(
                "The training images are not those the run began with; start a new run."
            )
        self._images = images

    def _events(
        self, train: SegmentationDataset, val: SegmentationDataset
    ) -> Iterator[TrainingEvent]:
        if self.best_epoch is None:
            yield self._validate(val)
        size = self.config.images_per_step
        while not self.finished:
            seed, epoch = self.config.seed, self.epoch + 1
            order = shuffled(train.ids, seed=seed, epoch=epoch)
            batches = [order[i : i + size] for i in range(0, len(order), size)]
            while self.position < len(batches):
                yield from self._step(train, batches[self.position], len(batches))
            self.epoch, self.position = epoch, 0
            yield self._validate(val)

    def _step(
        self, train: SegmentationDataset, batch: Sequence[str], n_batches: int
    ) -> Iterator[TrainingEvent]:
        """Take one optimisation step, in smaller pieces if memory does not suffice."""
        started = time.perf_counter()
        share = learning_rate_share(
            self.config, self.step, n_batches * self.config.epochs
        )
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * share
        while (losses := self._gradients(train, batch)) is None:
            yield NoticeEvent(self._need_less_memory())
        losses = self._sum_over_processes(losses)
        self._check_numbers(losses, batch)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self.position += 1
        loss, seconds = float(losses.mean()), time.perf_counter() - started
        yield StepEvent(self.step, self.epoch + 1, loss, tuple(batch), seconds)

    def _gradients(
        self, train: SegmentationDataset, batch: Sequence[str]
    ) -> Tensor | None:
        """Add up this process's share of the gradient; None if memory ran out."""
        for parameter in self.parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        losses = torch.zeros(len(batch), device=self.device)
        own = range(len(batch))[self.accelerator.process_index :: self._n_processes]
        try:
            for start in range(0, len(own), self.micro_batch):
                rows = own[start : start + self.micro_batch]
                each = self._losses(self._samples(train, [batch[i] for i in rows]))
                torch.autograd.backward(self.scaler.scale(each.sum() / len(batch)))
                losses[list(rows)] = each.detach()
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, GLMedSAError) or not _out_of_memory(error):
                raise
            return None
        return losses

    def _losses(self, samples: Sequence[Sample]) -> Tensor:
        """Encode once, click and decode often; return one loss per sample."""
        size, config = self.sam.image_encoder.img_size, self.config
        images = [torch.from_numpy(s.image).permute(2, 0, 1) for s in samples]
        inputs = torch.stack([self.sam.preprocess(i.to(self.device)) for i in images])
        masks = np.zeros((len(samples), size, size), bool)
        for padded, sample in zip(masks, samples, strict=True):
            padded[: sample.mask.shape[0], : sample.mask.shape[1]] = sample.mask
        embedding = self._encode(inputs).float()
        epoch = self.epoch + 1
        rngs = [generator(config.seed, epoch, s.id, "clicks") for s in samples]
        return click_losses(
            self.sam,
            embedding,
            masks,
            plans=[draw_plan(config, rng) for rng in rngs],
            rngs=rngs,
            loss=self.loss,
            iou_head=config.trains_decoder,
        )

    def _encode(self, inputs: Tensor) -> Tensor:
        encoder, dtype = self.sam.image_encoder, _AUTOCAST.get(self.precision)
        autocast = torch.autocast(
            self.device.type, dtype=dtype, enabled=dtype is not None
        )
        remember = checkpoint_blocks(encoder) if self.checkpointing else nullcontext()
        with autocast, remember:
            embedding: Tensor = encoder(inputs)
        return embedding

    def _samples(
        self, train: SegmentationDataset, names: Sequence[str]
    ) -> list[Sample]:
        return [
            train.sample(
                name,
                size=self.sam.image_encoder.img_size,
                seed=self.config.seed,
                epoch=self.epoch + 1,
                augmentation=self.config.augmentation,
            )
            for name in names
        ]

    def _need_less_memory(self) -> str:
        """Make the next attempt smaller; return the sentence that says so."""
        for parameter in self.parameters.values():
            parameter.grad = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.micro_batch > 1:
            self.micro_batch //= 2
            return (
                f"Memory ran out, so {self.micro_batch} images at a time are computed "
                "from now on; the result stays the same."
            )
        if not self.checkpointing and self.config.checkpointing == "auto":
            self.checkpointing = True
            return (
                "Memory ran out, so activations are computed again instead of kept "
                "from now on; it takes longer and the result stays the same."
            )
        raise TrainingError(
            "There is not enough memory to train on even one image; close other "
            "programs, or choose a smaller model, fewer blocks or checkpointing."
        )

    def _sum_over_processes(self, losses: Tensor) -> Tensor:
        """Add gradients and losses of all processes, in place."""
        if self._n_processes > 1:
            gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
            parts = [*gradients, losses]
            flat = torch.cat([part.flatten() for part in parts])
            flat = self.accelerator.reduce(flat, "sum")
            sums = flat.split([part.numel() for part in parts])
            for part, total in zip(parts, sums, strict=True):
                part.copy_(total.view_as(part))
        return losses

    def _check_numbers(self, losses: Tensor, batch: Sequence[str]) -> None:
        """Clip the gradient; refuse one that would spoil the weights."""
        for loss, name in zip(losses.tolist(), batch, strict=True):
            if not math.isfinite(loss):
                self._refuse("loss", f"image {name}")
        self.scaler.unscale_(self.optimizer)
        longest = self.config.max_gradient_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), longest)
        if not norm.isfinite() and not self.scaler.is_enabled():
            self._refuse("gradient", f"images {', '.join(batch)}")

    def _refuse(self, what: str, where: str) -> NoReturn:
        raise TrainingError(
            f"The {what} is not a number any more (step {self.step + 1}, {where}); the "
            "best weights so far are kept. Lower the learning rate, or look at what is "
            "annotated there."
        )

    def _validate(self, val: SegmentationDataset) -> EpochEvent:
        """Click on every validation image; keep the weights if they are the best."""
        size, seed = self.sam.image_encoder.img_size, self.config.seed
        predictor = Predictor(self.sam, fingerprint="", precision=self.precision)
        own = sorted(val.ids)[self.accelerator.process_index :: self._n_processes]
        cases = (val.case(name, size=size, seed=seed) for name in own)
        scores: list[ImageScore] = list(
            evaluate_clicks(predictor, cases, n_clicks=self.config.n_points, seed=seed)
        )
        if self._n_processes > 1:
            scores = sorted(gather_object(scores), key=lambda score: score.id)
        means = {name: float(np.mean(v)) for name, v in summarise(scores).items()}
        better = self.best_epoch is None or means["dice"] > self.best_dice
        if better:
            self.best_epoch, self.best_dice = self.epoch, means["dice"]
            self._best = {n: p.detach().clone() for n, p in self.parameters.items()}
        return EpochEvent(
            self.epoch, self.config.epochs, means["dice"], means["iou"], better
        )

    @property
    def _n_processes(self) -> int:
        return int(self.accelerator.num_processes)

    @torch.no_grad()
    def _copy(self, weights: Mapping[str, Tensor]) -> None:
        if weights.keys() != self.parameters.keys():
            raise ValueError("it trains other tensors")
        for name, parameter in self.parameters.items():
            if parameter.shape != weights[name].shape:
                raise ValueError(f"{name} has another shape")
            parameter.copy_(weights[name])


def resolve_precision(name: TrainingPrecision, device: torch.device) -> Precision:
    """Turn ``"auto"`` into the fastest type that the device computes in."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return "bf16"
    return "fp32"


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "memory" in str(error).lower()
