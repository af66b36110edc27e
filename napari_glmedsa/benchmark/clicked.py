"""Methods that are clicked: SAM as it is, with adapters, or trained as a whole."""

import time
from collections import deque

from segment_anything.modeling import Sam

from napari_glmedsa.benchmark.answers import Answer
from napari_glmedsa.benchmark.begun import BegunTraining
from napari_glmedsa.benchmark.index import dataset
from napari_glmedsa.benchmark.made import CHECKPOINT_SECONDS, Made, OnProgress
from napari_glmedsa.benchmark.parts import Parts
from napari_glmedsa.evaluation import Case, replay_clicks
from napari_glmedsa.inference import Predictor
from napari_glmedsa.inference.device import resolve_device
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.events import EpochEvent, StepEvent
from napari_glmedsa.training.trainer import Trainer


def make_clicked(
    sam: Sam,
    config: TrainingConfig | None,
    parts: Parts,
    begun: BegunTraining,
    *,
    clicks: int,
    seed: int,
    device: str,
    say: OnProgress,
) -> Made:
    """Train a SAM in place to the last epoch, or go on where that was stopped.

    Parameters
    ----------
    sam
        The base.
    config
        How to train; None leaves it as it is.
    parts, begun
        What to learn from, and where that goes on.
    clicks, seed
        How many clicks `Made.segment` sets, and the source of their draws.
    device, say
        Where to compute, and who is told how far it is.
    """
    seconds, trainable, precision = 0.0, 0, ""
    curve: list[dict[str, float]] = []
    sam = sam.to(resolve_device(device))
    if config is not None:
        trainer = Trainer(sam, config, device=device)
        trainable = sum(p.numel() for p in trainer.trained.values())
        seconds, curve = _train(trainer, parts, begun, say)
        precision = trainer.precision
        sam = trainer.sam
    total = sum(p.numel() for p in sam.parameters())
    predictor = Predictor(sam, fingerprint=begun.folder.name)

    def segment(case: Case) -> Answer:
        answers = replay_clicks(predictor, case, n_clicks=clicks, seed=seed)
        (last,) = deque(answers, maxlen=1)
        return Answer(last.mask, last.prompts.point_coords)

    return Made(
        segment,
        frozen=total - trainable,
        trainable=trainable,
        seconds=seconds,
        config=config.to_json() if config else {},
        precision=precision,
        curve=curve,
    )


def _train(
    trainer: Trainer, parts: Parts, begun: BegunTraining, say: OnProgress
) -> tuple[float, list[dict[str, float]]]:
    """Train to the last epoch; return `Made.seconds` and `Made.curve`."""
    train, val = dataset(parts.train), dataset(parts.val)
    state = begun.read()
    spent, curve = float(state.pop("seconds", 0)), list(state.pop("curve", []))
    config, started, written = trainer.config, time.monotonic(), time.monotonic()
    n_steps = config.steps_per_epoch(len(train)) * config.epochs

    def seconds() -> float:
        return spent + time.monotonic() - started

    def keep() -> None:
        known = {"seconds": seconds(), "curve": curve}
        begun.write({**trainer.state_dict(), **known})

    for event in trainer.fit(train, val, state=state or None):
        if isinstance(event, StepEvent):
            try:
                say("training", event.step, n_steps)
            except BaseException:  # whoever listens wants no more for now
                keep()
                raise
        elif isinstance(event, EpochEvent):
            dice, jaccard = event.val_dice, event.val_iou
            curve.append({"epoch": event.epoch, "val_dice": dice, "val_iou": jaccard})
        if trainer.finished or time.monotonic() - written > CHECKPOINT_SECONDS:
            keep()
            written = time.monotonic()
    return seconds(), curve
