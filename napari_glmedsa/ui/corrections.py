"""What is done to a mask besides clicking: choose, tidy, re-open, merge, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.ui import lesions, steps
from napari_glmedsa.ui.boxes import Box
from napari_glmedsa.ui.layers import LayerTrio
from napari_glmedsa.ui.workbench import Background, Workbench

if TYPE_CHECKING:  # the worker imports torch: here, it would halt the window
    from napari_glmedsa.inference import MaskPrediction
    from napari_glmedsa.inference.strokes import LowResFrame

T = TypeVar("T")


class Corrections:
    """Each one is a step of the image's history.

    Parameters
    ----------
    bench : Workbench
        At the image.
    in_background : callable
        Does what takes time.
    """

    def __init__(self, bench: Workbench, in_background: Background) -> None:
        self._bench, self._in_background = bench, in_background

    def choose(self, candidate: int) -> None:
        """Show another mask of the model: 1 to 3, or 0 for the one it shows first."""
        bench = self._bench
        trio, answer = bench.trio, bench.answer
        if trio is None or answer is None or bench.is_waiting:
            bench.warned.emit(
                "There is nothing to choose from yet: click on the lesion."
            )
            return
        if candidate == trio.choice:
            return
        if candidate > len(answer.candidates):
            bench.warned.emit(
                f"The model proposed {len(answer.candidates)} masks only."
            )
            return
        self._in_background(
            "candidate",
            lambda _: answer.candidate(candidate - 1) if candidate else answer,
            partial(self._show_candidate, answer, candidate),
        )

    def _show_candidate(
        self, answer: MaskPrediction, candidate: int, chosen: MaskPrediction
    ) -> None:
        bench = self._bench
        if bench.trio and bench.episode and answer is bench.answer:
            bench.episode.flush()
            bench.trio.choice = candidate
            box = bench.trio.mask.draw(chosen.mask, chosen.box)
            bench.episode.note(steps.CANDIDATE, box)

    def reopen(self, label: int) -> None:
        """Go on with an accepted lesion and its clicks."""
        bench = self._bench
        if bench.episode is not None:
            bench.episode.flush()
            known = self._try(lambda trio: lesions.reopen(trio, label))
            if known is not None:
                bench.episode.note(steps.REOPEN)
                bench.look()

    def delete(self, labels: Sequence[int]) -> None:
        """Remove accepted lesions."""
        self._change_accepted(steps.DELETE, lambda trio: lesions.delete(trio, labels))

    def merge(self, labels: Sequence[int]) -> None:
        """Make one accepted lesion of several."""
        annotator = self._bench.annotator()
        self._change_accepted(
            steps.MERGE, lambda trio: lesions.merge(trio, labels, annotator=annotator)
        )

    def _change_accepted(self, name: str, change: Callable[[LayerTrio], Box]) -> None:
        bench = self._bench
        if bench.episode is not None:
            bench.episode.flush()
            box = self._try(change)
            if box is not None:
                bench.episode.note(name, box)
                bench.kept.emit()
                bench.changed.emit()

    def _try(self, change: Callable[[LayerTrio], T]) -> T | None:
        if self._bench.trio is None:
            return None
        try:
            return change(self._bench.trio)
        except GLMedSAError as error:
            self._bench.warned.emit(str(error))
            return None

    def clean_up(self, name: str) -> None:
        """Fill holes, keep the largest piece or smooth the outline."""
        bench = self._bench
        trio, episode = bench.trio, bench.episode
        if trio is None or episode is None or not trio.mask.object_area:
            bench.warned.emit("There is no lesion in the making: re-open one first.")
            return
        from napari_glmedsa import cleanup

        change = {
            "fill holes": cleanup.fill_holes,
            "largest piece": cleanup.largest_piece,
            "smooth outline": cleanup.smooth_outline,
        }[name]
        episode.flush()
        mask = trio.mask.ensure().data == trio.mask.object_id
        self._in_background(
            "clean up",
            lambda _: change(mask),
            partial(self._show_clean, name, episode.history.position),
        )

    def _show_clean(self, name: str, at: int, mask: NDArray[np.bool_]) -> None:
        bench = self._bench
        if bench.trio and bench.episode:
            bench.episode.flush()
            if bench.episode.history.position == at:
                bench.episode.note(name, bench.trio.mask.draw(mask))

    def start_from(
        self, mask: NDArray[np.bool_], frame: LowResFrame | None = None
    ) -> None:
        """Make a finished mask the lesion in the making, to be refined with clicks.

        Parameters
        ----------
        mask : (H, W) bool
            Of the whole image.
        frame : LowResFrame, optional
            Where the image is in a mask prompt, known once it is encoded.
        """
        from napari_glmedsa.inference import strokes

        bench = self._bench
        if bench.trio is None or bench.episode is None:
            return
        bench.episode.flush()
        prompts = self._try(lambda _: strokes.from_mask(mask, frame=frame))
        if prompts is not None:
            bench.trio.show_prompts(prompts)
            bench.trio.choice = 0
            bench.episode.note(steps.START, bench.trio.mask.draw(mask))
            bench.look()
