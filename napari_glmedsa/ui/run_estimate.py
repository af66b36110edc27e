"""What a run will cost before it starts: time and memory, in one sentence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from napari_glmedsa.adapters.card import read_card
from napari_glmedsa.inference import SamArchitecture, read_weights, resolve_device
from napari_glmedsa.project import SPLITS, AnnotationProject
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.duration import estimate_seconds
from napari_glmedsa.training.memory import available_bytes
from napari_glmedsa.ui.run_panel import duration

_GIB = 2**30


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """Time and memory of a run.

    Attributes
    ----------
    seconds : float
        Until its end, if it does not stop early.
    memory, available : int
        Bytes at its peak, and bytes that are free now.
    epochs, images : int
        Of how many.
    device : str
        Where it would compute.
    """

    seconds: float
    memory: int
    available: int
    epochs: int
    images: int
    device: str

    def sentence(self) -> str:
        """Say it, and whether the memory suffices."""
        said = (
            f"{self.epochs} epochs over {self.images} images on {self.device}: about "
            f"{duration(self.seconds)} and {self.memory / _GIB:.1f} GB of memory."
        )
        if self.memory > self.available:
            return (
                f"{said} Only {self.available / _GIB:.1f} GB are free: close other "
                "programs, or choose a smaller batch or model."
            )
        return said


def estimate(
    project: AnnotationProject,
    registry: ModelRegistry,
    model: ModelSpec,
    config: TrainingConfig,
) -> RunEstimate:
    """Measure what a run would cost on this computer; not for the Qt thread.

    Raises
    ------
    ModelNotFoundError, CheckpointError
        If the model is not there or damaged.
    """
    if model.adapter is not None:
        config = replace(
            config, adapter=read_card(registry.adapter_path(model.adapter)).config
        )
    paths = [card.path for card in registry.bases() if card.name == model.base]
    weights = read_weights(next(iter(paths), Path(model.base)))
    architecture = SamArchitecture.from_state_dict(weights)
    splits = list(project.splits().values())
    counts: dict[str, int] = {split: splits.count(split) for split in SPLITS}
    device = resolve_device("auto")
    return RunEstimate(
        estimate_seconds(architecture, config, counts, device=device),
        0,
        available_bytes(device),
        config.epochs,
        counts["train"],
        str(device),
    )
