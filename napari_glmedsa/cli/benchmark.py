"""`glmedsa benchmark`: tables of methods, trained and measured by one command."""

import shlex
import sys
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import Progress, TaskID

from napari_glmedsa.cli.inputs import (
    DeviceOption,
    ModelOption,
    load_predictor,
    model_spec,
)
from napari_glmedsa.cli.terminal import progress_bar, remark, telling
from napari_glmedsa.errors import TrainingError

if TYPE_CHECKING:
    from napari_glmedsa.benchmark.result import Row, RowResult

_LARGEST_SEED = 2**32 - 1  # that every generator of random numbers takes

benchmark = typer.Typer(
    name="benchmark", help="Tables of methods, by one command.", no_args_is_help=True
)


@benchmark.command(no_args_is_help=True)
def table1(
    *,
    data: Annotated[
        Path,
        typer.Option(
            metavar="INDEX",
            help="CSV with the columns id, image, mask, protocol, fold; or its folder.",
        ),
    ],
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Rows and tables; goes on if there.")
    ],
    base: Annotated[str, typer.Option(help="The base model.")] = "sam_vit_mini",
    methods: Annotated[
        str,
        typer.Option(
            help="Names, separated by commas; groups: table1, ablation, automatic."
        ),
    ] = "table1",
    clicks: Annotated[
        str, typer.Option(help="Clicks of training and test, separated by commas.")
    ] = "1,3",
    seeds: Annotated[str, typer.Option(help="Separated by commas.")] = "0,1,2",
    recipe: Annotated[
        Literal["paper", "tuned"],
        typer.Option(help="35 epochs as published, or what this project trains with."),
    ] = "paper",
    epochs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Instead of the recipe's.")
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help="Learn from so many at most."),
    ] = None,
    train: Annotated[
        str, typer.Option(help="Protocols to learn from.")
    ] = "isic2016_train",
    test: Annotated[
        str, typer.Option(help="Protocols to measure on.")
    ] = "isic2016_test",
    fold: Annotated[
        str, typer.Option(help="Fold of the training protocols that judges epochs.")
    ] = "0",
    device: DeviceOption = "auto",
) -> None:
    """Fill the paper's Table I: train and measure each method, one row per seed.

    A row that is done stays done: the same command goes on where it was stopped.
    """
    from napari_glmedsa.benchmark.cases import write_cases
    from napari_glmedsa.benchmark.index import DataIndex
    from napari_glmedsa.benchmark.parts import choose_parts
    from napari_glmedsa.benchmark.report import facts, known_commands, write_report
    from napari_glmedsa.benchmark.summary import summarise_rows
    from napari_glmedsa.benchmark.table import TablePlan, run_table
    from napari_glmedsa.registry import ModelRegistry, default_root

    plan = TablePlan(
        methods=_expanded(_names(methods)),
        clicks=_numbers(clicks, "clicks"),
        seeds=_numbers(seeds, "seeds", least=0, most=_LARGEST_SEED),
        recipe=recipe,
        base=base,
        epochs=epochs,
    )
    parts = choose_parts(
        DataIndex.read(data),
        train=_names(train),
        tests=_names(test),
        fold=fold,
        images=images,
    )
    results: list[RowResult] = []
    fresh: set[Row] = set()

    def announce(row: "Row", number: int, count: int) -> None:
        remark(f"{number}/{count} {row.name}")
        fresh.add(row)

    def report() -> None:
        command = shlex.join(["glmedsa", *sys.argv[1:]])
        commands = known_commands(output)
        if command not in commands and (fresh or not commands):
            commands.append(command)
        write_report(
            output, summarise_rows(results), commands=commands, facts=facts(results)
        )

    for result in run_table(
        plan,
        parts,
        registry=ModelRegistry(default_root()),
        folder=output,
        device=device,
        on_look=RowDisplay(),
        on_row=announce,
        on_progress=RowDisplay(),
    ):
        results.append(result)
        results.sort(key=lambda result: result.row.place)
        if result.row in fresh:
            report()
    report()
    left_out = write_cases(output, results, parts)
    if left_out:
        remark(
            f"The rows {', '.join(left_out)} kept no masks, so the figures of good and "
            "bad cases leave them out; remove their folders to run them again."
        )
    typer.echo(output / "table.md")


@benchmark.command(no_args_is_help=True)
def fairness(
    *,
    data: Annotated[
        Path,
        typer.Option(
            metavar="INDEX",
            help="CSV with the columns id, image, mask, protocol; or its folder.",
        ),
    ],
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Tables and the worst cases go here.")
    ],
    test: Annotated[
        str, typer.Option(help="Protocols to measure on.")
    ] = "isic2016_test",
    clicks: Annotated[int, typer.Option(min=1, metavar="N")] = 1,
    seed: Annotated[int, typer.Option(min=0, metavar="N")] = 0,
    model: ModelOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure a model by lesion size, contrast, skin and artefacts; show its worst."""
    from napari_glmedsa.benchmark.fairness import judge, write_fairness
    from napari_glmedsa.benchmark.index import DataIndex

    rows = DataIndex.read(data).of(_names(test))
    spec = model_spec(model)
    predictor = load_predictor(spec, device, "fp32")
    with telling(len(rows), "measuring") as teller:
        judged = judge(predictor, rows, clicks=clicks, seed=seed, on_image=teller.step)
    write_fairness(
        output,
        judged,
        command=shlex.join(["glmedsa", *sys.argv[1:]]),
        facts={"model": str(spec), "photographs": test, "clicks": clicks, "seed": seed},
    )
    typer.echo(output / "groups.md")


def _expanded(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the methods that are meant, each once."""
    from napari_glmedsa.benchmark.methods import GROUPS

    found = [method for name in names for method in GROUPS.get(name, (name,))]
    return tuple(dict.fromkeys(found))


class RowDisplay:
    """A bar that is made in the process that it tells about."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, count: int) -> None:
        """Show how far it is; called once per step or image."""
        if self._bar is None:
            self._bar = progress_bar()
            self._bar.start()
            # A row that is stopped leaves the terminal its cursor.
            Finalize(None, self._bar.stop, exitpriority=0)
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=count)
        self._bar.update(self._tasks[what], completed=done)
        if what != "training" and done == count:
            self._bar.stop()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def _numbers(
    text: str, what: str, *, least: int = 1, most: int | None = None
) -> tuple[int, ...]:
    try:
        numbers = list(map(int, _names(text)))
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < least:
        raise TrainingError(
            f"--{what} takes whole numbers of at least {least}, separated by commas, "
            f"not {text!r}."
        )
    if most is not None and max(numbers) > most:
        raise TrainingError(
            f"--{what} takes whole numbers of at most {most}, not {max(numbers)}."
        )
    return tuple(dict.fromkeys(numbers))
