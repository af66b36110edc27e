"""Files of tensors: opened without trusting them, written whole and readable by all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safetensors import SafetensorError, safe_open

from napari_glmedsa.errors import CheckpointError
from napari_glmedsa.files import atomic_write

if TYPE_CHECKING:  # a header is read without torch
    from torch import Tensor

_OTHER_FORMAT = (
    "{} is not a readable safetensors file; files in other formats, pickles among"
    " them, are never opened here."
)


@contextmanager
def open_safetensors(
    path: Path, framework: Literal["pt", "numpy"] = "numpy"
) -> Iterator[Any]:
    """Open a safetensors file; anything else is refused and never unpickled.

    Raises
    ------
    CheckpointError
        With one sentence, if the file is missing, damaged or of another kind.
    """
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except FileNotFoundError as error:
        raise CheckpointError(_why_not_found(path)) from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(_OTHER_FORMAT.format(path.name)) from error


def read_safetensors(path: Path) -> "dict[str, Tensor]":
    """Read every tensor of a safetensors file.

    Raises
    ------
    CheckpointError
        As `open_safetensors` and `refuse_unfinite`.
    """
    with open_safetensors(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    refuse_unfinite(tensors, path.name)
    return tensors


def refuse_unfinite(tensors: "Mapping[str, Tensor]", file: str) -> None:
    """Raise CheckpointError if a tensor of `file` holds NaN or infinity.

    A model with one such value answers every click with nothing.
    """
    for name, stored in tensors.items():
        # 8-bit floats can be stored, but not reckoned with
        tensor = stored.float() if stored.element_size() == 1 else stored
        # A sum is finite only if every part is, and costs no memory; that of
        # finite halves may overflow, so a bad one is looked into.
        if not (tensor.sum().isfinite() or tensor.isfinite().all()):
            raise CheckpointError(
                f"{file} holds values that are no numbers (NaN or infinity, in "
                f"{name}), as a training run leaves that failed; use an earlier "
                "checkpoint or get the file again."
            )


def write_safetensors(
    path: Path,
    tensors: "Mapping[str, Tensor]",
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors and a header atomically."""
    from safetensors.torch import save_file

    header = None if metadata is None else dict(metadata)
    with atomic_write(path) as partial:
        save_file(dict(tensors), partial, metadata=header)
        partial.chmod(0o644)  # safetensors lets only the owner read


def _why_not_found(path: Path) -> str:
    """Tell why; safetensors says "no such file" of any that it could not open."""
    try:
        path.open("rb").close()
    except FileNotFoundError:
        return f"There is no file {path}; check the path."
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}); check its permissions."
    return _OTHER_FORMAT.format(path.name)
