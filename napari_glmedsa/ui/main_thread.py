"""Carry calls from the worker to the Qt thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import (  # type: ignore[attr-defined]
    QCoreApplication,
    QEvent,
    QObject,
    Qt,
    Signal,
)

_URGENT = 1  # Qt.HighEventPriority, as the number that every binding takes


class MainThread(QObject):
    """Runs callbacks in the thread it was made in, when the event loop gets to them.

    Parameters
    ----------
    parent : QObject, optional
        When it is destroyed, calls that still wait are dropped, as are later ones.
    """

    _called = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._called.connect(self._run, Qt.ConnectionType.QueuedConnection)
        self._urgent: deque[Callable[[], object]] = deque()
        self._life = life = _Life()
        self.destroyed.connect(lambda: life.end())

    def wrap(self, callback: Callable[..., object]) -> Callable[..., None]:
        """Return a function that any thread may call and that returns at once."""

        def relay(*args: Any) -> None:
            self.call(partial(callback, *args))

        return relay

    def call(self, callback: Callable[[], object]) -> None:
        """Queue one call without arguments."""
        with self._life.lock:  # Qt must not take this object apart meanwhile
            if self._life.ended:
                return
            try:
                self._called.emit(callback)
            except RuntimeError:
                # Qt's half is about to go: so is the dock that wanted the call.
                return

    def call_before_painting(self, callback: Callable[[], object]) -> None:
        """Do as `call`, but before the window is painted and before other calls.

        What is said while Qt's queue is being worked off still comes after what was in
        it, unless somebody calls `catch_up`.
        """
        with self._life.lock:
            if self._life.ended:
                return
            self._urgent.append(callback)
            try:
                QCoreApplication.postEvent(self, QEvent(QEvent.Type.User), _URGENT)
            except RuntimeError:
                return

    def catch_up(self) -> None:
        """Run at once what is to come before painting; for the object's own thread."""
        while self._urgent:
            self._urgent.popleft()()

    def event(self, event: Any) -> bool:
        """Run what is to come before painting, when it is its turn."""
        if event.type() == QEvent.Type.User:
            self.catch_up()
            return True
        return bool(super().event(event))

    def _run(self, callback: Callable[[], object]) -> None:
        callback()


class _Life:
    """Whether a Qt object is there; it outlives the object."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # the object may end while its own thread calls
        self.ended = False

    def end(self) -> None:
        """Wait until nobody uses the object, and let nobody do so any more."""
        with self.lock:
            self.ended = True
