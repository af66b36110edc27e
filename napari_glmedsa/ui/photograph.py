"""A photograph with its accepted objects, as a project is asked about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_glmedsa.ui.accepted import AcceptedObjects
from napari_glmedsa.ui.companion import OURS
from napari_glmedsa.ui.layers import LayerTrio
from napari_glmedsa.ui.pytorch import prepare_pytorch
from napari_glmedsa.ui.saving import source_name

Place = tuple[Path, str]
"""Of an annotation: the project's folder and the id of the image."""


@dataclass
class Bookmarks:
    """How far projects and one mask layer know each other.

    Attributes
    ----------
    version : int
        Of the accepted objects on the screen; it grows when they change.
    saved : dict
        The version that each project has.
    seen : dict
        The state of an annotation that was wholly on the screen: whatever lacks on the
        screen since then was removed there. In any other state, it was not seen yet.
    """

    version: int = 0
    saved: dict[Path, int] = field(default_factory=dict)
    seen: dict[Place, str] = field(default_factory=dict)

    @classmethod
    def of(cls, trio: LayerTrio) -> Bookmarks:
        """Return what was noted about a mask layer; it lives with the layer."""
        marks: Bookmarks
        marks = _mask_of(trio).metadata[OURS].setdefault("bookmarks", cls())
        return marks


@dataclass(frozen=True, eq=False)
class Photograph:
    """An image and its accepted objects at one moment, to be read by the worker.

    Attributes
    ----------
    pixels : array-like
        What the image layer holds; it may be lazy.
    source : str
        Name of its file.
    accepted : AcceptedObjects
        Also the (H, W) of the image.
    bookmarks : Bookmarks
        Of its mask layer.
    file : Path or None
        Where it was read from, if that is known.
    reader : str
        The napari plugin that has read it; empty if none has.
    """

    pixels: Any
    source: str
    accepted: AcceptedObjects
    bookmarks: Bookmarks
    file: Path | None = None
    reader: str = ""

    @classmethod
    def of(cls, trio: LayerTrio, *, annotator: str) -> Photograph:
        """Return what the layers show now; the user goes on while a worker reads."""
        accepted = AcceptedObjects(
            _mask_of(trio).data.copy(),
            trio.mask.object_id,
            dict(trio.mask.objects),
            annotator,
        )
        path = trio.image.source.path
        known = path or trio.image.metadata.get(OURS, {}).get("path")
        return cls(
            trio.pixels,
            source_name(trio.image),
            accepted,
            Bookmarks.of(trio),
            file=Path(known).absolute() if known else None,
            reader=(trio.image.source.reader_plugin or "") if path else "",
        )

    def rgb(self) -> NDArray[np.uint8]:
        """Return the image (H, W, 3); it takes its time."""
        prepare_pytorch()
        from napari_glmedsa.inference import to_rgb_uint8  # imports torch

        return to_rgb_uint8(self.pixels)


def _mask_of(trio: LayerTrio) -> Labels:
    # Where the image layer holds another photograph by now, `ensure` would make a mask
    # for that one.
    return trio.mask.layer or trio.mask.ensure()
