"""Small things to train on, and a run kept as what it did."""

import copy
from dataclasses import replace

import numpy as np
import torch
from segment_anything.modeling import Sam
from tiny import TINY, randomise

from napari_glmedsa.evaluation import Case
from napari_glmedsa.inference import build_sam
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.dataset import SegmentationDataset
from napari_glmedsa.training.events import StepEvent, TrainingEvent
from napari_glmedsa.training.trainer import Trainer


def make_sam(size: int = 64) -> Sam:
    """The tiny SAM, the same every time."""
    torch.manual_seed(0)
    return randomise(build_sam(replace(TINY, image_size=size)))


def lesions(seeds: range, size: tuple[int, int] = (64, 80)) -> SegmentationDataset:
    drawn = {f"lesion-{seed}": draw_lesion(seed=seed, size=size) for seed in seeds}
    return SegmentationDataset.from_cases(
        Case(name, lesion.image, lesion.mask) for name, lesion in drawn.items()
    )


def small(**fields: object) -> TrainingConfig:
    """A configuration that takes well under a second on the tiny SAM."""
    defaults: dict = {"precision": "fp32", "epochs": 2, "n_points": 2}
    return TrainingConfig(**{**defaults, **fields})


def timeless(event: TrainingEvent) -> tuple:
    """An event without the seconds it took, which differ every time."""
    fields = event.to_json()
    fields.pop("seconds", None)
    return tuple(fields.items())


def run(
    config: TrainingConfig,
    *,
    state: dict | None = None,
    sam: Sam | None = None,
    train: SegmentationDataset | None = None,
    val: SegmentationDataset | None = None,
) -> tuple[Trainer, list[TrainingEvent], list[dict]]:
    """Train to the end; return the trainer, its events, and a checkpoint after each."""
    trainer = Trainer(make_sam() if sam is None else sam, config, device="cpu")
    states: list[dict] = []
    events = trainer.fit(
        lesions(range(3)) if train is None else train,
        lesions(range(10, 12)) if val is None else val,
        state=state,
        checkpoint=lambda now: states.append(copy.deepcopy(now)),
    )
    return trainer, list(events), states


def weights(trainer: Trainer) -> dict[str, np.ndarray]:
    return {name: p.detach().numpy().copy() for name, p in trainer.trained.items()}


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    """Whether names and every bit agree."""
    return left.keys() == right.keys() and all(
        np.array_equal(left[name], right[name]) for name in left
    )


def steps(events: list[TrainingEvent]) -> list[StepEvent]:
    return [event for event in events if isinstance(event, StepEvent)]
