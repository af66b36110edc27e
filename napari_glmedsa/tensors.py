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
    """Read every tensor of a safetensors file; raises as `open_safetensors`."""
    with open_safetensors(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


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
