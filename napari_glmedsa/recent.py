"""The annotation projects that were used last, and who annotates."""

import getpass
import logging
from pathlib import Path
from typing import Any

from napari_glmedsa.files import NONSENSE, read_json, write_json

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

    def saves_into(self) -> Path | None:
        """Return the project that accepted masks go into, None if nowhere.

        As long as nobody has said so, it is the latest.
        """
        document = self._read()
        if "saves_into" not in document:
            return self.latest()
        path = document["saves_into"]
        return Path(path) if isinstance(path, str) else None

    def add(self, path: Path) -> None:
        """Remember a project as the one that was used last."""
        self._update(projects=self._with(path))

    def save_into(self, path: Path | None) -> None:
        """Remember where accepted masks go from now on; None is nowhere."""
        if path is None:
            self._update(saves_into=None)
        else:
            here = str(path.absolute())
            self._update(projects=self._with(path), saves_into=here)

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

    def _with(self, path: Path) -> list[str]:
        path = path.absolute()
        others = [known for known in self.paths() if known != path]
        return [str(known) for known in (path, *others)][:MAX_RECENT]

    def _read(self) -> dict[str, Any]:
        try:
            document = read_json(self._file)
        except (OSError, *NONSENSE):
            return {}
        return document if isinstance(document, dict) else {}

    def _update(self, **changes: Any) -> None:
        before = self._read()
        if (now := {**before, **changes}) == before:
            return  # whoever watches the file is spared the news
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._file, now)
        except OSError as error:
            logger.warning("%s cannot be written (%s)", self._file, error)
