"""A run's folder as its process would have left it, without any training."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from runs import TINY_CONFIG, new_run

from napari_glmedsa.files import write_json
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.training.events import EpochEvent, StepEvent, TrainingEvent
from napari_glmedsa.training.gallery import GalleryItem, write_gallery
from napari_glmedsa.training.gate import GateResult
from napari_glmedsa.training.metrics import append_event
from napari_glmedsa.training.run import TrainingRun
from napari_glmedsa.training.status import ProcessId, RunStatus

N_EPOCHS = 4
SIZE = (48, 64)

GATE = GateResult(
    n=6,
    clicks=(1, 3),
    before={
        "dice": (0.8, 0.81),
        "iou": (0.7, 0.71),
        "threshold_jaccard": (0.6, 0.61),
        "pooled_dice": (0.82, 0.83),
        "pooled_iou": (0.695, 0.709),
    },
    after={
        "dice": (0.9, 0.91),
        "iou": (0.85, 0.86),
        "threshold_jaccard": (0.84, 0.845),
        "pooled_dice": (0.92, 0.93),
        "pooled_iou": (0.852, 0.869),
    },
    difference=0.1,
    interval=(0.05, 0.15),
    margin=0.01,
    verdict="better",
    activate=True,
    sentence="The new model is better.",
    before_model="sam_tiny",
    after_model="moles",
)


def events(n_epochs: int) -> list[TrainingEvent]:
    """Return what a run tells in so many epochs of two steps; the third is best."""
    told: list[TrainingEvent] = [EpochEvent(0, N_EPOCHS, 0.5, 0.4, best=True)]
    for epoch in range(1, n_epochs + 1):
        for step in (2 * epoch - 1, 2 * epoch):
            told.append(StepEvent(step, epoch, 1 / step, ("a", "b"), 0.1))
        dice = 0.9 - 0.05 * abs(epoch - 3)
        told.append(EpochEvent(epoch, N_EPOCHS, dice, dice - 0.1, best=epoch <= 3))
    return told


def start_run(
    project: AnnotationProject, registry: ModelRegistry, model: ModelSpec
) -> TrainingRun:
    """Make a run that this process seems to work on."""
    config = replace(TINY_CONFIG, epochs=N_EPOCHS)
    run = new_run(project, registry, start=model, config=config)
    tell(run, events(1))
    say(run, state="running", epoch=1, step=2, eta_seconds=60.0)
    return run


def tell(run: TrainingRun, told: Sequence[TrainingEvent]) -> None:
    """Append events."""
    for event in told:
        append_event(run.metrics_path, event)


def say(run: TrainingRun, **changes: object) -> None:
    """Change the status of a run; its process is this one, unless told otherwise."""
    me = ProcessId.of(os.getpid())
    known = RunStatus.from_json(json.loads(run.status_path.read_text()))
    status = replace(
        known,
        pid=me.pid,
        host=me.host,
        born=me.born,
        n_epochs=N_EPOCHS,
        n_steps=2 * N_EPOCHS,
    )
    write_json(run.status_path, replace(status, **changes).to_json())  # type: ignore[arg-type]


def finish(run: TrainingRun, model: ModelSpec) -> None:
    """Let a run come to its end with a model."""
    tell(run, events(N_EPOCHS)[len(events(1)) :])
    write_json(run.gate_path, GATE.to_json())
    lesions = [draw_lesion(seed=seed, size=SIZE) for seed in range(2)]
    items = [
        GalleryItem(
            f"lesion{index}",
            lesion.image,
            np.roll(lesion.mask, 5, axis=1),
            lesion.mask,
            lesion.mask,
            0.8,
            1.0,
        )
        for index, lesion in enumerate(lesions)
    ]
    write_gallery(run.folder, items)
    say(
        run,
        state="finished",
        epoch=N_EPOCHS,
        step=8,
        model=str(model),
        eta_seconds=None,
    )
