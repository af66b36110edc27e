"""One worker thread: the newest job of a key counts, and some only fill the pauses."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from napari_glmedsa.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds that the end of the program waits for work that cannot be called off."""


class Job:
    """A piece of work that can be called off.

    Attributes
    ----------
    key : str
        What the job is about; of each key only the newest job counts.
    cancelled : bool
        Whether nobody waits for the result any more. Once true, it stays true.
    """

    def __init__(
        self,
        key: str,
        run: Callable[[Job], Any],
        *,
        on_done: Callable[[Any], None],
        on_error: Callable[[Exception], None],
        is_in_the_way: Callable[[], bool] | None = None,
    ) -> None:
        self.key = key
        self.run = run
        self.on_done = on_done
        self.on_error = on_error
        self._is_in_the_way = is_in_the_way
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the result any more."""
        return self._cancelled.is_set()

    @property
    def fills_pauses(self) -> bool:
        """Whether it is only run while there is no other work."""
        return self._is_in_the_way is not None

    def cancel(self) -> None:
        """Call the job off; a running one notices at its next check."""
        self._cancelled.set()

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` if the job was called off, for use inside long work.

        A job that fills the pauses is also told so when another has come; it is run
        again after that.
        """
        if self.cancelled or (self._is_in_the_way and self._is_in_the_way()):
            raise Cancelled(self.key)


class JobQueue:
    """Runs jobs one after the other in a daemon thread of its own.

    Parameters
    ----------
    chain : sequence of str
        Keys whose jobs build on one another, first to last. Submitting one of them also
        calls off what is pending or running further down the chain, because it would
        answer a question that is no longer asked.
    """

    def __init__(self, chain: Sequence[str] = ()) -> None:
        self._chain = tuple(chain)
        self._pending: list[Job] = []
        self._for_pauses: list[Job] = []
        self._running: Job | None = None
        self._closed = False
        self._wake = threading.Condition()
        self._worker: threading.Thread | None = None
        atexit.register(_end_quietly, weakref.ref(self))

    def submit(
        self,
        key: str,
        run: Callable[[Job], T],
        *,
        on_done: Callable[[T], None],
        on_error: Callable[[Exception], None],
    ) -> Job:
        """Queue `run` and return at once.

        Parameters
        ----------
        key : str
            Replaces an unfinished job of the same key, and of later keys in the chain.
        run : callable
            The work, done in the worker. It gets the job, so that it can look whether
            it was called off, and may raise `Cancelled`.
        on_done, on_error : callable
            Called in the worker with the result or the exception, unless the job was
            called off meanwhile.

        Returns
        -------
        Job
            Already cancelled if the queue is closed.
        """
        job = Job(key, run, on_done=on_done, on_error=on_error)
        return self._add(job, self._pending)

    def submit_for_pauses(
        self,
        key: str,
        run: Callable[[Job], None],
        *,
        on_error: Callable[[Exception], None],
    ) -> Job:
        """Queue work that is only done while there is no other; else as `submit`.

        As soon as another job comes, `Job.raise_if_cancelled` ends the run. After that
        job `run` is called anew, so it must remember how far it came. Closing the
        queue calls it off.
        """
        job = Job(
            key,
            run,
            on_done=lambda _: None,
            on_error=on_error,
            is_in_the_way=lambda: bool(self._pending),
        )
        return self._add(job, self._for_pauses)

    def _add(self, job: Job, line: list[Job]) -> Job:
        with self._wake:
            if self._closed:
                job.cancel()
                return job
            self._call_off(self._replaced_by(job.key))
            line.append(job)
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(
                    target=self._work, name="glmedsa-worker", daemon=True
                )
                self._worker.start()
            self._wake.notify()
        return job

    def cancel(self, key: str) -> None:
        """Call off what is pending or running under `key` and later in its chain."""
        with self._wake:
            self._call_off(self._replaced_by(key))

    def close(self) -> None:
        """Call off the chain and stop the worker once it is idle; never waits for it.

        Jobs outside the chain (a file being saved) are still finished.
        """
        with self._wake:
            self._closed = True
            self._call_off(self._chain)
            for job in (*self._for_pauses, self._running):
                if job is not None and job.fills_pauses:
                    job.cancel()
            self._for_pauses.clear()
            self._wake.notify()

    def wait(self, seconds: float) -> None:
        """Wait for the worker of a closed queue to end."""
        if self._worker is not None:
            self._worker.join(seconds)

    def _replaced_by(self, key: str) -> tuple[str, ...]:
        return self._chain[self._chain.index(key) :] if key in self._chain else (key,)

    def _call_off(self, keys: Sequence[str]) -> None:
        for job in (*self._pending, *self._for_pauses, self._running):
            if job is not None and job.key in keys:
                job.cancel()
        for line in (self._pending, self._for_pauses):
            line[:] = [job for job in line if not job.cancelled]

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job.raise_if_cancelled()
                result = job.run(job)
                if not job.cancelled:
                    job.on_done(result)
            except Cancelled:
                self._put_back(job)
            except Exception as error:  # noqa: BLE001  (the one place that catches all)
                if not job.cancelled:
                    job.on_error(error)

    def _put_back(self, job: Job) -> None:
        """Keep interrupted work for the next pause; forget what was called off."""
        with self._wake:
            if job.fills_pauses and not job.cancelled:
                self._for_pauses.insert(0, job)
            else:
                logger.debug("%s called off", job.key)

    def _next(self) -> Job | None:
        with self._wake:
            self._running = None
            self._wake.wait_for(
                lambda: self._pending or self._for_pauses or self._closed
            )
            line = self._pending or self._for_pauses
            self._running = line.pop(0) if line else None
            return self._running


def _end_quietly(reference: weakref.ref[JobQueue]) -> None:
    """Let the worker come to its end before Python ends.

    A thread that Python stops in the middle of PyTorch aborts the process, and a file
    that is being saved would be lost.
    """
    if (queue := reference()) is not None:
        queue.close()
        queue.wait(PATIENCE)
