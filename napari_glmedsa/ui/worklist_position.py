"""Where the user is among the photographs of a worklist."""

from __future__ import annotations

from collections.abc import Sequence

from napari_glmedsa.ui.worklist_form import NEXT, PREVIOUS
from napari_glmedsa.worklist import (
    Entry,
    Order,
    Shown,
    neighbour,
    ordered,
    to_be_done,
)


class Position:
    """All photographs in their order, and the one that is in the viewer.

    Attributes
    ----------
    entries : list of Entry
        All there are.
    current : Entry or None
        The one in the viewer.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.current: Entry | None = None

    @property
    def key(self) -> str | None:
        """Key of the current one."""
        return None if self.current is None else self.current.key

    def take(self, entries: Sequence[Entry], order: Order) -> None:
        """Take over what is known now about the photographs."""
        self.entries = ordered(entries, order)
        self.current = self.find(self.key) or self.current

    def find(self, key: str | None) -> Entry | None:
        """Return the photograph of a key, None if it is not there."""
        return next((one for one in self.entries if one.key == key), None)

    def shown(self, wanted: Shown) -> list[Entry]:
        """Return what is wanted, and where the user is in any case."""
        return [
            one for one in self.entries if one.key == self.key or wanted.includes(one)
        ]

    def step(self, wanted: Shown, n: int) -> Entry | None:
        """Return the photograph `n` places after the current one.

        Those that others work on just now are passed over.
        """
        return neighbour(self._free(wanted), self.key, n)

    def after(self, entry: Entry, wanted: Shown) -> Entry | None:
        """Return the photograph that will be looked at after another."""
        return neighbour(self._free(wanted), entry.key)

    def _free(self, wanted: Shown) -> list[Entry]:
        return [
            one for one in self.shown(wanted) if not one.holder or one.key == self.key
        ]

    def ranked(self) -> tuple[int, int]:
        """Return how many photographs to do a model has judged, and of how many."""
        waiting = [entry for entry in self.entries if to_be_done(entry)]
        known = sum(entry.uncertainty is not None for entry in waiting)
        return known, len(waiting)

    def sentence(self, *, ranking: bool) -> str:
        """Return how far the user is, or how far ranking is."""
        if ranking:
            known, waiting = self.ranked()
            return f"Ranking: {known} of {waiting} photographs looked at."
        done = sum(not to_be_done(entry) for entry in self.entries)
        keys = f"{NEXT}: next photograph, {PREVIOUS}: the one before."
        return f"{done} of {len(self.entries)} done. {keys}"
