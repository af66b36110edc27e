"""What a training run shows in a terminal: plan, progress, and the comparison."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from napari_glmedsa.cli.terminal import remark
from napari_glmedsa.errors import GLMedSAError

if TYPE_CHECKING:
    from napari_glmedsa.registry import ModelRegistry
    from napari_glmedsa.training.events import TrainingEvent
    from napari_glmedsa.training.gate import GateResult
    from napari_glmedsa.training.run import TrainingRun

_METRICS = {
    "dice": "Dice",
    "iou": "IoU",
    "threshold_jaccard": "Threshold Jaccard",
    "pooled_dice": "Pooled Dice",
    "pooled_iou": "Pooled IoU",
}


class RunDisplay:
    """A bar over all steps on stderr, with what the last epoch found."""

    def __init__(self, progress: Progress, n_epochs: int, n_steps: int) -> None:
        self._progress, self._n_epochs = progress, n_epochs
        self._epoch, self._loss, self._dice = 0, "", ""
        self._task = progress.add_task("Starting", total=n_steps, figures="")

    def event(self, event: "TrainingEvent") -> None:
        """Show what happened."""
        from napari_glmedsa.training.events import EpochEvent, StepEvent

        if isinstance(event, StepEvent):
            self._epoch, self._loss = event.epoch, f"loss {event.loss:.3f}"
            self._progress.update(self._task, completed=event.step)
        elif isinstance(event, EpochEvent):
            self._dice = f"val Dice {event.val_dice:.3f}"
            best = ", the best so far" if event.best else ""
            self._line(
                f"Epoch {event.epoch} of {event.n_epochs}: validation Dice "
                f"{event.val_dice:.3f}{best}"
            )
        else:
            self._line(event.message)
        epoch = f"Epoch {self._epoch}/{self._n_epochs}"
        figures = "  ".join(filter(None, (self._loss, self._dice)))
        self._progress.update(self._task, description=epoch, figures=figures)

    def message(self, sentence: str) -> None:
        """Show what the run does besides training."""
        self._line(sentence)

    def _line(self, sentence: str) -> None:
        self._progress.console.print(sentence, markup=False, highlight=False)


@contextmanager
def showing(run: "TrainingRun") -> Iterator[RunDisplay]:
    """Show a progress bar while a run is at work in this process."""
    plan = run.plan
    n_steps = plan.config.epochs * plan.config.steps_per_epoch(plan.counts["train"])
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, emoji=False),
        redirect_stdout=False,
    )
    with progress:
        yield RunDisplay(progress, plan.config.epochs, n_steps)


def show_plan(run: "TrainingRun", registry: "ModelRegistry") -> None:
    """Say on stderr what will be done, and about how long it takes."""
    from napari_glmedsa.training.estimate import estimate_run

    plan = run.plan
    counts = ", ".join(f"{n} {split}" for split, n in plan.counts.items())
    remark(
        f"Run {run.id}: {plan.start} learns ({counts} images) and "
        f"is compared with {plan.compare_with}."
    )
    remark(f"Its folder is {run.folder}.")
    try:
        estimate = estimate_run(
            registry, plan.start, plan.config, plan.counts, device=plan.device
        )
    except GLMedSAError:
        run.cancel()  # or it would wait for ever
        raise
    remark(estimate.sentence())


def show_gate(result: "GateResult") -> None:
    """Print the comparison of two models on stdout."""
    table = Table(
        title=f"Held out: {result.n} images ({result.split})",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("After")
    for heading in ("Clicks", "Old", "New", "Gain"):
        table.add_column(heading, justify="right")
    for metric, heading in _METRICS.items():
        if metric not in result.before:  # pooled figures, in an earlier version's file
            continue
        for index, clicks in enumerate(result.clicks):
            old, new = result.before[metric][index], result.after[metric][index]
            table.add_row(
                heading if index == 0 else "",
                str(clicks),
                f"{old:.3f}",
                f"{new:.3f}",
                f"{new - old:+.3f}",
            )
    table.columns[0].header = "Metric"
    Console(emoji=False).print(table)
