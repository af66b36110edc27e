"""A project of drawn lesions and the smallest training run on it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_glmedsa.project import AnnotationProject, Provenance, Split
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.tensors import read_safetensors
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.plan import write_plan
from napari_glmedsa.training.run import TrainingRun

BASE = ModelSpec("sam_tiny")

TINY_CONFIG = TrainingConfig(
    n_points=2,
    epochs=2,
    batch_size=2,
    patience=None,
    precision="fp32",
    augmentation="none",
    learning_rate=3e-3,
)


def drawn_project(
    root: Path, *, train: int = 4, val: int = 2, test: int = 5
) -> AnnotationProject:
    """Make a project of small drawn lesions, each in the split it is drawn for."""
    project = AnnotationProject.create(root, name="Drawn lesions")
    splits: list[Split] = ["train"] * train + ["val"] * val + ["test"] * test
    for seed, split in enumerate(splits):
        sample = draw_lesion(seed, (48, 64))
        name = project.add_image(
            sample.image, source=f"{seed}.png", group=str(seed), split=split
        )
        project.save_annotation(name, sample.mask, [Provenance()])
    return project


def new_run(
    project: AnnotationProject, registry: ModelRegistry, **changes: Any
) -> TrainingRun:
    """Make a run of the tiny base that is compared with that base.

    One thread, since the tests share the cores; a checkpoint after every step.
    """
    options = {"compare_with": BASE, "device": "cpu", "registry": registry, **changes}
    config = options.pop("config", TINY_CONFIG)
    start = options.pop("start", BASE)
    run = TrainingRun.create(project, start, config, **options)
    plan = replace(run.plan, threads=1, checkpoint_seconds=0.0)
    write_plan(run.folder / "config.json", plan)
    return run


def curve(run: TrainingRun) -> list[dict[str, Any]]:
    """Return the events of a run without how long they took."""
    path = run.metrics_path
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    events = [json.loads(line) for line in lines]
    return [{k: v for k, v in e.items() if k != "timing"} for e in events]


def weights(path: Path) -> dict[str, bytes]:
    """Return the bytes of every tensor of an adapter file."""
    tensors = read_safetensors(path)
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
