"""The process of a run: started to outlive us, and never mistaken for another."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from filelock import FileLock, Timeout

from napari_glmedsa.errors import TrainingError
from napari_glmedsa.files import read_json, write_json
from napari_glmedsa.process_id import ProcessId

_NICER, _NICEST = 10, 19


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
