"""All rows of a table, one after the other, each in a process of its own."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import torch

from napari_glmedsa.benchmark.automatic import CLASSICS
from napari_glmedsa.benchmark.made import OnProgress
from napari_glmedsa.benchmark.methods import METHODS, RECIPES, RecipeName
from napari_glmedsa.benchmark.parts import Parts, require_usable
from napari_glmedsa.benchmark.result import Row, RowResult, ask, finished_rows
from napari_glmedsa.benchmark.row import run_row
from napari_glmedsa.errors import Cancelled, TrainingError
from napari_glmedsa.inference.device import resolve_device
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.waiting import wait_without_spinning


@dataclass(frozen=True, slots=True)
class TablePlan:
    """What a table is made of.

    Parameters
    ----------
    methods, clicks, seeds
        Every combination is a row; automatic methods take no clicks, and what draws
        nothing has one seed.
    recipe
        Of all methods alike.
    base
        Name of the base model.
    epochs
        Instead of the recipe's.
    """

    methods: tuple[str, ...]
    clicks: tuple[int, ...]
    seeds: tuple[int, ...]
    recipe: RecipeName
    base: str
    epochs: int | None = None

    def __post_init__(self) -> None:
        if not self.methods:
            raise TrainingError(f"Name a method; there are {', '.join(METHODS)}.")
        for name in self.methods:
            if name not in METHODS:
                raise TrainingError(
                    f"There is no method {name!r}; there are {', '.join(METHODS)}."
                )
        if self.recipe not in RECIPES:
            raise TrainingError(
                f"There is no recipe {self.recipe!r}; there are {', '.join(RECIPES)}."
            )

    def rows(self) -> list[Row]:
        """Return the rows in the order of the table."""
        automatic = [name for name in self.methods if METHODS[name].is_automatic]
        clicked = [name for name in self.methods if name not in automatic]
        combinations = [(name, 0) for name in automatic]
        combinations += [(name, n) for n in self.clicks for name in clicked]
        return [
            Row(name, self.recipe, clicks, seed, self.epochs)
            for name, clicks in combinations
            for seed in (self.seeds[:1] if name in CLASSICS else self.seeds)
        ]


def run_table(
    plan: TablePlan,
    parts: Parts,
    *,
    registry: ModelRegistry,
    folder: Path,
    device: str = "auto",
    on_look: OnProgress | None = None,
    on_row: Callable[[Row, int, int], None] | None = None,
    on_progress: OnProgress | None = None,
    in_processes: bool = True,
) -> Iterator[RowResult]:
    """Yield all results that are in the folder; run and yield the rows that are not.

    Parameters
    ----------
    plan, parts
        What to run on which images.
    registry
        Where the base model is.
    folder
        Each row gets a folder below it, from which a later call goes on.
    device
        ``"auto"`` or a name.
    on_look
        Told how many images were looked at, before the first row is run.
    on_row
        Called before a row is run, with its number from 1 and how many there are.
    on_progress
        Told how far a row is, in the row's process: it must survive pickling.
    in_processes
        Each row in a process of its own, so that its peak memory is its own.

    Raises
    ------
    TrainingError
        If a row's process is killed; before any is run, if the folder holds a
        damaged result or figures of something else.
    ProjectError
        Before any is run, if an image cannot be used.
    DeviceError
        If this computer has no such device.
    """
    rows = plan.rows()
    resolve_device(device)  # no device: said now, not in a process later
    _, base_sha256 = registry.load_base(plan.base, device=torch.device("cpu"))
    question = ask(plan.base, base_sha256, parts)
    done = finished_rows(plan.recipe, plan.epochs, question, folder)
    folder.mkdir(parents=True, exist_ok=True)  # nothing is wrong with what was asked
    if not set(rows) <= set(done):
        require_usable(parts, on_look or (lambda *_: None))
    yield from done.values()
    for number, row in enumerate(rows, start=1):
        if row in done:
            continue
        if on_row is not None:
            on_row(row, number, len(rows))
        run = _in_a_process if in_processes else run_row
        yield run(
            row,
            parts,
            base=plan.base,
            registry=registry,
            folder=folder / row.name,
            device=device,
            on_progress=on_progress,
        )


def _in_a_process(
    row: Row,
    parts: Parts,
    *,
    base: str,
    registry: ModelRegistry,
    folder: Path,
    device: str,
    on_progress: OnProgress | None,
) -> RowResult:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(
                _run_alone, row, parts, base, registry.root, folder, device, on_progress
            ).result()
        except BrokenProcessPool as error:
            raise TrainingError(
                f"The process of the row {row.name} was ended by the system, which "
                "happens when the memory is full; the same command goes on where it "
                "was."
            ) from error
        except BaseException:  # do not wait for a row that nobody wants any more
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _run_alone(
    row: Row,
    parts: Parts,
    base: str,
    root: Path,
    folder: Path,
    device: str,
    on_progress: OnProgress | None,
) -> RowResult:
    wait_without_spinning()

    def say(what: str, done: int, count: int) -> None:
        _require_parent()
        if on_progress is not None:
            on_progress(what, done, count)

    try:
        return run_row(
            row,
            parts,
            base=base,
            registry=ModelRegistry(root),
            folder=folder,
            device=device,
            on_progress=say,
        )
    except Cancelled:
        os._exit(1)  # a way out that waits for nobody


def _require_parent() -> None:
    """Raise Cancelled if the process that wants this one's result is gone.

    Otherwise the next call would train the same row beside it.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise Cancelled
