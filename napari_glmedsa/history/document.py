"""An image's label map in work, with its history, written down as it happens."""

import logging
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_glmedsa.errors import GLMedSAError, OutputError
from napari_glmedsa.history.history import History
from napari_glmedsa.history.patch import Box, Patch
from napari_glmedsa.history.sheet import Sheet
from napari_glmedsa.history.step import Step

logger = logging.getLogger(__name__)


class Recorder(Protocol):
    """The part of a project's `Journal` that a document needs."""

    @property
    def is_open(self) -> bool:
        """Whether steps can be written already."""

    def start(
        self, label_map: NDArray[np.uint16], sheet: Sheet, history: History
    ) -> None:
        """Begin with the state before the first step, and all steps so far."""

    def step(self, step: Step) -> None:
        """Write down a new step."""

    def amend(self, step: Step) -> None:
        """Write down what joined the latest step."""

    def undo(self) -> None:
        """Write down that the latest step was taken back."""

    def redo(self) -> None:
        """Write down that it was made again."""


class Document:
    """What is done to one label map, in steps.

    The label map is the caller's, changed by whoever shows it; after each change the
    caller says so, and what has changed becomes a step.

    Parameters
    ----------
    label_map : ndarray of uint16, shape (H, W)
        Changed in place by `undo` and `redo`.
    sheet : Sheet, optional
        What else is known now.
    history : History, optional
        The steps that led here.
    journal : Recorder, optional
        Where steps are written. It is started with the first one.
    """

    in_trouble = Signal(GLMedSAError)
    """Steps cannot be written any more; said once, until they can again."""

    def __init__(
        self,
        label_map: NDArray[np.uint16],
        sheet: Sheet | None = None,
        *,
        history: History | None = None,
        journal: Recorder | None = None,
    ) -> None:
        self.label_map = label_map
        self.history = history or History()
        self._sheet = sheet or Sheet()
        self._journal = journal
        self._seen = label_map.copy()  # as it was after the latest step
        self._is_in_trouble = False

    @property
    def sheet(self) -> Sheet:
        """All but the pixels, as it is now."""
        return self._sheet

    def record(
        self, name: str, sheet: Sheet | None = None, *, box: Box | None = None
    ) -> Step | None:
        """Make a step of what has changed since the latest one.

        Parameters
        ----------
        name
            What the user reads: ``"click"``, ``"brush"``, ...
        sheet
            What else is known now; None if that stayed as it was.
        box
            No pixel outside of it has changed, which saves looking there.

        Returns
        -------
        Step or None
            None if nothing has changed.
        """
        step = self._find_step(name, sheet, box)
        if step is not None:
            journal = self._open_journal()
            self._take(step)
            self.history.record(step)
            if journal:
                self._try(lambda: journal.step(step))
        return step

    def amend(
        self, sheet: Sheet | None = None, *, box: Box | None = None, name: str = ""
    ) -> Step | None:
        """Let what has changed join the latest step: one undo takes both back.

        Parameters are those of `record`; the name counts if there is no step to join.
        """
        step = self._find_step(name, sheet, box)
        if step is not None:
            journal = self._open_journal()
            self._take(step)
            self.history.amend(step)
            if journal:
                self._try(lambda: journal.amend(step))
        return step

    def undo(self) -> Step | None:
        """Take the latest step back, in the label map, too; return it, or None.

        Pixels that changed since then and are not recorded stay as they are.
        """
        journal = self._open_journal() if self.history.position else None
        step = self.history.undo()
        if step is not None:
            self._sheet = step.before
            if step.patch:
                step.patch.revert(self._seen)
                step.patch.revert(self.label_map)
            if journal:
                self._try(journal.undo)
        return step

    def redo(self) -> Step | None:
        """Make the step again that was taken back last; return it, or None."""
        journal = self._open_journal() if self.history.redo_name is not None else None
        step = self.history.redo()
        if step is not None:
            self._take(step)
            if step.patch:
                step.patch.apply(self.label_map)
            if journal:
                self._try(journal.redo)
        return step

    def save(self) -> bool:
        """Try again to write what could not be written; return whether all is."""
        return self._journal is not None and self._open_journal() is not None

    def _find_step(
        self, name: str, sheet: Sheet | None, box: Box | None
    ) -> Step | None:
        patch = Patch.between(self._seen, self.label_map, box=box)
        after = self._sheet if sheet is None else sheet
        if patch is None and after is self._sheet:
            return None
        return Step(name, self._sheet, after, patch)

    def _take(self, step: Step) -> None:
        self._sheet = step.after
        if step.patch:
            step.patch.apply(self._seen)

    def _open_journal(self) -> Recorder | None:
        """Begin the journal, before the first step or once there is room for it."""
        journal = self._journal
        if journal is None or journal.is_open:
            return journal
        steps, position = self.history.steps, self.history.position
        label_map = self._seen.copy() if steps else self._seen
        for step in reversed(steps[:position]):
            if step.patch:
                step.patch.revert(label_map)
        sheet = steps[0].before if steps else self._sheet
        self._try(lambda: journal.start(label_map, sheet, self.history))
        return journal if journal.is_open else None

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except GLMedSAError as error:
            logger.warning("the journal cannot be written: %s", error)
            if not isinstance(error, OutputError):
                self._journal = None  # it is somebody else's now
            if not self._is_in_trouble:
                self._is_in_trouble = True
                self.in_trouble.emit(error)
        else:
            self._is_in_trouble = False
