"""All rows of a table, one after the other, each in a process of its own."""

import multiprocessing
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from napari_glmedsa.benchmark.automatic import CLASSICS
from napari_glmedsa.benchmark.made import OnProgress
from napari_glmedsa.benchmark.methods import METHODS, RECIPES, RecipeName
from napari_glmedsa.benchmark.parts import Parts
from napari_glmedsa.benchmark.row import Row, RowResult, run_row
from napari_glmedsa.errors import TrainingError
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
    on_row: Callable[[Row, int, int], None] | None = None,
    on_progress: OnProgress | None = None,
    in_processes: bool = True,
) -> Iterator[RowResult]:
    """Run every row that has no result yet; yield all results in order.

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
    on_row
        Called before a row with its number from 1, and how many there are.
    on_progress
        Told how far a row is, in the row's process: it must survive pickling.
    in_processes
        Each row in a process of its own, so that its peak memory is its own.
    """
    rows = plan.rows()
    for number, row in enumerate(rows, start=1):
        if on_row is not None:
            on_row(row, number, len(rows))
        if not in_processes:
            yield run_row(
                row,
                parts,
                base=plan.base,
                registry=registry,
                folder=folder / row.name,
                device=device,
                on_progress=on_progress,
            )
            continue
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            place = folder / row.name, device, on_progress
            yield pool.submit(
                _run_alone, row, parts, plan.base, registry.root, *place
            ).result()


def machine() -> dict[str, Any]:
    """Return what a table says about where it was made."""
    import torch

    return {
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "torch": metadata.version("torch"),
        "napari-glmedsa": metadata.version("napari-glmedsa"),
    }


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
    return run_row(
        row,
        parts,
        base=base,
        registry=ModelRegistry(root),
        folder=folder,
        device=device,
        on_progress=on_progress,
    )
