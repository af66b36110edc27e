"""Where somebody was in which worklist, remembered over restarts."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_glmedsa.files import NONSENSE, read_json, write_json
from napari_glmedsa.worklist.entries import Order, Shown

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where somebody was.

    Parameters
    ----------
    folder
        Of the photographs, or of the project.
    key
        Of the photograph; empty if none was open.
    order
        By what the list was sorted.
    shown
        Which photographs it showed.
    """

    folder: Path
    key: str = ""
    order: Order = Order.NAME
    shown: Shown = Shown.TO_DO


class LastWorklist:
    """The bookmark of this user on this computer: ``worklist.json`` of a registry root.

    A convenience: a damaged file counts as none, and one that cannot be written is a
    warning in the log.

    Parameters
    ----------
    root : Path
        The registry root.
    """

    def __init__(self, root: Path) -> None:
        self._file = root / "worklist.json"

    def read(self) -> Bookmark | None:
        """Return the bookmark, if there is one."""
        try:
            document = read_json(self._file)
            return Bookmark(
                Path(document["folder"]),
                key=str(document.get("key", "")),
                order=Order(document.get("order", Order.NAME)),
                shown=Shown(document.get("shown", Shown.TO_DO)),
            )
        except (OSError, *NONSENSE):
            return None

    def write(self, bookmark: Bookmark) -> None:
        """Keep a bookmark in place of the one before."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._file, asdict(bookmark) | {"folder": str(bookmark.folder)})
        except OSError as error:
            logger.warning("%s cannot be written (%s)", self._file, error)
