"""Where an export goes: whole or absent, and never over what others put there."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from napari_glmedsa.errors import OutputError
from napari_glmedsa.files import NONSENSE, atomic_write, read_json, write_json

CONTENTS = "export.json"
"""Names, in every exported folder, the files that the export wrote."""


@contextmanager
def whole_folder(output: Path, *, format_name: str, overwrite: bool) -> Iterator[Path]:
    """Yield a new folder beside `output` to fill; it becomes `output` at the end.

    Parameters
    ----------
    output : Path
        A new or an empty folder; its parents are made.
    format_name : str
        Kept in the folder's `export.json`.
    overwrite : bool
        Whether a former export may be replaced. A folder that holds anything else is
        never touched.

    Raises
    ------
    OutputError
        If it may not, or if there is no room or permission. What was there stays.
    """
    check_folder(output, overwrite=overwrite)
    place = _real(output)  # a link stays, and what it leads to is replaced
    partial = place.with_name(f".{uuid4().hex}.partial")
    with _saying_why(output):
        place.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        try:
            yield partial
            document = {"format": format_name, "files": sorted(_files_in(partial))}
            write_json(partial / CONTENTS, document)
            _put(partial, place, overwrite=overwrite)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def whole_file(output: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a sibling of `output` to write to; it becomes `output` at the end.

    Raises
    ------
    OutputError
        If `output` is there and may not be replaced, or cannot be written.
    """
    check_file(output, overwrite=overwrite)
    with _saying_why(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(output) as partial:
            yield partial
            check_file(output, overwrite=overwrite)  # it may have come meanwhile


def is_inside(path: Path, folder: Path) -> bool:
    """Say whether a path is a folder, or leads to somewhere in it."""
    with _saying_why(path):
        return _real(path).is_relative_to(_real(folder))


def check_folder(output: Path, *, overwrite: bool) -> None:
    """Raise OutputError if an export may not become this folder."""
    with _saying_why(output):
        if not output.exists():
            return
        if not output.is_dir():
            raise OutputError(f"{output} is a file; name a new folder.")
        if output.samefile(Path.cwd()):
            raise OutputError(
                f"{output} is the folder that you are in, which an export would"
                " replace; name a new folder in it."
            )
        first = next(output.iterdir(), None)
        if first is None:
            return
        is_ours = (output / CONTENTS).is_file()  # else it is not worth a long look
        there = _files_in(output) if is_ours else {first.name}
    ours = _written_by_export(output)
    if not there <= ours:
        raise OutputError(
            f"{output} holds other files than a former export, such as"
            f" {min(there - ours)}; name a new folder."
        )
    if not overwrite:
        raise OutputError(
            f"{output} holds an export already; name a new folder, or ask to overwrite"
            " it."
        )


def check_file(output: Path, *, overwrite: bool) -> None:
    """Raise OutputError if an export may not become this file."""
    with _saying_why(output):
        is_folder, is_there = output.is_dir(), output.exists()
    if is_folder:
        raise OutputError(f"{output} is a folder; name a file.")
    if is_there and not overwrite:
        raise OutputError(
            f"{output} is there already; name another file, or ask to overwrite it."
        )


def _put(partial: Path, output: Path, *, overwrite: bool) -> None:
    check_folder(output, overwrite=overwrite)  # it may have been filled meanwhile
    if not output.exists():
        partial.rename(output)
        return
    former = output.with_name(f".{uuid4().hex}.former")
    output.rename(former)
    try:
        partial.rename(output)
    except OSError:
        former.rename(output)
        raise
    shutil.rmtree(former, ignore_errors=True)


def _real(path: Path) -> Path:
    """Return where a path leads to; `Path.resolve` fails where links go in circles."""
    return Path(os.path.realpath(path))


def _files_in(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not path.is_dir()
    }


def _written_by_export(folder: Path) -> set[str]:
    try:
        return {CONTENTS, *map(str, read_json(folder / CONTENTS)["files"])}
    except (OSError, *NONSENSE):
        return set()


@contextmanager
def _saying_why(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cause = _of_the_system(error)
        if isinstance(error, OutputError) and cause is None:
            raise
        remedy = "choose a place that you may write to"
        if cause is not None and cause.errno in {errno.ENOSPC, errno.EDQUOT}:
            remedy = "make room there, or choose another place"
        why = "it is not known why" if cause is None else cause.strerror
        raise OutputError(f"{output} cannot be written ({why}); {remedy}.") from error


def _of_the_system(error: BaseException | None) -> OSError | None:
    """Return what the system said, which libraries and we ourselves wrap in words."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error
        error = error.__cause__ or error.__context__
    return None
