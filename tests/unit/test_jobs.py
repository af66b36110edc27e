import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from napari_glmedsa.errors import Cancelled
from napari_glmedsa.jobs import Job, JobQueue

CHAIN = ("load", "encode", "decode")
LONG = 10.0  # seconds after which a test is stuck rather than slow


class Results:
    """Collects what jobs report, and lets a test wait until they are through."""

    def __init__(self, jobs: JobQueue) -> None:
        self.jobs = jobs
        self.done: list[Any] = []
        self.errors: list[Exception] = []

    def submit(self, key: str, run: Callable[[Job], Any]) -> Job:
        return self.jobs.submit(
            key, run, on_done=self.done.append, on_error=self.errors.append
        )

    def wait(self) -> None:
        idle = threading.Event()
        self.jobs.submit("idle", lambda job: idle.set(), on_done=print, on_error=print)
        assert idle.wait(LONG)


class Gate:
    """A job that runs until the test opens the gate."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self, job: Job) -> str:
        self.entered.set()
        assert self.opened.wait(LONG)
        return "through the gate"


@pytest.fixture
def results() -> Iterator[Results]:
    jobs = JobQueue(CHAIN)
    yield Results(jobs)
    jobs.close()


@pytest.fixture
def gate(results: Results) -> Iterator[Gate]:
    """Keep the worker busy with a job outside the chain."""
    gate = Gate()
    results.submit("gate", gate)
    assert gate.entered.wait(LONG)
    yield gate
    gate.opened.set()


def test_a_job_runs_in_another_thread_and_reports_its_result(results):
    results.submit("load", lambda job: threading.current_thread())
    results.wait()
    (worker,) = results.done
    assert worker is not threading.current_thread()
    assert worker.daemon


def test_submitting_returns_before_the_job_has_run(results, gate):
    job = results.submit("load", lambda job: "loaded")
    assert results.done == []
    assert not job.cancelled


def test_an_error_is_reported_and_the_worker_lives_on(results):
    def fail(job):
        raise ValueError("broken")

    results.submit("load", fail)
    results.submit("encode", lambda job: "encoded")
    results.wait()
    assert [str(error) for error in results.errors] == ["broken"]
    assert results.done == ["encoded"]


def test_an_error_while_reporting_an_error_does_not_stop_later_jobs(
    results, monkeypatch
):
    noticed = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda args: noticed.set())

    def fail(value):
        raise RuntimeError(value)

    results.jobs.submit("load", fail, on_done=fail, on_error=fail)
    assert noticed.wait(LONG)
    results.jobs._worker.join(LONG)
    results.submit("load", lambda job: "loaded")
    results.wait()
    assert results.done == ["loaded"]


def test_of_a_key_only_the_newest_pending_job_runs(results, gate):
    for number in range(5):
        results.submit("decode", lambda job, number=number: number)
    gate.opened.set()
    results.wait()
    assert results.done == ["through the gate", 4]


def test_a_running_job_is_cancelled_by_a_newer_one_of_its_key(results):
    gate = Gate()
    older = results.submit("decode", gate)
    assert gate.entered.wait(LONG)
    newer = results.submit("decode", lambda job: "newer")
    assert older.cancelled
    assert not newer.cancelled
    gate.opened.set()
    results.wait()
    assert results.done == ["newer"]


@pytest.mark.parametrize(
    ("key", "survivors"),
    [("load", []), ("encode", ["load"]), ("decode", ["load", "encode"])],
)
def test_submitting_cancels_what_comes_later_in_the_chain(
    results, gate, key, survivors
):
    for pending in CHAIN:
        results.submit(pending, lambda job: job.key)
    results.submit(key, lambda job: "new")
    gate.opened.set()
    results.wait()
    assert results.done == ["through the gate", *survivors, "new"]


def test_jobs_outside_the_chain_leave_each_other_alone(results, gate):
    for name in ("save a", "save b"):
        results.submit(name, lambda job: job.key)
    results.submit("load", lambda job: job.key)
    gate.opened.set()
    results.wait()
    assert results.done == ["through the gate", "save a", "save b", "load"]


def test_cancel_drops_a_key_and_what_follows_it(results, gate):
    for pending in CHAIN:
        results.submit(pending, lambda job: job.key)
    results.jobs.cancel("encode")
    gate.opened.set()
    results.wait()
    assert results.done == ["through the gate", "load"]


def test_a_cancelled_job_that_raises_is_silent(results):
    gate = Gate()

    def run(job):
        gate(job)
        job.raise_if_cancelled()
        raise AssertionError("it went on")

    job = results.submit("encode", run)
    assert gate.entered.wait(LONG)
    job.cancel()
    gate.opened.set()
    results.wait()
    assert (results.done, results.errors) == ([], [])


def test_an_error_of_a_cancelled_job_is_silent(results):
    gate = Gate()

    def run(job):
        gate(job)
        raise ValueError("nobody asked any more")

    job = results.submit("encode", run)
    assert gate.entered.wait(LONG)
    job.cancel()
    gate.opened.set()
    results.wait()
    assert results.errors == []


def test_raise_if_cancelled_raises_only_then():
    job = Job("load", lambda job: None, on_done=print, on_error=print)
    job.raise_if_cancelled()
    job.cancel()
    with pytest.raises(Cancelled):
        job.raise_if_cancelled()


def test_close_does_not_wait_for_a_running_job(results):
    gate = Gate()
    job = results.submit("load", gate)
    assert gate.entered.wait(LONG)
    results.jobs.close()
    assert job.cancelled
    assert results.jobs._worker.is_alive()
    gate.opened.set()
    results.jobs._worker.join(LONG)
    assert not results.jobs._worker.is_alive()
    assert results.done == []


def test_close_still_finishes_jobs_outside_the_chain(results, gate):
    results.submit("save", lambda job: "saved")
    results.submit("decode", lambda job: "decoded")
    results.jobs.close()
    gate.opened.set()
    results.jobs._worker.join(LONG)
    assert results.done == ["through the gate", "saved"]


def test_close_may_be_called_twice_and_before_any_job():
    jobs = JobQueue(CHAIN)
    jobs.close()
    jobs.close()


def test_a_closed_queue_takes_no_more_jobs(results):
    results.jobs.close()
    job = results.submit("load", lambda job: "loaded")
    assert job.cancelled
    assert results.done == []


QUICK_EXIT = """
import sys, threading, time
from pathlib import Path
from napari_glmedsa.jobs import JobQueue
def encode(job):
    running.set()
    while True:
        time.sleep(0.01)
        job.raise_if_cancelled()
def save(job):
    time.sleep(0.3)
    Path(sys.argv[1]).write_text("saved")
running, queue, ignore = threading.Event(), JobQueue(["encode"]), lambda _: None
queue.submit("encode", encode, on_done=ignore, on_error=ignore)
queue.submit("save", save, on_done=ignore, on_error=ignore)
running.wait()
"""


def test_a_program_that_ends_calls_off_the_encoding_and_finishes_the_saving(tmp_path):
    """Python kills a thread in the middle of PyTorch with an abort."""
    path = tmp_path / "mask"
    done = subprocess.run(
        [sys.executable, "-c", QUICK_EXIT, str(path)], check=False, timeout=60
    )
    assert done.returncode == 0
    assert path.read_text() == "saved"


class Walk:
    """Work in steps that remembers how far it came, as work for pauses must."""

    def __init__(self, steps: int) -> None:
        self.steps, self.done, self.runs = steps, 0, 0
        self.at_step, self.go_on = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, job: Job) -> None:
        self.runs += 1
        while self.done < self.steps:
            self.at_step.release()
            assert self.go_on.acquire(timeout=LONG)
            job.raise_if_cancelled()
            self.done += 1


def fill(results: Results, key: str, run: Callable[[Job], None]) -> Job:
    return results.jobs.submit_for_pauses(key, run, on_error=results.errors.append)


def test_work_for_pauses_waits_for_all_other_jobs(results, gate):
    order = []
    fill(results, "ahead", lambda job: order.append("ahead"))
    results.submit("load", lambda job: order.append("load"))
    results.submit("save", lambda job: order.append("save"))
    gate.opened.set()
    ended = threading.Event()
    fill(results, "end", lambda job: ended.set())
    assert ended.wait(LONG)
    assert order == ["load", "save", "ahead"]


def test_a_job_that_comes_interrupts_work_for_pauses_which_then_goes_on(results):
    walk = Walk(3)
    job = fill(results, "ahead", walk)
    assert walk.at_step.acquire(timeout=LONG)
    walk.go_on.release()
    assert walk.at_step.acquire(timeout=LONG)
    decoded = threading.Event()
    results.submit("decode", lambda _: decoded.set())
    walk.go_on.release()
    assert decoded.wait(LONG)
    assert walk.done == 1  # the second step was left for later
    walk.go_on.release(2)
    ended = threading.Event()
    fill(results, "end", lambda _: ended.set())
    assert ended.wait(LONG)
    assert (walk.done, walk.runs) == (3, 2)
    assert not job.cancelled
    assert results.errors == []


def test_newer_work_for_pauses_replaces_the_older_of_its_key(results):
    walk = Walk(2)
    older = fill(results, "ahead", walk)
    assert walk.at_step.acquire(timeout=LONG)
    ended = threading.Event()
    fill(results, "ahead", lambda _: ended.set())
    assert older.cancelled
    walk.go_on.release()
    assert ended.wait(LONG)
    assert (walk.done, walk.runs) == (0, 1)


def test_closing_calls_off_work_for_pauses(results):
    walk = Walk(2)
    jobs = [fill(results, "ahead", walk)]
    assert walk.at_step.acquire(timeout=LONG)
    jobs.append(fill(results, "later", walk))
    results.jobs.close()
    walk.go_on.release(9)
    results.jobs._worker.join(LONG)
    assert not results.jobs._worker.is_alive()
    assert [job.cancelled for job in jobs] == [True, True]
    assert (walk.done, walk.runs) == (0, 1)
