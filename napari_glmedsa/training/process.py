"""The process of a run: started to outlive us, and never mistaken for another."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil  # type: ignore[import-untyped]
from filelock import FileLock, Timeout

from napari_glmedsa.errors import TrainingError
from napari_glmedsa.files import read_json, write_json

_NICER, _NICEST = 10, 19


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process that a recycled number is not mistaken for.

    Parameters
    ----------
    host
        Name of the computer.
    pid
        Its number there.
    born
        When it started, in the words of the operating system.
    """

    host: str
    pid: int
    born: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """Name a process of this computer; one that is gone was born ``""``."""
        return cls(socket.gethostname(), pid, _born(pid))

    @property
    def is_here(self) -> bool:
        """Whether it belongs to this computer."""
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether this very process runs on this computer now."""
        return self.is_here and bool(self.born) and _born(self.pid) == self.born

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`; raises LookupError or TypeError if it is not one."""
        return cls(document["host"], document["pid"], document["born"])

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read `to_json` from a file; None if there is none, or something else."""
        try:
            return cls.from_json(read_json(path))
        except (OSError, ValueError, LookupError, TypeError):
            return None


def memory_bytes() -> int:
    """Return how much memory this process has."""
    return int(psutil.Process().memory_info().rss)


def start_detached(arguments: Sequence[str], log: Path) -> ProcessId:
    """Start ``glmedsa`` with these arguments so that our end is not its end.

    It gets a lower priority than ours: whoever starts it goes on working meanwhile.

    Parameters
    ----------
    arguments
        Of the command line.
    log
        Gets what the process prints, at its end.

    Raises
    ------
    OSError
        If the process or its log cannot be made.
    """
    with log.open("ab") as output:
        # -P: a module in the folder that napari was started in must not hide ours
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "napari_glmedsa", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=sys.platform != "win32",
            creationflags=_window_flags(),
        )
    _lower_priority(process.pid)
    started = ProcessId.of(process.pid)
    # Somebody must take note of its death, or it stays on as a zombie.
    threading.Thread(target=process.wait, name="reaper", daemon=True).start()
    return started


@contextmanager
def only_run(runs_folder: Path, run: str) -> Iterator[None]:
    """Hold a project's lock while one of its runs is at work.

    The operating system holds it, so it ends with the process however that ends.

    Raises
    ------
    TrainingError
        Names the run that is at work already.
    """
    holder = runs_folder / "active.json"
    lock = FileLock(runs_folder / "active.lock", blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise second_run(_name_in(holder)) from error
    try:
        me = ProcessId.of(psutil.Process().pid)
        write_json(holder, {"run": run, **me.to_json()})
        yield
        holder.unlink(missing_ok=True)
    finally:
        lock.release()


def second_run(running: str) -> TrainingError:
    """Return the error for a run that would be the second of its project."""
    return TrainingError(
        f"The run {running} of this project is at work; wait for its end, or pause or "
        "cancel it first."
    )


def _name_in(holder: Path) -> str:
    try:
        return str(read_json(holder)["run"])
    except (OSError, ValueError, LookupError, TypeError):
        return "that started a moment ago"


def _window_flags() -> int:
    if sys.platform != "win32":
        return 0
    return (
        subprocess.CREATE_NEW_PROCESS_GROUP
        | subprocess.CREATE_NO_WINDOW
        | subprocess.BELOW_NORMAL_PRIORITY_CLASS
    )


def _lower_priority(pid: int) -> None:
    """Let a process that has just started, and its threads to come, make way."""
    if sys.platform != "win32":  # there the flags have said it
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        with suppress(OSError):  # it may be gone; it is no reason not to train
            os.setpriority(os.PRIO_PROCESS, pid, min(ours + _NICER, _NICEST))


def _born(pid: int) -> str:
    """Return when a process started; ``""`` if there is none that still works."""
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return ""
        if psutil.LINUX:  # in ticks since boot: the wall clock may be set in between
            stat = Path(f"/proc/{pid}/stat").read_text()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            return f"{boot}/{stat.rpartition(')')[2].split()[19]}"
        return str(process.create_time())
    except (psutil.Error, OSError, ValueError):
        return ""
