"""Undo and redo without a limit, over everything the user did, in its order."""

from psygnal import Signal

from napari_glmedsa.history.step import Step


class History:
    """The steps that led here, and those that were taken back.

    It only remembers; who asks for a step back puts the state of that step in place.
    """

    changed = Signal()
    """There are other steps, or another one is next."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._position = 0

    def __len__(self) -> int:
        """Return the number of steps, those that were taken back included."""
        return len(self._steps)

    @property
    def position(self) -> int:
        """Number of steps that are not taken back."""
        return self._position

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, the oldest first; those from `position` on were taken back."""
        return tuple(self._steps)

    @property
    def undo_name(self) -> str | None:
        """Name of the step that `undo` takes back, None if there is none."""
        return self._steps[self._position - 1].name if self._position else None

    @property
    def redo_name(self) -> str | None:
        """Name of the step that `redo` makes again, None if there is none."""
        left = self._position < len(self._steps)
        return self._steps[self._position].name if left else None

    def record(self, step: Step) -> None:
        """Add what was just done; steps that were taken back are gone for good."""
        self._steps[self._position :] = [step]
        self._position += 1
        self.changed.emit()

    def amend(self, step: Step) -> None:
        """Add to the latest step what followed from it, so that both are undone as one.

        Without a step before it, it becomes one.
        """
        if not self._position:
            self.record(step)
            return
        self._position -= 1
        self.record(self._steps[self._position].then(step))

    def undo(self) -> Step | None:
        """Take the latest step back; return it, or None if there is none."""
        if not self._position:
            return None
        self._position -= 1
        step = self._steps[self._position]
        self.changed.emit()
        return step

    def redo(self) -> Step | None:
        """Make the step again that was taken back last; return it, or None."""
        if self._position == len(self._steps):
            return None
        step = self._steps[self._position]
        self._position += 1
        self.changed.emit()
        return step
