"""Carry calls from the worker to the Qt thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal  # type: ignore[attr-defined]


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

    def wrap(self, callback: Callable[..., object]) -> Callable[..., None]:
        """Return a function that any thread may call and that returns at once."""

        def relay(*args: Any) -> None:
            self.call(partial(callback, *args))

        return relay

    def call(self, callback: Callable[[], object]) -> None:
        """Queue one call without arguments."""
        try:
            self._called.emit(callback)
        except RuntimeError:
            # Qt's half of this object is gone: so is the dock that wanted the call.
            return

    def _run(self, callback: Callable[[], object]) -> None:
        callback()
