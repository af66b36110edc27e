"""The memory that a container leaves to the processes in it (Linux control groups)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class _Files:
    """Where one version of control groups says what it counts."""

    limit: str
    used: str
    cached: str  # key in memory.stat: what the kernel gives back when asked


_V2 = _Files("memory.max", "memory.current", "inactive_file")
_V1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def container_bytes(root: Path = _ROOT) -> int | None:
    """Return how much memory the limits of control groups leave, None without any.

    Every group from this process's own up to the topmost may have a limit; the
    narrowest counts. Pages of files that can be dropped count as free.

    Parameters
    ----------
    root
        Of the file system, for tests.
    """
    free = [
        left
        for folder, files in _groups(root)
        if (left := _left(folder, files)) is not None
    ]
    return min(free, default=None)


def _groups(root: Path) -> Iterator[tuple[Path, _Files]]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        own = Path(path.lstrip("/"))
        if colon and not controllers:
            top, files = root / "sys/fs/cgroup", _V2
        elif "memory" in controllers.split(","):
            top, files = root / "sys/fs/cgroup/memory", _V1
        else:
            continue
        # A container may see its own group as the topmost, under the outer name.
        for group in (own, *own.parents):
            yield top / group, files


def _left(folder: Path, files: _Files) -> int | None:
    limit, used = _number(folder / files.limit), _number(folder / files.used)
    if limit is None or used is None:
        return None
    return max(0, limit - max(0, used - _cached(folder, files.cached)))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None


def _cached(folder: Path, key: str) -> int:
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.split()[0] == key)
    except (OSError, ValueError, IndexError):
        return 0
