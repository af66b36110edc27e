"""What the two kinds of methods have in common once they are trained."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_glmedsa.benchmark.answers import Answer
from napari_glmedsa.evaluation import Case

OnProgress = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and how much there is."""

CHECKPOINT_SECONDS = 60.0
"""How often a training writes where it is."""


@dataclass(frozen=True, eq=False)
class Made:
    """A method that is ready to be measured.

    Parameters
    ----------
    segment
        Answers to a case; a method that takes clicks draws them from the case's own
        mask.
    frozen, trainable
        Numbers of parameters, as counted.
    seconds
        Of training, over all interruptions.
    config
        See `RowResult.config`.
    precision
        That the training took, which its configuration may leave to the device.
    curve
        One entry per epoch: its number with what was measured after it.
    """

    segment: Callable[[Case], Answer]
    frozen: int = 0
    trainable: int = 0
    seconds: float = 0.0
    config: Mapping[str, Any] = field(default_factory=dict)
    precision: str = ""
    curve: Sequence[Mapping[str, float]] = ()
