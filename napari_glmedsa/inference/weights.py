"""Files of model weights, read without trusting them."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_glmedsa.errors import CheckpointError
from napari_glmedsa.tensors import read_safetensors

# what PyTorch's unpickler raises on bytes that are no weights
_DAMAGED = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, ValueError),
    *(LookupError, TypeError, AttributeError),
)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read named tensors, safetensors or PyTorch, and never run what is in a file.

    Of a training checkpoint, its ``state_dict`` counts.

    Raises
    ------
    CheckpointError
        If the file is damaged, holds program code, or is no state dict.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    try:
        tensors = _unpickled_safely(path)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror or error}); check its permissions."
        ) from error
    except _DAMAGED as error:
        raise CheckpointError(
            f"{path.name} is not a plain weights file: it is damaged, or it holds "
            "program code, which is never run. Use an official SAM checkpoint (.pth) "
            "or a .safetensors file."
        ) from error
    if isinstance(tensors, dict) and isinstance(tensors.get("state_dict"), dict):
        tensors = tensors["state_dict"]
    if not isinstance(tensors, dict) or not all(
        isinstance(value, Tensor) for value in tensors.values()
    ):
        raise CheckpointError(
            f"{path.name} holds something else than named weights; use an official "
            "SAM checkpoint (.pth) or a .safetensors file."
        )
    return tensors


def _unpickled_safely(path: Path) -> Any:
    # Mapped, the tensors cost no memory beyond the file's own pages. Files of
    # PyTorch before 1.6 are no zip archives and cannot be.
    return torch.load(
        path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
    )
