"""The records of a journal: states and steps as bytes, and what they tell when read."""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.errors import ProjectError, ProjectVersionError
from napari_glmedsa.history import History, Patch, Sheet, Step
from napari_glmedsa.history.step import StepPacker

JOURNAL_VERSION = 1
"""Format of a journal; a newer one is refused."""

_MAGIC = b"GLMJRNL\n"
_FRAME = struct.Struct("<II")  # bytes and CRC-32 of a record
_HEADER, _START, _STEP, _AMEND, _UNDO, _REDO, _SAVED = b"HBSAURN"
_MAX_PIXELS = 1 << 31


@dataclass(frozen=True, eq=False)
class Restored:
    """What a journal tells of an image.

    Parameters
    ----------
    label_map
        (H, W) uint16, as it was last.
    sheet
        What else was known then.
    history
        The steps that led there, and those that were taken back.
    annotation
        SHA-256 of the accepted mask's file in the project, as far as the journal's
        writer knew; None if there was none.
    is_damaged
        Whether more was written that cannot be read.
    """

    label_map: NDArray[np.uint16]
    sheet: Sheet
    history: History
    annotation: str | None = None
    is_damaged: bool = False


class JournalWriter:
    """Makes the bytes of a journal, record by record."""

    def __init__(self, packer: StepPacker | None = None) -> None:
        self._packer = packer or StepPacker()

    def beginning(
        self,
        image_id: str,
        label_map: NDArray[np.uint16],
        sheet: Sheet,
        *,
        history: History,
        annotation: str | None,
    ) -> bytes:
        """Return a journal up to now; see `Journal.start`."""
        header = {
            "schema_version": JOURNAL_VERSION,
            "image": image_id,
            "size": list(label_map.shape),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "annotation": annotation,
        }
        nothing = np.broadcast_to(np.uint16(0), label_map.shape)  # takes no memory
        patch = Patch.between(nothing, label_map)
        start = self._packer.pack(Step("start", sheet, sheet, patch))
        left = len(history) - history.position
        return b"".join(
            [
                _MAGIC + _record(_HEADER, json.dumps(header).encode()),
                _record(_START, start),
                *(self.step(step) for step in history.steps),
                *(self.undo() for _ in range(left)),
            ]
        )

    def step(self, step: Step) -> bytes:
        """Return the record of a new step."""
        return _record(_STEP, self._packer.pack(step))

    def amend(self, step: Step) -> bytes:
        """Return the record of what joined the latest step."""
        return _record(_AMEND, self._packer.pack(step))

    def undo(self) -> bytes:
        """Return the record of a step taken back."""
        return _record(_UNDO)

    def redo(self) -> bytes:
        """Return the record of a step made again."""
        return _record(_REDO)

    def saved(self, annotation: str | None) -> bytes:
        """Return the record of a new accepted mask in the project."""
        return _record(_SAVED, json.dumps(annotation).encode())


@dataclass(frozen=True, eq=False)
class Reading:
    """What was read of a journal, and how it can be gone on with."""

    restored: Restored
    length: int
    """Bytes up to the end of the last record that could be read."""
    writer: JournalWriter


def read_journal(
    data: bytes, image_id: str, *, size: tuple[int, int] | None = None
) -> Reading:
    """Return what a journal tells, up to where it can be read.

    Parameters
    ----------
    data
        The file.
    image_id
        The image it should be about.
    size : (H, W), optional
        Of that image.

    Raises
    ------
    ProjectError
        If its beginning cannot be read, or it is about another image.
    ProjectVersionError
        If a newer version of this program has written it.
    """
    records = _records(data)
    found, annotation = _read_header(next(records, None), image_id, size=size)
    replay = _Replay(found, annotation)
    kind, payload, length = next(records, (0, b"", 0))
    try:
        if kind != _START:
            raise ValueError("there is no state to start from")
        replay.start(payload)
    except ValueError as error:
        raise _damaged(image_id) from error
    is_damaged = False
    for kind, payload, end in records:
        try:
            replay.take(kind, payload)
        except ValueError:
            is_damaged = True
            break
        length = end
    # The end of a record that was being written is missing; all else is damage.
    is_damaged = is_damaged or not _is_torn(data[length:])
    return Reading(replay.result(is_damaged), length, JournalWriter(replay.packer))


class _Replay:
    """Does again what the records say."""

    def __init__(self, size: tuple[int, int], annotation: str | None) -> None:
        self.packer = StepPacker()
        self._label_map = np.zeros(size, np.uint16)
        self._sheet = Sheet()
        self._history = History()
        self._annotation = annotation

    def start(self, payload: bytes) -> None:
        self._do(self._unpacked(payload))

    def take(self, kind: int, payload: bytes) -> None:
        """Do one record again; raises ValueError if it makes no sense."""
        if kind == _STEP:
            step = self._unpacked(payload)
            self._do(step)
            self._history.record(step)
        elif kind == _AMEND:
            step = self._unpacked(payload)
            self._do(step)
            self._history.amend(step)
        elif kind == _REDO and (again := self._history.redo()):
            self._do(again)
        elif kind == _UNDO and (undone := self._history.undo()):
            self._sheet = undone.before
            if undone.patch:
                undone.patch.revert(self._label_map)
        elif kind == _SAVED:
            self._annotation = _text_or_none(json.loads(payload))
        else:
            raise ValueError("a record makes no sense here")

    def result(self, is_damaged: bool) -> Restored:
        return Restored(
            self._label_map,
            self._sheet,
            self._history,
            self._annotation,
            is_damaged,
        )

    def _unpacked(self, payload: bytes) -> Step:
        step = self.packer.unpack(payload)
        height, width = self._label_map.shape
        if step.patch and not step.patch.fits((height, width)):
            raise ValueError("a patch lies outside of the image")
        return step

    def _do(self, step: Step) -> None:
        self._sheet = step.after
        if step.patch:
            step.patch.apply(self._label_map)


def _record(kind: int, payload: bytes = b"") -> bytes:
    body = bytes([kind]) + payload
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def _records(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield kind, payload and end of every record, up to one that is not whole."""
    if not data.startswith(_MAGIC):
        return
    position = len(_MAGIC)
    while position + _FRAME.size < len(data):
        length, checksum = _FRAME.unpack_from(data, position)
        start = position + _FRAME.size
        position = start + length
        body = data[start:position]
        if not body or len(body) < length or zlib.crc32(body) != checksum:
            return
        yield body[0], body[1:], position


def _is_torn(rest: bytes) -> bool:
    """Whether these bytes are the beginning of one record, or nothing."""
    if len(rest) < _FRAME.size:
        return True
    return len(rest) < _FRAME.size + int(_FRAME.unpack_from(rest)[0])


def _read_header(
    record: tuple[int, bytes, int] | None,
    image_id: str,
    *,
    size: tuple[int, int] | None,
) -> tuple[tuple[int, int], str | None]:
    try:
        if record is None or record[0] != _HEADER:
            raise ValueError("there is no header")
        header: dict[str, Any] = json.loads(record[1])
        version, about = int(header["schema_version"]), str(header["image"])
        if version <= JOURNAL_VERSION:
            height, width = map(int, header["size"])
            annotation = _text_or_none(header["annotation"])
            if min(height, width) < 1 or height * width > _MAX_PIXELS:
                raise ValueError("there is no image of that size")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(image_id) from error
    if version > JOURNAL_VERSION:
        raise ProjectVersionError(
            f"The unfinished work on image {image_id} has format {version}, but this"
            f" program knows formats up to {JOURNAL_VERSION}; update napari-glmedsa to"
            " go on with it."
        )
    if about != image_id:
        raise ProjectError(
            f"The unfinished work on image {image_id} is about another image,"
            f" {about}; it is not used."
        )
    if size is not None and (height, width) != size:
        raise ProjectError(
            f"The unfinished work on image {image_id} is {width} x {height} pixels but"
            f" the image is {size[1]} x {size[0]}; it is not used."
        )
    return (height, width), annotation


def _damaged(image_id: str) -> ProjectError:
    return ProjectError(
        f"The unfinished work on image {image_id} is damaged at its beginning; go on"
        " from the accepted mask."
    )


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
