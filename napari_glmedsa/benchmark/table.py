"""All rows of a table, one after the other, each in a process of its own."""

import multiprocessing
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from napari_glmedsa.benchmark.index import DataIndex, IndexRow
from napari_glmedsa.benchmark.methods import METHODS, RECIPES, RecipeName
from napari_glmedsa.benchmark.row import OnProgress, Parts, Row, RowResult, run_row
from napari_glmedsa.errors import ProjectError, TrainingError
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.waiting import wait_without_spinning


@dataclass(frozen=True, slots=True)
class TablePlan:
    """What a table is made of.

    Parameters
    ----------
    methods, clicks, seeds
        Every combination is a row.
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
        return [
            Row(method, self.recipe, clicks, seed, self.epochs)
            for clicks in self.clicks
            for method in self.methods
            for seed in self.seeds
        ]


def choose_parts(
    index: DataIndex,
    *,
    train: Sequence[str],
    tests: Sequence[str],
    fold: str = "0",
    images: int | None = None,
) -> Parts:
    """Return the images of a table.

    Parameters
    ----------
    index
        All there are.
    train, tests
        Protocols to learn from, and to measure on.
    fold
        Of the training protocols; it judges epochs and is not learnt from.
    images
        Learn from so many at most, in the order of their ids.

    Raises
    ------
    ProjectError
        If a protocol is learnt from and measured on, or has no image.
    """
    both = sorted(set(train) & set(tests))
    if both:
        raise ProjectError(
            f"The protocol {both[0]} cannot be learnt from and measured on; choose one."
        )
    known = index.of(train)
    val = tuple(row for row in known if row.fold == fold)
    learnt = tuple(row for row in known if row.fold != fold)[:images]
    if not val or not learnt:
        raise ProjectError(
            f"The training images have no fold {fold!r} beside others to judge epochs "
            "by; give another --fold."
        )
    measured: dict[str, tuple[IndexRow, ...]] = {}
    for protocol in tests:
        measured[protocol] = tuple(index.of([protocol]))
    if images is not None:
        val = val[: max(1, images // 9)]
    return Parts(learnt, val, measured)


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
