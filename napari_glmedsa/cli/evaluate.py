"""`glmedsa evaluate`: simulated clicks on images whose masks are known."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from napari_glmedsa.cli.inputs import (
    DeviceOption,
    ModelOption,
    PrecisionOption,
    load_predictor,
    model_spec,
    prepare_folder,
)
from napari_glmedsa.cli.pairing import name_unpaired, pair_by_stem, read_pair
from napari_glmedsa.cli.terminal import SOME_FAILED, complain, telling
from napari_glmedsa.errors import GLMedSAError, OutputError

if TYPE_CHECKING:
    from napari_glmedsa.evaluation import ImageScore

_WIDE_UP_TO = 3  # clicks; more of them would not fit on a line of 80 characters


def evaluate(
    *,
    images: Annotated[Path, typer.Option(metavar="DIR", help="The photographs.")],
    masks: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Their masks: <stem>[_segmentation].png."),
    ],
    clicks: Annotated[
        int, typer.Option(metavar="N", min=1, help="Simulated clicks per image.")
    ] = 3,
    seed: Annotated[
        int, typer.Option(min=0, help="Another seed clicks elsewhere.")
    ] = 0,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "fp32",
    report: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write the scores here."),
    ] = None,
) -> None:
    """Measure a model: Dice, IoU and threshold Jaccard after 1, 2, ... clicks.

    The first click falls on a random pixel of the lesion, each later one on a
    random pixel that the model missed; the same seed gives the same clicks.
    """
    from napari_glmedsa.evaluation import PROTOCOL, Case, evaluate_clicks, summarise

    pairing = pair_by_stem(images, masks)
    name_unpaired(pairing)
    if report is not None:
        _prepare_report(report)
    spec = model_spec(model)
    predictor = load_predictor(spec, device, precision)

    scores: list[ImageScore] = []
    failed: list[str] = []
    with telling(len(pairing.pairs), "Evaluating") as teller:
        for image_path, mask_path in pairing.pairs:
            try:
                case = Case(image_path.stem, *read_pair(image_path, mask_path))
                scores += evaluate_clicks(predictor, [case], n_clicks=clicks, seed=seed)
            except GLMedSAError as error:
                if len(pairing.pairs) == 1:  # nothing to go on with
                    raise
                teller.failure(str(error))
                failed.append(image_path.name)
            teller.step()

    if scores:
        mean = summarise(scores)
        document = {
            "mean": mean,
            "images": [
                {"id": score.id, "dice": list(score.dice), "iou": list(score.iou)}
                for score in scores
            ],
            "n": len(scores),
            "model": str(spec),
            "precision": predictor.precision,
            "protocol": {**PROTOCOL, "n_clicks": clicks, "seed": seed},
        }
        _show(scores, mean, clicks)
        if report is not None:
            _write_report(report, document)
    if failed:
        complain(
            f"{len(failed)} of {len(pairing.pairs)} images failed and are not in the"
            f" means ({', '.join(failed)})."
        )
        raise typer.Exit(SOME_FAILED)


def _prepare_report(report: Path) -> None:
    """Find out now, not after an hour, that the report cannot be written."""
    if report.is_dir():
        raise OutputError(f"{report} is a folder; name a file for --json.")
    if report.exists() and not report.is_file():
        raise OutputError(
            f"{report} is not a regular file; name one for --json, which is written"
            " anew."
        )
    prepare_folder(report.parent)


def _write_report(report: Path, document: dict[str, Any]) -> None:
    from napari_glmedsa.files import write_json

    try:
        write_json(report, document)
    except OSError as error:
        raise OutputError(
            f"{report} cannot be written ({error.strerror}); choose another --json"
            " file."
        ) from error


def _show(
    scores: Sequence["ImageScore"], mean: dict[str, list[float]], n_clicks: int
) -> None:
    console = Console(emoji=False)
    wide = n_clicks <= _WIDE_UP_TO
    table = _wide_table(scores, n_clicks) if wide else _long_table(scores, n_clicks)
    if not console.is_terminal:  # a file or a pipe has no right edge
        console.width = max(console.width, console.measure(table).maximum)
    console.print(table)
    images = "1 image" if len(scores) == 1 else f"{len(scores)} images"
    summary = Table(
        title=f"Mean of {images}", box=box.SIMPLE_HEAD, title_justify="left"
    )
    for heading in (
        *("Clicks", "Dice", "IoU", "Threshold Jaccard"),
        *("Pooled Dice", "Pooled IoU"),
    ):
        summary.add_column(heading, justify="right")
    for click, values in enumerate(zip(*mean.values(), strict=True), start=1):
        summary.add_row(str(click), *map(_number, values))
    console.print(summary)


def _wide_table(scores: Sequence["ImageScore"], n_clicks: int) -> Table:
    """One row per image, one column per metric and click."""
    table = _image_table()
    table.caption = "after 1, 2, ... clicks; TJ is the threshold Jaccard"
    table.caption_justify = "left"
    for metric in ("Dice", "IoU", "TJ"):
        for click in range(1, n_clicks + 1):
            table.add_column(f"{metric}\n{click}", justify="right", no_wrap=True)
    for score in scores:
        values = (*score.dice, *score.iou, *score.threshold_jaccard)
        table.add_row(score.id, *map(_number, values))
    return table


def _long_table(scores: Sequence["ImageScore"], n_clicks: int) -> Table:
    """One row per image and click."""
    table = _image_table()
    for heading in ("Clicks", "Dice", "IoU", "Threshold Jaccard"):
        table.add_column(heading, justify="right", no_wrap=True)
    for score in scores:
        rows = zip(score.dice, score.iou, score.threshold_jaccard, strict=True)
        for click, values in enumerate(rows, start=1):
            name = score.id if click == 1 else ""
            table.add_row(
                name, str(click), *map(_number, values), end_section=click == n_clicks
            )
    return table


def _image_table() -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("Image", overflow="fold")
    return table


def _number(value: float) -> str:
    return f"{value:.3f}"
