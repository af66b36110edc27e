"""How far a run is: one small file that its process rewrites as long as it lives."""

import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, get_args

from napari_glmedsa.errors import TrainingError
from napari_glmedsa.files import read_json, write_json
from napari_glmedsa.process_id import ProcessId
from napari_glmedsa.registry import ModelSpec
from napari_glmedsa.training.process import memory_bytes

RunState = Literal[
    "queued", "running", "paused", "finished", "cancelled", "failed", "lost"
]

HEARTBEAT_SECONDS = 2.0
"""How often a living run writes its status, also within a long step."""

_LEAST_SECONDS_BETWEEN = 0.25
_RESERVED = 1 << 16
_QUOTED = 400  # bytes of a log's end
_STALE_SECONDS = 60.0  # of a process on another computer, where no pid can be asked

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What a run says about itself.

    Parameters
    ----------
    state
        ``lost``: it was running or about to, and its process is gone.
    epoch, n_epochs, step, n_steps
        How far, counted from 1 over the whole run; 0 before the first.
    message
        One sentence: what it does, or why it ended.
    pid
        Its process, 0 if there was none yet.
    heartbeat
        When it last wrote, UTC, ISO 8601.
    seconds, eta_seconds
        Time worked, pauses left out, and the guess at what remains.
    best_epoch, best_dice
        The best validation so far.
    memory_bytes
        Memory of the process, and of the GPU if it has one.
    host, born
        With `pid`, the `ProcessId`.
    model
        The new model, as ``str(ModelSpec)``, once it is registered.
    """

    state: RunState = "queued"
    epoch: int = 0
    n_epochs: int = 0
    step: int = 0
    n_steps: int = 0
    message: str = ""
    pid: int = 0
    heartbeat: str = ""
    seconds: float = 0.0
    eta_seconds: float | None = None
    best_epoch: int | None = None
    best_dice: float | None = None
    memory_bytes: int = 0
    host: str = ""
    born: str = ""
    model: str = ""

    @property
    def process(self) -> ProcessId:
        """The process that wrote it."""
        return ProcessId(self.host, self.pid, self.born)

    @property
    def is_active(self) -> bool:
        """Whether a process works on it, or will."""
        return self.state in ("queued", "running")

    @property
    def is_at_work(self) -> bool:
        """Whether a process works on it."""
        return self.is_active and self.pid > 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ("finished", "cancelled")

    @property
    def adapter(self) -> str | None:
        """The new adapter's name in the registry; None before, or if it is a base."""
        return ModelSpec.parse(self.model).adapter if self.model else None

    @property
    def can_resume(self) -> bool:
        """Whether `TrainingRun.resume` would go on."""
        is_waiting = self.state == "queued" and not self.pid
        return is_waiting or self.state in ("paused", "lost", "failed")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`; fields of a newer version are passed over."""
        known = {field.name for field in fields(cls)}
        status = cls(**{key: document[key] for key in known & document.keys()})
        if status.state not in get_args(RunState):
            raise ValueError(f"{status.state!r} is not a state of a run.")
        return status


def read_status(
    path: Path, *, launched: ProcessId | None = None, log: Path | None = None
) -> RunStatus:
    """Read a status file and find out whether its process is still there.

    Parameters
    ----------
    path
        The status file.
    launched
        The process that was started for it and may not have said anything yet.
    log
        What its process printed; the last line is quoted if it has vanished.

    Raises
    ------
    TrainingError
        If there is no readable status.
    """
    try:
        status = RunStatus.from_json(read_json(path))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise TrainingError(
            f"The status of the run {path.parent.name} cannot be read ({error}); "
            "delete the run's folder if it was never started."
        ) from error
    if launched and status.state == "queued":
        status = replace(
            status, pid=launched.pid, host=launched.host, born=launched.born
        )
    if status.is_active and status.pid and not _works(status):
        return replace(
            status,
            state="lost",
            eta_seconds=None,
            message="The run's process has ended without a word; resume it to go on "
            f"from the last checkpoint.{_quoted(log)}",
        )
    if status.state == "queued" and not status.pid:
        return replace(status, message="It has not begun; resume it to start it.")
    return status


class StatusWriter:
    """Keeps a run's status file fresh from a thread of its own.

    Parameters
    ----------
    path
        The status file.
    status
        To start from; process and time are filled in.
    seconds_between
        Time between two heartbeats.
    """

    def __init__(
        self,
        path: Path,
        status: RunStatus,
        *,
        seconds_between: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._worked_before = status.seconds
        self._started = self._written = time.monotonic()
        me = ProcessId.of(os.getpid())
        self._status = replace(status, pid=me.pid, host=me.host, born=me.born)
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._beat, args=(seconds_between,), name="heartbeat", daemon=True
        )
        # On a full disk there is still room for the last word.
        self._reserve = path.with_name("reserve")
        self._reserve.write_bytes(bytes(_RESERVED))
        self.write()
        self._thread.start()

    @property
    def status(self) -> RunStatus:
        """What was last said."""
        return self._status

    def update(self, **changes: Any) -> None:
        """Change fields; they are written now or, if that was just done, soon."""
        with self._lock:
            self._status = replace(self._status, **changes)
            is_due = time.monotonic() - self._written > _LEAST_SECONDS_BETWEEN
        if is_due:
            self.write()

    def write(self) -> None:
        """Write what was said."""
        with self._lock:
            self._written = time.monotonic()
            self._status = replace(
                self._status,
                heartbeat=datetime.now(UTC).isoformat(timespec="milliseconds"),
                seconds=self._worked_before + time.monotonic() - self._started,
                memory_bytes=memory_bytes(),
            )
            write_json(self._path, self._status.to_json())

    def close(self, **changes: Any) -> None:
        """Stop the heartbeat and write the last word; a second call does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join()
        self._reserve.unlink(missing_ok=True)
        self._status = replace(self._status, eta_seconds=None, **changes)
        self.write()

    def _beat(self, seconds_between: float) -> None:
        while not self._closing.wait(seconds_between):
            try:
                self.write()
            except OSError as error:  # a full disk must not end the heart
                logger.warning("The status was not written: %s", error)


def _quoted(log: Path | None) -> str:
    """Return a sentence with the last line of a log, nothing if it has none."""
    try:
        lines = log.read_bytes()[-_QUOTED:].split(b"\n") if log else []
    except OSError:
        lines = []
    words = [line.decode(errors="replace").strip() for line in lines]
    last = next((line for line in reversed(words) if line), "")
    return f" Its log ends with: {last}" if last else ""


def _works(status: RunStatus) -> bool:
    if status.process.is_here:
        return status.process.alive
    try:
        silent = datetime.now(UTC) - datetime.fromisoformat(status.heartbeat)
    except (ValueError, TypeError):
        return False
    return silent.total_seconds() < _STALE_SECONDS
