"""What is done to one image, written down as it happens: a killed program loses none.

A journal is one file: a header, the state before the first step, then every step, undo
and redo as a record. A record is written by one call: if the program dies, it is there
or torn, and what is torn is cut off.
"""

import os
import threading
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.errors import OutputError, ProjectError, ProjectVersionError
from napari_glmedsa.files import atomic_write
from napari_glmedsa.history import History, Sheet, Step
from napari_glmedsa.project.records import JournalWriter, Restored, read_journal

_BINARY = getattr(os, "O_BINARY", 0)  # Windows would change line ends
_LEFT_OVER = 3600.0  # seconds after which nobody works on a partial file any more


class Journal:
    """The journal of one image; nothing is written before `start` or `resume`.

    Several threads may use it. Only one program at a time writes it, see `Claim`; if
    another one takes it over, the former notices with its next step.

    Parameters
    ----------
    path : Path
        Its file.
    image_id : str
        The image it is about.
    """

    def __init__(self, path: Path, image_id: str) -> None:
        self.path, self.image_id = path, image_id
        self._lock = threading.RLock()
        self._writer = JournalWriter()
        self._annotation: str | None = None
        self._file: tuple[int, int] | None = None  # which file it is, once it is ours
        self._length = 0
        self._is_open = False

    @property
    def exists(self) -> bool:
        """Whether there is a journal, from before or now."""
        return self.path.exists()

    @property
    def is_open(self) -> bool:
        """Whether steps can be written."""
        return self._is_open

    def start(
        self,
        label_map: NDArray[np.uint16],
        sheet: Sheet,
        history: History | None = None,
    ) -> None:
        """Begin the journal; one from before that was not resumed is put aside.

        Parameters
        ----------
        label_map : ndarray of uint16, shape (H, W)
            As it was before the first step.
        sheet : Sheet
            What else was known then.
        history : History, optional
            Steps that were done since, with those that were taken back.

        Raises
        ------
        OutputError
            If it cannot be written; it may be tried again.
        ProjectError
            If another program has begun one meanwhile, or a newer version of this
            program one before.
        """
        with self._lock:
            writer = JournalWriter()
            data = writer.beginning(
                self.image_id,
                label_map,
                sheet,
                history=history or History(),
                annotation=self._annotation,
            )
            try:
                self.path.parent.mkdir(exist_ok=True)
                self._sweep()
                self._clear_place()
                self._write_whole(data)
            except OSError as error:
                raise self._unwritable(error) from error
            self._writer = writer

    def resume(self, size: tuple[int, int] | None = None) -> Restored:
        """Read the journal and go on writing it.

        What is torn is cut off; if more cannot be read, the whole file is put aside
        first.

        Parameters
        ----------
        size : (H, W), optional
            Of the image that it should be about.

        Raises
        ------
        ProjectError
            If there is none, or it is damaged, or about another image.
        ProjectVersionError
            If a newer version of this program has written it.
        OutputError
            If it cannot be written; `read` still works.
        """
        with self._lock:
            data = self._read_bytes()
            reading = read_journal(data, self.image_id, size=size)
            try:
                if reading.restored.is_damaged:
                    with atomic_write(self._aside()) as partial:
                        partial.write_bytes(data)
                # A new file, so that a program that had the old one notices.
                self._write_whole(data[: reading.length])
            except OSError as error:
                raise self._unwritable(error) from error
            self._writer = reading.writer
            self._annotation = reading.restored.annotation
            return reading.restored

    def read(self, size: tuple[int, int] | None = None) -> Restored:
        """Return what the journal tells, and write nothing; raises as `resume`."""
        return read_journal(self._read_bytes(), self.image_id, size=size).restored

    def step(self, step: Step) -> None:
        """Write down a new step.

        Raises
        ------
        OutputError
            If it cannot be written. The journal is closed then; `start` writes it
            anew, with all steps.
        ProjectError
            If another program has taken the journal over.
        """
        with self._lock:
            self._append(self._writer.step(step))

    def amend(self, step: Step) -> None:
        """Write down what joined the latest step; raises as `step`."""
        with self._lock:
            self._append(self._writer.amend(step))

    def undo(self) -> None:
        """Write down that the latest step was taken back; raises as `step`."""
        with self._lock:
            self._append(self._writer.undo())

    def redo(self) -> None:
        """Write down that it was made again; raises as `step`."""
        with self._lock:
            self._append(self._writer.redo())

    def note_annotation(self, sha256: str | None) -> None:
        """Write down which accepted mask the project has now, None for none.

        So that one that somebody else changed meanwhile is noticed. Before `start` it
        is kept for the header. Raises as `step`.
        """
        with self._lock:
            self._annotation = sha256
            if self._is_open:
                self._append(self._writer.saved(sha256))

    def put_aside(self) -> None:
        """Keep the journal under another name; raises OutputError if that fails."""
        try:
            if self.exists:
                self.path.rename(self._aside())
        except OSError as error:
            raise self._unwritable(error) from error

    def discard(self) -> None:
        """Remove the journal, unless another program has taken it over.

        Raises OutputError if it cannot be removed.
        """
        with self._lock:
            is_ours = self._file is None or self._file == self._file_there()
            self._is_open, self._file = False, None
            try:
                if is_ours:
                    self.path.unlink(missing_ok=True)
            except OSError as error:
                raise self._unwritable(error) from error

    def _append(self, record: bytes) -> None:
        if not self._is_open:
            raise OutputError(
                f"The unfinished work on image {self.image_id} is not being written"
                " down; begin its journal first."
            )
        try:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | _BINARY)
            try:
                self._check_is_ours(os.fstat(file))
                try:
                    _write_all(file, record)
                except OSError:
                    os.ftruncate(file, self._length)
                    raise
            finally:
                os.close(file)
        except OSError as error:
            self._is_open = False
            raise self._unwritable(error) from error
        self._length += len(record)

    def _write_whole(self, data: bytes) -> None:
        with atomic_write(self.path) as partial:
            partial.write_bytes(data)
            there = partial.stat()
        self._file = there.st_dev, there.st_ino
        self._length, self._is_open = len(data), True

    def _check_is_ours(self, there: os.stat_result) -> None:
        file = there.st_dev, there.st_ino
        if file != self._file or there.st_size != self._length:
            self._is_open = False
            raise self._taken_over()

    def _clear_place(self) -> None:
        """Put a journal aside that is not ours to replace."""
        there = self._file_there()
        if there is None or there == self._file:
            return
        if self._file is not None:
            raise self._taken_over()
        try:
            self.read()
        except ProjectVersionError:
            raise
        except ProjectError:
            pass
        self.path.rename(self._aside())

    def _file_there(self) -> tuple[int, int] | None:
        try:
            there = self.path.stat()
        except OSError:
            return None
        return there.st_dev, there.st_ino

    def _aside(self) -> Path:
        return self.path.with_suffix(f".{uuid4().hex[:8]}.aside")

    def _sweep(self) -> None:
        """Remove what killed writers have left unfinished."""
        for path in self.path.parent.glob(".*.partial"):
            if abs(time.time() - path.stat().st_mtime) > _LEFT_OVER:
                path.unlink(missing_ok=True)

    def _read_bytes(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            raise ProjectError(
                f"There is no unfinished work on image {self.image_id}; begin anew."
            ) from None
        except OSError as error:
            raise ProjectError(
                f"{self.path} cannot be read ({error.strerror}); check its permissions."
            ) from error

    def _taken_over(self) -> ProjectError:
        return ProjectError(
            f"Another program has taken over the work on image {self.image_id}, so it"
            " is not written down here any more; save what you need, then open the"
            " image anew."
        )

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            f"What you do is not being written to {self.path.parent}"
            f" ({error.strerror or error}); work goes on, but give the folder room and"
            " permission before you close the program."
        )


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
