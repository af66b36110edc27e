"""Where a run goes on after a pause or a crash: one file, whole or not there."""

import errno
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from napari_glmedsa.errors import TrainingError
from napari_glmedsa.files import atomic_write

CHECKPOINT = "checkpoint.pt"
"""Name of the file in a run's folder."""

_OVERHEAD = 1 << 20

CheckpointWriter = Callable[[Path, Mapping[str, Any]], None]


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain types atomically; raises OSError on a full disk."""
    needed = sum(tensor.nbytes for tensor in _tensors(state)) + _OVERHEAD
    if shutil.disk_usage(path.parent).free < needed:  # torch would not say why
        raise OSError(errno.ENOSPC, "No space left on device", str(path))
    with atomic_write(path) as partial:
        torch.save(dict(state), partial)


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read what `write_checkpoint` wrote; None if there is nothing yet."""
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch finds in a damaged file
        raise TrainingError(
            f"The checkpoint of the run {path.parent.name} is damaged; start a new "
            "run, from its adapter if you like."
        ) from error
    return state


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _tensors(inner)
