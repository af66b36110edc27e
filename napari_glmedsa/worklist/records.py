"""What a worklist remembers in its project: small records, written whole or added."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from napari_glmedsa.errors import OutputError
from napari_glmedsa.files import NONSENSE, read_json, write_json
from napari_glmedsa.worklist.uncertainty import SCHEMA_VERSION, Uncertainty

MarkName = Literal["flagged", "skipped"]

_WORDS = ("by", "note", "created")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a person says about a photograph without outlining anything in it."""

    status: MarkName
    by: str = ""
    note: str = ""
    created: str = ""


class WorklistRecords:
    """The folder ``worklist`` of a project.

    Marks are one small file each, so that two people never write the same one for
    different photographs. What a computer can find out again (which image a file
    holds, how uncertain a model is) is added line by line; a line that was cut off is
    passed over.

    Parameters
    ----------
    root : Path
        The project's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root / "worklist"
        self._marks = self._root / "marks"

    def marks(self) -> dict[str, Mark]:
        """Return every mark by the name of its photograph."""
        found = {}
        for path in self._marks.glob("*.json"):
            try:
                document = read_json(path)
                status = document["status"]
                if status in ("flagged", "skipped"):
                    words = (
                        str(document.get(n, "")) for n in ("by", "note", "created")
                    )
                    found[path.stem] = Mark(status, *words)
            except (OSError, *NONSENSE):
                continue  # somebody has edited it; the photograph counts as unmarked
        return found

    def mark(self, name: str, mark: Mark | None) -> None:
        """Keep a mark in place of the one before; None takes it away.

        Raises
        ------
        OutputError
            If the project's folder cannot be written to.
        """
        path = self._marks / f"{name}.json"
        with _explained(self._root):
            if mark is None:
                path.unlink(missing_ok=True)
                return
            self._marks.mkdir(parents=True, exist_ok=True)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            write_json(path, asdict(mark) | {"created": mark.created or now})

    def image_ids(self) -> dict[tuple[str, int, int], str]:
        """Return the image id of every file that was looked at, as it was then."""
        found = {}
        for line in _lines(self._root / "files.jsonl"):
            try:
                key = (str(line["key"]), int(line["modified"]), int(line["n_bytes"]))
                found[key] = str(line["image_id"])
            except NONSENSE:
                continue
        return found

    def add_image_id(self, key: str, state: tuple[int, int], image_id: str) -> None:
        """Remember which image a file holds.

        Parameters
        ----------
        key, state
            The file's name below its folder, and when it was changed (nanoseconds)
            and how large it is.
        image_id
            What the project calls the image.

        Raises
        ------
        OutputError
            If the project's folder cannot be written to.
        """
        modified, n_bytes = state
        facts = {"key": key, "modified": modified, "n_bytes": n_bytes}
        self._add("files.jsonl", facts | {"image_id": image_id})

    def uncertainties(self, model: str) -> dict[str, Uncertainty]:
        """Return what a model thinks of images, by their ids.

        Parameters
        ----------
        model
            Its fingerprint; empty is the model that was asked last.
        """
        path = self._root / _file_of(model) if model else self._latest()
        found: dict[str, Uncertainty] = {}
        for line in _lines(path) if path else ():
            try:
                found[str(line["image_id"])] = Uncertainty.from_json(line)
            except NONSENSE:
                continue
        return found

    def add_uncertainty(self, model: str, image_id: str, found: Uncertainty) -> None:
        """Remember what a model thinks of an image; raises OutputError if it cannot."""
        self._add(_file_of(model), {"image_id": image_id} | found.to_json())

    def _latest(self) -> Path | None:
        files = self._root.glob(f"uncertainty/*-v{SCHEMA_VERSION}.jsonl")
        return max(files, key=lambda path: path.stat().st_mtime_ns, default=None)

    def _add(self, name: str, record: dict[str, Any]) -> None:
        path = self._root / name
        line = f"{json.dumps(record)}\n".encode()
        with _explained(self._root):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab", buffering=0) as stream:
                # A line that a killed program left unfinished must not spoil this one.
                stream.write(line if _ends_whole(path) else b"\n" + line)


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    """Say in one sentence why a project's folder cannot be written to."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{root} cannot be written to ({error.strerror or error}); give it room and"
            " permission, or copy the project to where you may write."
        ) from error


def name_of_file(key: str) -> str:
    """Return what names the mark of a file that is no image of the project yet."""
    return f"file-{hashlib.sha256(os.fsencode(key)).hexdigest()[:16]}"


def _file_of(model: str) -> str:
    digest = hashlib.sha256(model.encode()).hexdigest()[:16]
    return f"uncertainty/{digest}-v{SCHEMA_VERSION}.jsonl"


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as stream:
        if stream.seek(0, 2) == 0:
            return True
        stream.seek(-1, 2)
        return stream.read() == b"\n"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_bytes()
    except OSError:
        return
    for line in text.splitlines():
        try:
            document = json.loads(line)
        except NONSENSE:
            continue
        if isinstance(document, dict):
            yield document
