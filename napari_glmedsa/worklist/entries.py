"""The photographs of a worklist, and in which order they are worked on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from napari_glmedsa.worklist.uncertainty import Uncertainty

_DIGITS = re.compile(r"(\d+)")


class Status(StrEnum):
    """How far a photograph is."""

    NEW = "new"
    IN_WORK = "in work"
    ACCEPTED = "accepted"
    FLAGGED = "flagged"
    SKIPPED = "skipped"


class Order(StrEnum):
    """By what photographs are sorted."""

    NAME = "name"
    DATE = "date"
    UNCERTAINTY = "uncertainty"


class Shown(StrEnum):
    """Which photographs are wanted."""

    TO_DO = "to do"
    ALL = "all"
    NEW = "new"
    IN_WORK = "in work"
    ACCEPTED = "accepted"
    FLAGGED = "flagged"
    SKIPPED = "skipped"

    def includes(self, entry: Entry) -> bool:
        """Say whether a photograph is one of them."""
        if self is Shown.TO_DO:
            return to_be_done(entry)
        return self is Shown.ALL or entry.status.value == self.value


@dataclass(frozen=True, slots=True)
class Entry:
    """One photograph of a worklist.

    Parameters
    ----------
    key
        Names it in this worklist: its file below the folder, or its image id.
    name
        What the user calls it.
    path
        The file with its pixels.
    modified
        When the file was last changed, in seconds since 1970.
    status
        How far it is.
    image_id
        Its id in the project; empty until its pixels have been looked at once.
    uncertainty
        What the model thinks of it, if that was computed.
    by, note
        Who has flagged or skipped it, and what that person wrote.
    holder
        Who works on it just now in another program; empty if nobody does.
    """

    key: str
    name: str
    path: Path
    modified: float
    status: Status = Status.NEW
    image_id: str = ""
    uncertainty: Uncertainty | None = None
    by: str = ""
    note: str = ""
    holder: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what other programs may want to know, as plain JSON types."""
        parts = self.uncertainty.to_json() if self.uncertainty else None
        return {
            "name": self.name,
            "path": str(self.path),
            "image_id": self.image_id or None,
            "status": str(self.status),
            "uncertainty": self.uncertainty.score if self.uncertainty else None,
            "parts": parts,
        }


def ordered(entries: Iterable[Entry], by: Order) -> list[Entry]:
    """Sort photographs.

    By name, ``2`` comes before ``10``; by date, the oldest first; by uncertainty,
    the most uncertain first, and those that nothing is known about at the end.
    """
    by_name = sorted(entries, key=lambda entry: (_natural(entry.name), entry.key))
    if by is Order.DATE:
        return sorted(by_name, key=lambda entry: entry.modified)
    if by is Order.UNCERTAINTY:
        return sorted(by_name, key=_certainty)
    return by_name


def to_be_done(entry: Entry) -> bool:
    """Say whether somebody still has to work on a photograph."""
    return entry.status not in (Status.ACCEPTED, Status.SKIPPED)


def neighbour(entries: Sequence[Entry], key: str | None, step: int = 1) -> Entry | None:
    """Return the photograph `step` places after that of a key, None beyond the ends.

    Of no key, or one that is not there, the first (or last) is the neighbour.
    """
    places = {entry.key: place for place, entry in enumerate(entries)}
    if key not in places:
        place = 0 if step > 0 else len(entries) - 1
    else:
        place = places[key] + step
    return entries[place] if 0 <= place < len(entries) else None


def _certainty(entry: Entry) -> float:
    return 2.0 if entry.uncertainty is None else -entry.uncertainty.score


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.casefold())
        for part in _DIGITS.split(name)
        if part
    ]
