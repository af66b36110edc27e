"""The photographs in a folder and in the folders below, found without opening them."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_glmedsa.errors import ImageFormatError
from napari_glmedsa.images import IMAGE_SUFFIXES
from napari_glmedsa.pairs import MASK_ENDING, OVERLAY_ENDING

_MARKS_OF_OURS = ("project.json", "export.json")
"""Files that tell a project, and a folder that one was exported to."""


@dataclass(frozen=True, slots=True)
class PhotographFile:
    """One file that, by its name, is a photograph.

    Parameters
    ----------
    key
        Its path below the folder, with ``/``.
    path
        The file.
    modified
        When it was last changed, in nanoseconds since 1970.
    n_bytes
        Its size.
    """

    key: str
    path: Path
    modified: int
    n_bytes: int


def find_photographs(
    folder: Path, *, check: Callable[[], None] = lambda: None
) -> tuple[list[PhotographFile], int]:
    """Return the photographs, and how many other files there are.

    Masks and overlays that this program writes beside photographs, hidden files and
    folders, annotation projects and what was exported from them are passed over without
    being counted.

    Parameters
    ----------
    folder
        Where to look. Folders below that cannot be read are passed over.
    check
        Called for every folder; what it raises ends the search.

    Raises
    ------
    ImageFormatError
        If the folder itself cannot be read.
    """
    found: list[PhotographFile] = []
    n_others = 0
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise ImageFormatError(
            f"The folder {folder} cannot be read ({error.strerror}); check its name and"
            " permissions."
        ) from error
    for entry in _files_below(folder, check):
        stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122  (no Path for 10,000)
        if suffix.lower() not in IMAGE_SUFFIXES:
            n_others += 1
        elif not stem.lower().endswith((MASK_ENDING, OVERLAY_ENDING)):
            try:
                status = entry.stat()
            except OSError:  # gone, or a link to nothing
                continue
            path = Path(entry.path)
            key = path.relative_to(folder).as_posix()
            found.append(PhotographFile(key, path, status.st_mtime_ns, status.st_size))
    return found, n_others


def _files_below(
    folder: Path, check: Callable[[], None]
) -> Iterator["os.DirEntry[str]"]:
    waiting = [str(folder)]
    while waiting:
        check()
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                seen = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError:
            continue
        if here != str(folder) and any(entry.name in _MARKS_OF_OURS for entry in seen):
            continue
        below = [entry for entry in seen if entry.is_dir(follow_symlinks=False)]
        waiting.extend(sorted((entry.path for entry in below), reverse=True))
        yield from (entry for entry in seen if entry.is_file())
