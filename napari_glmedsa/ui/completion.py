"""Work that a closing program waits for."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from typing import TypeVar

from napari_glmedsa.jobs import Job

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that a napari which is being closed waits for the worker to save a mask."""


def to_the_end(
    run: Callable[[Job], T], finished: threading.Event
) -> Callable[[Job], T]:
    """Let a program that is closed at once wait until the worker has done this.

    The worker is a daemon, which would end in the middle. Whoever does not let it run
    sets `finished`.
    """

    def run_to_the_end(job: Job) -> T:
        try:
            return run(job)
        finally:
            finished.set()
            atexit.unregister(finished.wait)

    atexit.register(finished.wait, PATIENCE)
    return run_to_the_end
