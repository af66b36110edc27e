"""What changed in a label map, small enough to be kept for every step."""

import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice]
"""Rows and columns of an image."""

_Labels = NDArray[np.uint16]

_RUN = np.dtype(
    [
        *(("row", "<u4"), ("start", "<u4"), ("stop", "<u4")),
        *(("before", "<u2"), ("after", "<u2")),
    ]
)
_Runs = NDArray[np.void]

_HEAD = np.dtype("<u4")
_BAND = 1 << 18  # pixels looked at together: what is made of them fits into a cache
_FAST = 1  # zlib's level


@dataclass(frozen=True, slots=True)
class Patch:
    """Changed pixels of a label map, and what they were before and are after.

    Only pixels that changed are kept, as runs along the rows, and only they are
    written by `apply` and `revert`.

    Parameters
    ----------
    top, left, height, width
        The smallest box with every changed pixel in it.
    runs
        Row, start, stop, before and after of every run, counted within the box, packed.
    """

    top: int
    left: int
    height: int
    width: int
    runs: bytes

    @classmethod
    def between(
        cls, before: _Labels, after: _Labels, *, box: Box | None = None
    ) -> Self | None:
        """Return what has changed, or None if nothing has.

        Parameters
        ----------
        before, after
            (H, W) uint16.
        box
            Nothing has changed outside of it, which saves looking there.
        """
        rows, columns = _inside(box, before.shape)
        found = _find_runs(before[rows, columns], after[rows, columns])
        if not len(found):
            return None
        top, bottom = int(found["row"].min()), int(found["row"].max()) + 1
        left, right = int(found["start"].min()), int(found["stop"].max())
        found["row"] -= top
        found["start"] -= left
        found["stop"] -= left
        return cls(
            rows.start + top,
            columns.start + left,
            bottom - top,
            right - left,
            zlib.compress(found.tobytes(), _FAST),
        )

    @property
    def box(self) -> Box:
        """Rows and columns of the image with every changed pixel in them."""
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )

    def apply(self, label_map: _Labels) -> Box:
        """Make the change in a label map (H, W) uint16, in place; return where."""
        return self._write(label_map, "after")

    def revert(self, label_map: _Labels) -> Box:
        """Take the change back in a label map (H, W) uint16, in place; return where."""
        return self._write(label_map, "before")

    def then(self, later: "Patch") -> "Patch | None":
        """Return this change and a later one as one; None if together they are none."""
        top, left = min(self.top, later.top), min(self.left, later.left)
        bottom = max(self.top + self.height, later.top + later.height)
        right = max(self.left + self.width, later.left + later.width)
        before = np.zeros((bottom - top, right - left), np.uint16)
        first, second = self._moved(-top, -left), later._moved(-top, -left)
        second.revert(before)
        first.revert(before)  # what the first has changed was not yet the second's
        after = before.copy()
        first.apply(after)
        second.apply(after)
        both = Patch.between(before, after)
        return both and both._moved(top, left)

    def to_bytes(self) -> bytes:
        """Return the patch as bytes."""
        head = np.array([self.top, self.left, self.height, self.width], _HEAD)
        return head.tobytes() + self.runs

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises
        ------
        ValueError
            If it did not write this.
        """
        length = 4 * _HEAD.itemsize
        top, left, height, width = np.frombuffer(data[:length], _HEAD).tolist()
        patch = cls(top, left, height, width, data[length:])
        runs = patch._unpacked()
        if len(runs) and (
            runs["row"].max() >= height
            or runs["stop"].max() > width
            or (runs["start"] >= runs["stop"]).any()
        ):
            raise ValueError("a run lies outside of its box")
        return patch

    def fits(self, size: tuple[int, int]) -> bool:
        """Whether the box is inside a label map (H, W)."""
        return self.top + self.height <= size[0] and self.left + self.width <= size[1]

    def _moved(self, down: int, right: int) -> "Patch":
        top, left = self.top + down, self.left + right
        return Patch(top, left, self.height, self.width, self.runs)

    def _write(self, label_map: _Labels, column: str) -> Box:
        part, runs = label_map[self.box], self._unpacked()
        for row, start, stop, label in zip(
            *(runs[name].tolist() for name in ("row", "start", "stop", column)),
            strict=True,
        ):
            part[row, start:stop] = label
        return self.box

    def _unpacked(self) -> _Runs:
        try:
            return np.frombuffer(zlib.decompress(self.runs), _RUN)
        except zlib.error as error:
            raise ValueError("the runs cannot be unpacked") from error


def _inside(box: Box | None, shape: tuple[int, ...]) -> Box:
    rows, columns = box or (slice(None), slice(None))
    top, bottom, _ = rows.indices(shape[0])
    left, right, _ = columns.indices(shape[1])
    return slice(top, max(top, bottom)), slice(left, max(left, right))


def _find_runs(before: _Labels, after: _Labels) -> _Runs:
    """Return the changed runs of two maps (h, w), row by row."""
    height, width = before.shape
    step = max(1, _BAND // max(1, width))
    found = [
        _runs_of_band(before[top : top + step], after[top : top + step], top)
        for top in range(0, height, step)
    ]
    return np.concatenate([np.zeros(0, _RUN), *found])


def _runs_of_band(before: _Labels, after: _Labels, top: int) -> _Runs:
    columns = np.flatnonzero((before != after).any(axis=0))
    if not len(columns):
        return np.zeros(0, _RUN)
    left, right = int(columns[0]), int(columns[-1]) + 1
    before, after = before[:, left:right], after[:, left:right]
    # Where another run begins; one more column closes every row.
    begins = np.ones((len(before), right - left + 1), bool)
    inner = begins[:, 1:-1]
    np.not_equal(before[:, 1:], before[:, :-1], out=inner)
    inner |= after[:, 1:] != after[:, :-1]
    row, start = np.divmod(np.flatnonzero(begins), begins.shape[1])
    row, start, stop = row[:-1], start[:-1], start[1:]
    is_run = start < right - left
    row, start, stop = row[is_run], start[is_run], stop[is_run]
    was, becomes = before[row, start], after[row, start]
    is_change = was != becomes
    runs = np.zeros(np.count_nonzero(is_change), _RUN)
    runs["row"], runs["start"] = row[is_change] + top, start[is_change] + left
    runs["stop"] = stop[is_change] + left
    runs["before"], runs["after"] = was[is_change], becomes[is_change]
    return runs
