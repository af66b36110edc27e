"""What was read from files, until the files change."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

Value = TypeVar("Value")
Signature = tuple[tuple[int, int, int] | None, ...]


class Remembered(Generic[Value]):
    """Reads a value from its files once, and again when one of them has changed."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[Signature, Value]] = {}

    def get(self, key: str, files: Sequence[Path], read: Callable[[], Value]) -> Value:
        """Return the value that `read` gets from `files`."""
        signature = tuple(map(_signature, files))
        known = self._values.get(key)
        if known is None or known[0] != signature:
            # Signed before reading: what changes meanwhile is read again next time.
            known = self._values[key] = (signature, read())
        return known[1]


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
