"""What a run's process does: train, compare, register, and tell how far it is."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from napari_glmedsa.adapters.switches import apply_input
from napari_glmedsa.errors import TrainingError
from napari_glmedsa.files import sha256_file
from napari_glmedsa.registry import ModelRegistry, ModelSpec, load_adapted
from napari_glmedsa.training.checkpoint import (
    CHECKPOINT,
    CheckpointWriter,
    read_checkpoint,
    write_checkpoint,
)
from napari_glmedsa.training.dataset import SegmentationDataset
from napari_glmedsa.training.events import EpochEvent, StepEvent, TrainingEvent
from napari_glmedsa.training.failure import explain, write_traceback
from napari_glmedsa.training.metrics import append_event, cut_events
from napari_glmedsa.training.outcome import Outcome
from napari_glmedsa.training.plan import base_input
from napari_glmedsa.training.process import only_run
from napari_glmedsa.training.processes import Processes
from napari_glmedsa.training.status import StatusWriter
from napari_glmedsa.training.trainer import Trainer

if TYPE_CHECKING:
    from napari_glmedsa.project import Split
    from napari_glmedsa.training.run import TrainingRun

logger = logging.getLogger(__name__)

_BUSY_SHARE = 20  # writing checkpoints takes a twentieth of the time at most


class _Stopped(Exception):
    """Somebody asked the run to pause or to end."""

    def __init__(self, request: Literal["pause", "cancel"]) -> None:
        super().__init__(request)
        self.state: Literal["paused", "cancelled"] = (
            "paused" if request == "pause" else "cancelled"
        )


def execute(
    run: "TrainingRun",
    registry: ModelRegistry,
    *,
    on_event: Callable[[TrainingEvent], None] | None = None,
    on_message: Callable[[str], None] | None = None,
    checkpoint_writer: CheckpointWriter = write_checkpoint,
) -> ModelSpec | None:
    """Do the work of `TrainingRun.execute`.

    Parameters
    ----------
    run, registry
        What to do, and where models are.
    on_event
        Told what is written to ``metrics.jsonl``.
    on_message
        Told what the run does when it is not training.
    checkpoint_writer
        Writes the checkpoint; a test may let it fail.
    """
    processes = Processes()
    if not processes.is_main:
        with suppress(_Stopped):  # the main process says so
            _Work(run, registry, processes).train()
        return None
    with only_run(run.folder.parent, run.id), _logging_to(run.log_path):
        try:
            for unfinished in run.folder.glob(".*.partial"):  # by a killed process
                unfinished.unlink()
            running = replace(run.status(), state="running", message="", model="")
            status = StatusWriter(run.status_path, running)
        except OSError as error:
            raise TrainingError(explain(error, run.folder)) from error

        def tell(message: str) -> None:
            logger.info("%s", message)
            status.update(message=message)
            status.write()
            if on_message is not None:
                on_message(message)

        try:
            work = _Work(
                run,
                registry,
                processes,
                status=status,
                tell=tell,
                on_event=on_event,
                checkpoint_writer=checkpoint_writer,
            )
            spec, message = work.finish(work.train())
            status.close(state="finished", message=message, model=str(spec))
            return spec
        except _Stopped as stopped:
            status.close(state=stopped.state, message=_WORDS[stopped.state])
            return None
        except KeyboardInterrupt:
            status.close(state="paused", message=_WORDS["interrupted"])
            raise
        except Exception as error:  # whatever it is, the run must not hang silently
            sentence = explain(error, run.folder)
            write_traceback(run.log_path)
            with suppress(OSError):  # its folder may be what is gone
                status.close(state="failed", message=sentence)
            raise TrainingError(sentence) from error


class _Work:
    """One process's part in a run."""

    def __init__(
        self,
        run: "TrainingRun",
        registry: ModelRegistry,
        processes: Processes,
        *,
        status: StatusWriter | None = None,
        tell: Callable[[str], None] = logger.debug,
        on_event: Callable[[TrainingEvent], None] | None = None,
        checkpoint_writer: CheckpointWriter = write_checkpoint,
    ) -> None:
        self.run, self.registry, self.processes = run, registry, processes
        self.status, self.tell = status, tell
        self.on_event, self.write_checkpoint = on_event, checkpoint_writer
        self.plan = run.plan
        self.project = run.project
        self._checkpoint_due = 0.0

    def train(self) -> Outcome:
        """Train to the end."""
        torch.set_num_threads(self.plan.threads)
        self.tell("Loading the model.")
        outcome = self._load()
        trainer = outcome.trainer
        state = read_checkpoint(self.run.folder / CHECKPOINT)
        if self.status is not None:
            cut_events(self.run.metrics_path, state["n_events"] if state else 0)
        train, val = self._dataset("train"), self._dataset("val")
        config = self.plan.config
        clock = _Clock(config.steps_per_epoch(len(train)) * config.epochs)
        self._plan_checkpoint(0.0)
        shared = f", shared by {n} processes" if (n := self.processes.count) > 1 else ""
        how = "Training" if state is None else "Going on from the checkpoint"
        self.tell(f"{how}{shared}.")
        for event in trainer.fit(train, val, state=state):
            if self.status is not None:
                self._note(event, outcome, clock)
            request = self.run.request() if self.processes.is_main else None
            request = self.processes.tell(request)
            ends_epoch = isinstance(event, EpochEvent)
            if ends_epoch or request or time.monotonic() > self._checkpoint_due:
                self._checkpoint(trainer)
            if request:
                raise _Stopped(request)
        return outcome

    def finish(self, outcome: Outcome) -> tuple[ModelSpec, str]:
        """Compare the best weights with the old model and register them."""
        outcome.trainer.best()
        outcome.save()
        self.tell("Comparing with the old model.")
        result = outcome.judge(self._count_cases)
        self.tell("Making the pictures.")
        outcome.draw_gallery(self._stop_if_asked)
        self._stop_if_asked()
        return outcome.register(result)

    def _load(self) -> Outcome:
        plan = self.plan
        cpu = torch.device("cpu")
        sam, base_sha256 = self.registry.load_base(plan.start.base, device=cpu)
        if plan.base_sha256 not in ("", base_sha256):
            raise TrainingError(
                f"The base model {plan.start.base} is not the one that this run began "
                "with; start a new run."
            )
        if plan.start.adapter is not None:
            path = self.registry.adapter_path(plan.start.adapter)
            if sha256_file(path) != plan.parent_sha256:
                raise TrainingError(
                    f"The adapter {plan.start.adapter} is not the one that this run "
                    "began with; start a new run."
                )
            sam, _ = load_adapted(sam, path, base_sha256=base_sha256)
        elif plan.config.trains == "full":
            apply_input(sam, base_input(self.registry, plan.start.base))
        trainer = Trainer(sam, plan.config, device=plan.device)
        return Outcome(self.run, self.registry, trainer, base_sha256=base_sha256)

    def _dataset(self, split: "Split") -> SegmentationDataset:
        project = self.project
        ids = [name for name in self.plan.images[split] if project.labels(name)]
        return SegmentationDataset(
            ids, lambda name: (project.image(name), project.label_map(name))
        )

    def _note(self, event: TrainingEvent, outcome: Outcome, clock: "_Clock") -> None:
        """Write an event where it belongs; best weights are kept at once."""
        assert self.status is not None
        trainer = outcome.trainer
        append_event(self.run.metrics_path, event)
        if isinstance(event, EpochEvent) and event.best:
            outcome.save()
        if isinstance(event, StepEvent):
            clock.tick(event.step)
        self.status.update(
            epoch=event.epoch if isinstance(event, StepEvent) else trainer.epoch,
            n_epochs=self.plan.config.epochs,
            step=trainer.step,
            n_steps=clock.n_steps,
            eta_seconds=clock.left(trainer.step),
            best_epoch=trainer.best_epoch,
            best_dice=trainer.best_dice,
        )
        if self.on_event is not None:
            self.on_event(event)

    def _checkpoint(self, trainer: Trainer) -> None:
        if self.status is None:  # the main process writes for all
            return
        started = time.monotonic()
        self.write_checkpoint(self.run.folder / CHECKPOINT, trainer.state_dict())
        self._plan_checkpoint(time.monotonic() - started)

    def _plan_checkpoint(self, took: float) -> None:
        wait = max(self.plan.checkpoint_seconds, _BUSY_SHARE * took)
        self._checkpoint_due = time.monotonic() + wait

    def _count_cases(self, done: int) -> None:
        if self.status is not None:
            self.status.update(message=f"Comparing with the old model: {done} done.")
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if request := self.run.request():
            raise _Stopped(request)


class _Clock:
    """Guesses what remains from the steps taken since the process began."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None

    def tick(self, step: int) -> None:
        """Note that a step is done."""
        self._last = (step, time.monotonic())
        self._first = self._first or self._last

    def left(self, step: int) -> float | None:
        """Return the seconds that remain; None before there are two steps."""
        if self._first is None or self._last is None or self._first == self._last:
            return None
        (step_0, time_0), (step_1, time_1) = self._first, self._last
        return (time_1 - time_0) / (step_1 - step_0) * (self.n_steps - step)


_WORDS = {
    "paused": "Paused; resume goes on where it stopped.",
    "cancelled": "Cancelled; the best adapter so far is in the run's folder, "
    "unregistered.",
    "interrupted": "Interrupted; resume goes on from the last checkpoint.",
}


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    package = logging.getLogger("napari_glmedsa")
    level, propagate = package.level, package.propagate
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    package.propagate = False  # a terminal shows its own kind of progress
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
        package.propagate = propagate
        handler.close()
