"""Files written whole or not at all, and the hashes that name their content."""

import errno
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

NONSENSE = (
    *(ValueError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, RecursionError),
)
"""What taking a document apart raises if somebody has written anything into it."""

_CHUNK = 1 << 20
_PATIENCE, _BREATH = 2.0, 0.01  # seconds


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a sibling to write to; it becomes `path` only if the block succeeds.

    Raises
    ------
    OSError
        If `path` is a device or a pipe, which a file would replace for good.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    # Not named after `path`: together they might be longer than names may be.
    partial = path.with_name(f".{uuid4().hex}.partial")
    try:
        yield partial
        _replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _replace(partial: Path, path: Path) -> None:
    """Move a file to its place, even if it is being read there just now."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            partial.replace(path)
            return
        except PermissionError:  # what Windows says while anybody has it open
            if not _is_windows() or time.monotonic() > deadline:
                raise
        time.sleep(_BREATH)


def _is_windows() -> bool:
    return sys.platform == "win32"


def read_json(path: Path) -> Any:
    """Read one JSON document (UTF-8)."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, document: Any) -> None:
    """Write one JSON document (UTF-8, indented) atomically."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def sha256_file(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_array(array: NDArray[Any]) -> str:
    """Return the hex SHA-256 of an array: its dtype, its shape and its values.

    Two arrays with the same values but another memory order have the same hash.
    """
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
