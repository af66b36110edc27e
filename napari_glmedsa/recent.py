"""The annotation projects that were used last, and who annotates."""

import getpass
import logging
from pathlib import Path
from typing import Any

from napari_glmedsa.files import read_json, write_json

logger = logging.getLogger(__name__)

MAX_RECENT = 8
"""As many as a menu can show at a glance."""


class RecentProjects:
    """What the docks remember over restarts, in ``recent.json`` of a registry root.

    Every call reads or writes the file, so that two docks agree. Remembering is a
    convenience: a damaged file counts as empty, and one that cannot be written is a
    warning in the log.

    Parameters
    ----------
    root
        The registry root; made when there is something to remember.
    """

    def __init__(self, root: Path) -> None:
        self._file = root / "recent.json"

    def paths(self) -> tuple[Path, ...]:
        """Return the folders of projects, the newest first; some may be gone."""
        paths = self._read().get("projects")
        known = paths if isinstance(paths, list) else []
        return tuple(Path(path) for path in known if isinstance(path, str))

    def latest(self) -> Path | None:
        """Return the project used last, if any."""
        return next(iter(self.paths()), None)

    def current(self) -> Path | None:
        """Return the project that accepted masks go into, None if nowhere."""
        return self.latest() if self._read().get("in_use", True) else None

    def add(self, path: Path) -> None:
        """Remember a project as the one that was used last and is in use."""
        path = path.absolute()
        others = [known for known in self.paths() if known != path]
        newest = [str(known) for known in (path, *others)][:MAX_RECENT]
        self._update(projects=newest, in_use=True)

    def lay_aside(self) -> None:
        """Remember that no project is in use now; `latest` stays."""
        self._update(in_use=False)

    def annotator(self) -> str:
        """Return who annotates: the name that was set, else the system's user name."""
        name = self._read().get("annotator")
        if isinstance(name, str) and name:
            return name
        try:
            return getpass.getuser()
        except (OSError, KeyError, ImportError):  # no such user, or no such notion
            return ""

    def set_annotator(self, name: str) -> None:
        """Remember who annotates; an empty name means the system's user name."""
        self._update(annotator=name.strip())

    def _read(self) -> dict[str, Any]:
        try:
            document = read_json(self._file)
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def _update(self, **changes: Any) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._file, {**self._read(), **changes})
        except OSError as error:
            logger.warning("%s cannot be written (%s)", self._file, error)
