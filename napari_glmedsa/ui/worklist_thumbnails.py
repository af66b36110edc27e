"""Thumbnails made in a worker for the rows on the screen, and kept for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QImage, QPixmap

from napari_glmedsa.errors import ImageFormatError
from napari_glmedsa.jobs import Job, JobQueue
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.worklist import Entry
from napari_glmedsa.worklist.thumbnail import read_thumbnail

SIDE = 52
"""Pixels of the longer side in the list."""
KEPT = 400
"""Thumbnails in memory: 17 MB."""
WAITING = 40
"""Wanted thumbnails that are remembered: about what two screens show."""

_KEY = "thumbnails"
_SHARPNESS = 2  # pixels decoded per pixel shown: sharp on HiDPI


class Thumbnails(QObject):
    """Gives the thumbnail of a photograph now, or has it made.

    The newest wish is granted first, and the oldest are forgotten: who scrolls through
    ten thousand photographs does not wait for those that went by.

    Parameters
    ----------
    parent : QObject
        It ends with that.
    """

    ready = Signal()
    """A thumbnail has been made, or cannot be."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._jobs, self._main_thread = JobQueue((_KEY,)), MainThread(self)
        self._made: OrderedDict[tuple[str, float], QPixmap | None] = OrderedDict()
        self._wanted: deque[Entry] = deque(maxlen=WAITING)
        self._lock = threading.Lock()
        self._busy = False

    def __len__(self) -> int:
        return len(self._made)

    def get(self, entry: Entry) -> QPixmap | None:
        """Return the thumbnail, None if there is none yet or never will be."""
        name = _name(entry)
        if name in self._made:
            self._made.move_to_end(name)
            return self._made[name]
        with self._lock:
            if entry not in self._wanted:
                self._wanted.append(entry)
            if not self._busy:
                self._busy = True
                self._jobs.submit(
                    _KEY, self._make, on_done=_done, on_error=self._on_error
                )
        return None

    def is_broken(self, entry: Entry) -> bool:
        """Say whether the file turned out not to be readable."""
        name = _name(entry)
        return name in self._made and self._made[name] is None

    def close(self) -> None:
        """Make no more of them."""
        self._jobs.close()

    def _make(self, job: Job) -> None:
        while True:
            job.raise_if_cancelled()
            with self._lock:
                if not self._wanted:
                    self._busy = False
                    return
                entry = self._wanted.pop()
            try:
                picture = read_thumbnail(entry.path, SIDE * _SHARPNESS)
            except ImageFormatError:
                picture = None
            self._main_thread.wrap(self._keep)(_name(entry), picture)

    def _keep(self, name: tuple[str, float], picture: NDArray[np.uint8] | None) -> None:
        self._made[name] = None if picture is None else _pixmap(picture)
        while len(self._made) > KEPT:
            self._made.popitem(last=False)
        self.ready.emit()

    def _on_error(self, error: Exception) -> None:
        self._busy = False

        def raise_it() -> None:
            raise error

        self._main_thread.call(raise_it)  # a bug: napari shows its traceback


def _name(entry: Entry) -> tuple[str, float]:
    return str(entry.path), entry.modified


def _done(_: object) -> None:
    pass


def _pixmap(picture: NDArray[np.uint8]) -> QPixmap:
    pixels, (height, width) = picture.tobytes(), picture.shape[:2]
    image = QImage(pixels, width, height, 3 * width, QImage.Format.Format_RGB888)
    pixmap = QPixmap.fromImage(image)
    pixmap.setDevicePixelRatio(_SHARPNESS)
    return pixmap
