"""A row's training that was begun: where it goes on, and what it belongs to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_glmedsa.errors import TrainingError
from napari_glmedsa.training.checkpoint import (
    CHECKPOINT,
    read_checkpoint,
    write_checkpoint,
)


class BegunTraining:
    """The checkpoint of a row.

    It goes on with nothing but what it was begun for: with other images, a network
    might have learnt those that it is measured on.

    Parameters
    ----------
    folder
        Of the row.
    asked
        All that the training depends on, as plain JSON types.
    """

    def __init__(self, folder: Path, asked: Mapping[str, Any]) -> None:
        self.folder = folder
        self._asked = dict(asked)

    def read(self) -> dict[str, Any]:
        """Return what `write` was given last; nothing if nothing has begun.

        Raises
        ------
        TrainingError
            If it is damaged, or was begun for something else.
        """
        remedy = f"remove the folder {self.folder} and the row is trained anew"
        try:
            state = read_checkpoint(self.folder / CHECKPOINT)
        except TrainingError as error:
            raise TrainingError(
                f"The checkpoint in {self.folder} is damaged; {remedy}."
            ) from error
        if state is None:
            return {}
        if state.pop("asked", None) != self._asked:
            raise TrainingError(
                f"{self.folder} holds a training of another base model, other images "
                f"or other settings; give another --output, or {remedy}."
            )
        return state

    def write(self, state: Mapping[str, Any]) -> None:
        """Keep a state; raises OSError on a full disk."""
        write_checkpoint(self.folder / CHECKPOINT, {**state, "asked": self._asked})

    def remove(self) -> None:
        """Forget it: the row is finished."""
        (self.folder / CHECKPOINT).unlink(missing_ok=True)
