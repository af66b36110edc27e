"""Files of model weights, read without trusting them."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_glmedsa.errors import CheckpointError
from napari_glmedsa.tensors import read_safetensors, refuse_unfinite

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
        If the file is damaged, holds program code, is no state dict, or has values
        that are no numbers.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    tensors = _read_pytorch(path)
    refuse_unfinite(tensors, path.name)
    return tensors


def _read_pytorch(path: Path) -> dict[str, Tensor]:
    try:
        tensors = _unpickled_safely(path)
    except CheckpointError:
        raise
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
        _is_plain(name, value) for name, value in tensors.items()
    ):
        raise CheckpointError(
            f"{path.name} holds something else than named weights; use an official "
            "SAM checkpoint (.pth) or a .safetensors file."
        )
    return _apart(tensors)


def _unpickled_safely(path: Path) -> Any:
    # Mapped, the tensors cost no memory beyond the file's own pages. Files of
    # PyTorch before 1.6 are no zip archives and cannot be.
    is_zip = zipfile.is_zipfile(path)
    if is_zip:
        _check_sums(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about how old or odd a file is
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)


def _check_sums(path: Path) -> None:
    """Hold every part to its checksum in the archive, which PyTorch does not."""
    try:
        with zipfile.ZipFile(path) as archive:
            # PyTorch never compresses, and what unpacks to any size is not read
            stored = all(
                m.compress_type == zipfile.ZIP_STORED for m in archive.infolist()
            )
            bad = archive.testzip() if stored else None
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(str(error)) from error
    if bad is not None:
        raise CheckpointError(
            f"{path.name} is damaged: a part of it does not agree with its checksum; "
            "get the file again."
        )


def _is_plain(name: object, value: object) -> bool:
    """Tell whether this is a name and a tensor of numbers in memory."""
    return (
        isinstance(name, str)
        and isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
    )


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in plain order of which no two share memory."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().contiguous()
        if (place := plain.untyped_storage().data_ptr()) in seen:
            plain = plain.clone()
        seen.add(place)
        result[name] = plain
    return result
