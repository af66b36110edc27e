"""What a training run reports while it goes on, as plain JSON lines."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One optimisation step was taken.

    Parameters
    ----------
    step
        Counted from 1, over all epochs.
    epoch
        Counted from 1.
    loss
        Mean over `images`.
    images
        Ids of the images the step saw, on all processes.
    seconds
        How long it took.
    """

    kind: ClassVar[str] = "step"
    step: int
    epoch: int
    loss: float
    images: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the event as plain JSON types."""
        return {"kind": self.kind, **asdict(self), "images": list(self.images)}


@dataclass(frozen=True, slots=True)
class EpochEvent:
    """The model was validated.

    Parameters
    ----------
    epoch
        Epochs finished: 0 is the model before training.
    n_epochs
        Epochs at most.
    val_dice, val_iou
        Means over validation images and clicks.
    best
        Better than at every earlier epoch, so these weights are kept.
    """

    kind: ClassVar[str] = "epoch"
    epoch: int
    n_epochs: int
    val_dice: float
    val_iou: float
    best: bool

    def to_json(self) -> dict[str, Any]:
        """Return the event as plain JSON types."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class NoticeEvent:
    """Training goes on differently than asked; the message is one sentence."""

    kind: ClassVar[str] = "notice"
    message: str

    def to_json(self) -> dict[str, Any]:
        """Return the event as plain JSON types."""
        return {"kind": self.kind, **asdict(self)}


TrainingEvent = StepEvent | EpochEvent | NoticeEvent


def event_from_json(fields: Mapping[str, Any]) -> TrainingEvent:
    """Rebuild an event from its `to_json`; raises ValueError if it is none."""
    values = dict(fields)
    kind = values.pop("kind", None)
    try:
        if kind == StepEvent.kind:
            return StepEvent(**{**values, "images": tuple(values["images"])})
        if kind == EpochEvent.kind:
            return EpochEvent(**values)
        if kind == NoticeEvent.kind:
            return NoticeEvent(**values)
    except (KeyError, TypeError) as error:
        raise ValueError(f"Not a training event: {error}.") from error
    raise ValueError(f"Not a training event: its kind is {kind!r}.")
