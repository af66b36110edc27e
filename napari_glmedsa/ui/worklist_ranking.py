"""`glmedsa project rank` as a child process of the dock, which gives way to clicks."""

from __future__ import annotations

import sys
from pathlib import Path

from qtpy.QtCore import (  # type: ignore[attr-defined]
    QObject,
    QProcess,
    QProcessEnvironment,
    QTimer,
    Signal,
)

LOOK_INTERVAL = 2000
"""Milliseconds between two looks at what the process has found out."""

_PATIENCE = 3000  # milliseconds for a process to end by itself


class Ranking(QObject):
    """Asks a model about every photograph of a worklist, in a process of its own.

    What it finds out, it writes into the project photograph by photograph, so it can
    be ended at any moment and goes on where it was.

    Parameters
    ----------
    parent : QObject
        The process ends with that.
    """

    progressed = Signal()
    """It is time to look at the project again."""
    ended = Signal(str)
    """It is over; what went wrong, or nothing."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None
        self._cancelled = False
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_INTERVAL)
        self._timer.timeout.connect(self.progressed.emit)

    @property
    def is_running(self) -> bool:
        """Whether a process is at work."""
        return self._process is not None

    def start(self, folder: Path, *, root: Path) -> None:
        """Rank a folder, unless one is being ranked.

        Parameters
        ----------
        folder : Path
            Of the photographs or the project.
        root : Path
            The registry root, whose active model is asked.
        """
        if self._process is not None:
            return
        self._cancelled = False
        process = self._process = QProcess(self)
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("NAPARI_GLMEDSA_HOME", str(root))
        environment.insert("OMP_WAIT_POLICY", "PASSIVE")  # or waiting eats a core
        process.setProcessEnvironment(environment)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        command = ["-m", "napari_glmedsa", "project", "rank", str(folder)]
        process.start(sys.executable, [*command, "--gently", "--model", "active"])
        self._timer.start()

    def cancel(self) -> None:
        """End it; what was found out stays."""
        if self._process is not None:
            self._cancelled = True
            self._process.kill()

    def close(self) -> None:
        """End it without a word, and wait until it is gone."""
        process, self._process = self._process, None
        self._timer.stop()
        if process is not None:
            process.finished.disconnect(self._on_finished)
            process.errorOccurred.disconnect(self._on_error)
            process.kill()
            process.waitForFinished(_PATIENCE)

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._end("Python could not be started to rank the photographs.")

    def _on_finished(self, code: int, *_: object) -> None:
        process = self._process
        if process is None:
            return
        said = bytes(process.readAllStandardError().data()).decode(errors="replace")
        sentences = [
            line.removeprefix("glmedsa: ")
            for line in said.splitlines()
            if line.startswith("glmedsa: ")
        ]
        problem = ""
        if code != 0 and not self._cancelled:
            problem = (
                sentences[-1]
                if sentences
                else f"Ranking ended early (exit code {code}); start it again."
            )
        self._end(problem)

    def _end(self, problem: str) -> None:
        process, self._process = self._process, None
        self._timer.stop()
        if process is not None:
            process.deleteLater()
        self.ended.emit(problem)
