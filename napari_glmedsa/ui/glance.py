"""A moment in which the window waits for an answer rather than painting without it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from napari_glmedsa.session import SegmentationSession, SessionState
from napari_glmedsa.ui.main_thread import MainThread

if TYPE_CHECKING:  # the worker imports torch: here, it would halt the window
    from napari_glmedsa.inference import MaskPrediction

MOMENT = 0.05
"""Seconds; half of what people notice, and less than painting a window may take."""


class Glance:
    """Hands answers over, those that come soon before the window is painted.

    Painting takes Python and, where there is no graphics card, all processors away from
    the worker, which then needs several times as long. A click that is answered first
    is painted once, together with its mask, instead of twice.

    Parameters
    ----------
    session : SegmentationSession
        Who answers.
    main_thread : MainThread
        Where answers are wanted.
    on_mask : callable
        Takes them there.
    """

    def __init__(
        self,
        session: SegmentationSession,
        main_thread: MainThread,
        on_mask: Callable[[MaskPrediction], object],
    ) -> None:
        self._main_thread, self._on_mask = main_thread, on_mask
        self._answered = threading.Event()
        session.mask_predicted.connect(self._on_answer)
        session.state_changed.connect(self._on_state)

    def _on_answer(self, prediction: MaskPrediction) -> None:
        self._main_thread.call_before_painting(partial(self._on_mask, prediction))

    def _on_state(self, state: SessionState) -> None:
        """Note what the session does, in the thread in which it says so."""
        if state is not SessionState.DECODING:
            self._answered.set()  # the answer is in the queue, or there is none
        elif threading.current_thread() is threading.main_thread():
            self._answered.clear()
            self._main_thread.call_before_painting(self._wait)

    def _wait(self) -> None:
        if self._answered.wait(MOMENT):
            self._main_thread.catch_up()
