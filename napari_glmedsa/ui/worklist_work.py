"""What the worker of the dock "Worklist" does: every touch of files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.ui.pytorch import prepare_pytorch
from napari_glmedsa.worklist import Entry, Worklist

KEPT_BYTES = 128 << 20
"""A photograph read ahead is kept up to this size: 40 megapixels."""


@dataclass(frozen=True, eq=False)
class Listing:
    """What is in a worklist at one moment."""

    worklist: Worklist
    entries: tuple[Entry, ...]


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph that was read, and its entry with its id.

    Attributes
    ----------
    entry : Entry
        The photograph.
    pixels : ndarray of uint8, shape (H, W, 3), or None
        RGB; None if they are in the viewer already.
    """

    entry: Entry
    pixels: NDArray[np.uint8] | None


class WorklistWork:
    """Lists and reads photographs for the dock; not for the Qt thread.

    Parameters
    ----------
    registry : ModelRegistry
        Its root also holds the projects of folders that must not be written to.
    """

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self._ahead: Photograph | None = None

    def open(self, folder: Path, check: Callable[[], None]) -> Listing:
        """Open a folder and list it."""
        worklist = Worklist.open(folder, spare=self._registry.root / "projects")
        return self.look(worklist, check)

    def look(self, worklist: Worklist, check: Callable[[], None]) -> Listing:
        """List the photographs as they are now."""
        return Listing(worklist, tuple(worklist.entries(check=check)))

    def fetch(self, worklist: Worklist, entry: Entry) -> Photograph:
        """Read a photograph and find out its id."""
        ahead, self._ahead = self._ahead, None
        same = ahead and (ahead.entry.path, ahead.entry.modified)
        if ahead is not None and same == (entry.path, entry.modified):
            return ahead
        prepare_pytorch()
        pixels = worklist.read(entry)
        return Photograph(worklist.identify(entry, pixels), pixels)

    def fetch_ahead(self, worklist: Worklist, entry: Entry) -> Photograph:
        """Read the photograph that will be looked at next, and keep it for that."""
        photograph = self.fetch(worklist, entry)
        if photograph.pixels is not None and photograph.pixels.nbytes <= KEPT_BYTES:
            self._ahead = photograph
        return photograph
