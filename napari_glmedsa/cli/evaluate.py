"""`glmedsa evaluate`: simulated clicks on images whose masks are known."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from napari_glmedsa.cli.inputs import (
    MASK_ENDING,
    DeviceOption,
    ModelOption,
    image_files,
    images_in,
    load_predictor,
    model_spec,
    prepare_folder,
)
from napari_glmedsa.cli.terminal import SOME_FAILED, complain, remark, telling
from napari_glmedsa.errors import GLMedSAError, ImageFormatError, OutputError

if TYPE_CHECKING:
    from napari_glmedsa.evaluation import Case, ImageScore

_NAMES_SHOWN = 10
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
    report: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write the scores here."),
    ] = None,
) -> None:
    """Measure a model: Dice, IoU and threshold Jaccard after 1, 2, ... clicks.

    The first click falls on a random pixel of the lesion, each later one on a
    random pixel that the model missed; the same seed gives the same clicks.
    """
    from napari_glmedsa.evaluation import PROTOCOL, evaluate_clicks, summarise

    pairing = pair_by_stem(images, masks)
    _name_unpaired(pairing)
    if report is not None:
        _prepare_report(report)
    spec = model_spec(model)
    predictor = load_predictor(spec, device)

    scores: list[ImageScore] = []
    failed: list[str] = []
    with telling(len(pairing.pairs), "Evaluating") as teller:
        for image_path, mask_path in pairing.pairs:
            try:
                case = _read_case(image_path, mask_path)
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


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which mask belongs to which image, and which files stay alone."""

    pairs: list[tuple[Path, Path]] = field(default_factory=list)
    without_mask: list[Path] = field(default_factory=list)
    without_image: list[Path] = field(default_factory=list)


def pair_by_stem(images: Path, masks: Path) -> Pairing:
    """Pair `x.jpg` with `x_segmentation.png` or, if there is none, with `x.png`.

    The ending is read in any case, as ISIC 2016 and 2017 wrote `_Segmentation`.

    Raises
    ------
    ImageFormatError
        If a folder cannot be read, nothing fits together, or two files claim the
        same place.
    """
    photographs = _by_stem(images_in(images))
    plain: dict[str, list[Path]] = {}
    suffixed: dict[str, list[Path]] = {}
    for path in image_files(masks):
        if path.stem.lower().endswith(MASK_ENDING):
            suffixed.setdefault(path.stem[: -len(MASK_ENDING)], []).append(path)
        elif path not in photographs.values():  # one folder may hold both
            plain.setdefault(path.stem, []).append(path)

    pairing = Pairing()
    for stem, image in photographs.items():
        candidates = suffixed.pop(stem, []) or plain.pop(stem, [])
        plain.pop(stem, None)
        if len(candidates) > 1:
            raise ImageFormatError(
                f"{candidates[0]} and {candidates[1]} both claim to be the mask of"
                f" {image}; keep one of them."
            )
        if candidates:
            pairing.pairs.append((image, candidates[0]))
        else:
            pairing.without_mask.append(image)
    alone = [path for left in (suffixed, plain) for ps in left.values() for path in ps]
    pairing.without_image.extend(sorted(alone))
    if not pairing.pairs:
        raise ImageFormatError(
            f"No mask in {masks} has the name of an image in {images}; a.jpg goes with"
            " a.png or a_segmentation.png."
        )
    return pairing


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    by_stem: dict[str, Path] = {}
    for path in paths:
        other = by_stem.setdefault(path.stem, path)
        if other is not path:
            raise ImageFormatError(
                f"{other} and {path} have one name, so their mask is not known; keep"
                " one of them."
            )
    return by_stem


def _name_unpaired(pairing: Pairing) -> None:
    for paths, lacking in (
        (pairing.without_mask, "image(s) without a mask"),
        (pairing.without_image, "mask(s) without an image"),
    ):
        if paths:
            names = ", ".join(path.name for path in paths[:_NAMES_SHOWN])
            more = len(paths) - _NAMES_SHOWN
            rest = f" and {more} more" if more > 0 else ""
            remark(f"Left out {len(paths)} {lacking}: {names}{rest}.")


def _read_case(image_path: Path, mask_path: Path) -> "Case":
    from napari_glmedsa.evaluation import Case
    from napari_glmedsa.images import read_image, read_mask

    image, mask = read_image(image_path), read_mask(mask_path)
    if image.shape[:2] != mask.shape:
        raise ImageFormatError(
            f"{mask_path} is {_size(mask)} pixels but {image_path} is {_size(image)};"
            " use the mask that was made for this image."
        )
    return Case(image_path.stem, image, mask)


def _size(array: Any) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"


def _prepare_report(report: Path) -> None:
    """Find out now, not after an hour, that the report cannot be written."""
    if report.is_dir():
        raise OutputError(f"{report} is a folder; name a file for --json.")
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
    for heading in ("Clicks", "Dice", "IoU", "Threshold Jaccard"):
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
