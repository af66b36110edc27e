"""The folder of one base under the user's root: its files, its lock, its room."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from napari_glmedsa.base import WEIGHTS_FILE
from napari_glmedsa.errors import Cancelled, DownloadError, RegistryError
from napari_glmedsa.store.transfer import Transfer, disk_refuses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_glmedsa.store.transfer import Asked, Report

_LOCK = ".lock"
_LOCK_CHECK = 0.2  # seconds
_HEADER = 1 << 20  # bytes that a converted file may have beyond its tensors
_POOCHS = "tmp*"
_FILES = ("card.json", WEIGHTS_FILE, "*.part", "*.pth", "*.pt", ".*.partial", _POOCHS)
"""What this program puts here; the card comes first, as it makes the rest a model."""


class BaseFolder:
    """What lies, or will lie, in ``<root>/base/<name>``.

    Parameters
    ----------
    path
        The folder, whose name is the model's name; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def has_card(self) -> bool:
        """Whether a model is there, though perhaps without its weights."""
        return (self.path / "card.json").exists()

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a model is there."""
        return not any(self._files())

    def partial(self, file: str) -> Path:
        """Return where a download of `file` is collected."""
        return self.path / f"{file}.part"

    def need_room(self, size: int) -> None:
        """Raise DownloadError unless `size` bytes can be written here."""
        free, needed = shutil.disk_usage(self.path).free, size + _HEADER
        if needed > free:
            raise DownloadError(
                f"{self.path.name} needs {_megabytes(needed)} in {self.path}, but only "
                f"{_megabytes(free)} are free; free some space or choose another "
                "folder with NAPARI_GLMEDSA_HOME or --root."
            )

    @contextmanager
    def locked(self, report: Report, cancelled: Asked) -> Iterator[None]:
        """Make the folder and keep other programs out; wait until they are done."""
        from filelock import FileLock, Timeout

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / _LOCK)
            while True:
                try:
                    lock.acquire(timeout=_LOCK_CHECK)
                    break
                except Timeout:
                    report(Transfer("waiting"))
                    if cancelled():
                        raise Cancelled from None
        except OSError as error:
            raise disk_refuses(error, self.path) from error
        try:
            yield
        finally:
            lock.release()
            self._leave_no_empty_folder()

    def tidy(self) -> None:
        """Delete what a killed process left, which is never gone on with."""
        for orphan in self.path.glob(_POOCHS):
            orphan.unlink()

    def delete(self) -> None:
        """Delete the model; what others have put here stays.

        Raises
        ------
        RegistryError
            If a file cannot be deleted.
        """
        try:
            for path in self._files():
                path.unlink()
        except OSError as error:
            raise RegistryError(
                f"{error.filename} cannot be deleted ({error.strerror}); close the "
                "programs that use it and check the permissions."
            ) from error

    def _files(self) -> Iterator[Path]:
        for pattern in _FILES:
            yield from self.path.glob(pattern)

    def _leave_no_empty_folder(self) -> None:
        with suppress(OSError):
            if [path.name for path in self.path.iterdir()] == [_LOCK]:
                (self.path / _LOCK).unlink()
                self.path.rmdir()


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
