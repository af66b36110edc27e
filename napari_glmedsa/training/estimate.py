"""What a run will cost before it starts: time and memory, in a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from napari_glmedsa.adapters.card import read_card
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.training.config import TrainingConfig, check_blocks

_GIB = 2**30
_MINUTE, _HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """Time and memory of a run, each off by half or by double.

    Parameters
    ----------
    seconds
        Until its end, if it does not stop early.
    needed_bytes, available_bytes
        Memory at the run's peak, and what is free now on the device that computes.
    device
        Where it computes.
    recomputes
        Whether activations are computed again because they would not fit.
    """

    seconds: float
    needed_bytes: int
    available_bytes: int
    device: str
    recomputes: bool = False

    def sentence(self) -> str:
        """Say it, and what to do if the memory does not suffice."""
        needed, free = self.needed_bytes / _GIB, self.available_bytes / _GIB
        said = (
            f"It takes about {in_words(self.seconds)} and {needed:.1f} GB of memory on "
            f"{self.device}, where {free:.1f} GB are free"
        )
        if self.recomputes:
            said += ", if activations are computed again instead of kept"
        if self.needed_bytes <= self.available_bytes:
            return f"{said}."
        return f"{said}: close other programs, or choose a smaller batch or base."


def estimate_run(
    registry: ModelRegistry,
    start: ModelSpec,
    config: TrainingConfig,
    counts: Mapping[str, int],
    *,
    device: str = "auto",
) -> RunEstimate:
    """Measure on this computer what a run would cost; takes a few seconds.

    Parameters
    ----------
    registry, start, config
        As for `TrainingRun.create`.
    counts
        Images per split.
    device
        ``"auto"`` or a name.

    Raises
    ------
    ModelNotFoundError, CheckpointError, DeviceError
        If the model or the device is not there.
    TrainingError
        If more blocks are asked for than it has.
    """
    from napari_glmedsa.inference import SamArchitecture, read_weights, resolve_device
    from napari_glmedsa.training.dataset import cached_bytes
    from napari_glmedsa.training.duration import estimate_seconds
    from napari_glmedsa.training.memory import (
        available_bytes,
        estimate_training_bytes,
    )

    if start.adapter is not None:
        shape = read_card(registry.adapter_path(start.adapter)).config
        config = replace(config, adapter=shape)
    found = [card.path for card in registry.bases() if card.name == start.base]
    weights = read_weights(found[0] if found else Path(start.base))
    architecture = SamArchitecture.from_state_dict(weights)
    check_blocks(config, architecture.depth)
    where = resolve_device(device)
    free = available_bytes(where)
    needed = estimate_training_bytes(architecture, config, device=where)
    recomputes = config.checkpointing == "auto" and needed > free
    if recomputes:  # as the run itself will decide
        config = replace(config, checkpointing="on")
        needed = estimate_training_bytes(architecture, config, device=where)
    if where.type == "cpu":  # photographs wait in the computer's own memory
        needed += sum(
            cached_bytes(counts.get(split, 0), architecture.image_size)
            for split in ("train", "val")
        )
    return RunEstimate(
        seconds=estimate_seconds(architecture, config, counts, device=where),
        needed_bytes=needed,
        available_bytes=free,
        device=str(where),
        recomputes=recomputes,
    )


def in_words(seconds: float) -> str:
    """Return a length of time as people say it."""
    if seconds < 1.5 * _MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < 1.5 * _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    return f"{seconds / _HOUR:.1f} h"
