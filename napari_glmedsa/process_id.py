"""A process, named so that another one with its number is not mistaken for it."""

import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil  # type: ignore[import-untyped]

from napari_glmedsa.files import read_json


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
