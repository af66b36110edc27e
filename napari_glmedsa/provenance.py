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

    Raises
    ------
    ValueError
        If a number is not finite, a click has no label of its own, or the box no area:
        nobody could read that again.
    """

    origin: Literal["clicks", "import"] = "clicks"
    point_coords: tuple[tuple[float, float], ...] = ()
    point_labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    model: str = ""
    hand_edited: bool = False
    annotator: str = ""
    created: str = ""

    def __post_init__(self) -> None:
        numbers = [*chain.from_iterable(self.point_coords), *(self.box or ())]
        if not all(map(isfinite, numbers)):
            raise ValueError("a click or the box is nowhere")
        labels = self.point_labels
        if len(labels) != len(self.point_coords) or not {*labels} <= {0, 1}:
            raise ValueError("a click says nothing")
        if self.box and not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ValueError("the box has no area")

    def to_json(self) -> dict[str, Any]:
        """Return the provenance as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; what it does not know, it passes over.

        Raises ValueError, TypeError or so if it makes no sense.
        """
        box = document.get("box")
        return cls(
            origin="import" if document.get("origin") == "import" else "clicks",
            point_coords=tuple(
                (float(x), float(y)) for x, y in document.get("point_coords", ())
            ),
            point_labels=tuple(map(int, document.get("point_labels", ()))),
            box=None if box is None else _four(box),
            model=str(document.get("model", "")),
            hand_edited=bool(document.get("hand_edited", False)),
            annotator=str(document.get("annotator", "")),
            created=str(document.get("created", "")),
        )


def _four(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = map(float, numbers)
    return left, top, right, bottom
