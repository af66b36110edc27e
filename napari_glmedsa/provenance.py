"""Where an object in a label map came from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from math import isfinite
from typing import Any, Literal, Self


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where one object of a label map came from.

    Parameters
    ----------
    origin
        ``"clicks"`` of an annotator, or the ``"import"`` of a finished mask.
    point_coords
        Clicks, (x, y) in pixels of the image.
    point_labels
        1 for a click on the lesion, 0 for one on the background.
    box
        Left, top, right and bottom edge in pixels of the image, if one was given.
    model
        ``BASE+ADAPTER`` that answered the clicks.
    hand_edited
        Whether the answer was changed by hand.
    annotator
        Who accepted the object.
    created
        When, as UTC in ISO 8601; empty means now.
    """

    origin: Literal["clicks", "import"] = "clicks"
    point_coords: tuple[tuple[float, float], ...] = ()
    point_labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    model: str = ""
    hand_edited: bool = False
    annotator: str = ""
    created: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the provenance as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; what it does not know, it passes over.

        Raises ValueError, TypeError or so if clicks or box make no sense.
        """
        box, labels = document.get("box"), document.get("point_labels", ())
        coords = [(float(x), float(y)) for x, y in document.get("point_coords", ())]
        if not all(map(isfinite, chain.from_iterable(coords))):
            raise ValueError("a click is nowhere")
        if len(labels) != len(coords) or not {*labels} <= {0, 1}:
            raise ValueError("a click says nothing")
        return cls(
            origin="import" if document.get("origin") == "import" else "clicks",
            point_coords=tuple(coords),
            point_labels=tuple(map(int, labels)),
            box=None if box is None else _four(box),
            model=str(document.get("model", "")),
            hand_edited=bool(document.get("hand_edited", False)),
            annotator=str(document.get("annotator", "")),
            created=str(document.get("created", "")),
        )


def _four(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = map(float, numbers)
    if not (isfinite(right - left + bottom - top) and left < right and top < bottom):
        raise ValueError("a box has no area")
    return left, top, right, bottom
