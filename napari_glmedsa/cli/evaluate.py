"""`glmedsa evaluate`: simulated clicks on images whose masks are known."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_glmedsa.cli.inputs import (
    DeviceOption,
    ModelOption,
    PrecisionOption,
    load_predictor,
    model_spec,
    prepare_folder,
)
from napari_glmedsa.cli.pairing import name_unpaired, pair_by_stem, read_pair
from napari_glmedsa.cli.score_tables import Metrics, Scores, show_scores
from napari_glmedsa.cli.terminal import SOME_FAILED, complain, telling
from napari_glmedsa.errors import GLMedSAError, OutputError

if TYPE_CHECKING:
    from napari_glmedsa.cli.medsa_protocol import MedsaScore
    from napari_glmedsa.evaluation import ImageScore


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
        list[int] | None,
        typer.Option(
            min=0,
            metavar="N",
            show_default="0",
            help="Another seed clicks elsewhere; give several for their mean and SD.",
        ),
    ] = None,
    protocol: Annotated[
        Literal["image", "medsa"],
        typer.Option(help="At the image's own size, or as Med-SA's release scores."),
    ] = "image",
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
    from napari_glmedsa.cli.medsa_protocol import evaluate_medsa
    from napari_glmedsa.evaluation import Case, evaluate_seeds

    seeds = tuple(dict.fromkeys(seed or [0]))
    score = evaluate_medsa if protocol == "medsa" else evaluate_seeds
    pairing = pair_by_stem(images, masks)
    name_unpaired(pairing)
    if report is not None:
        _prepare_report(report)
    spec = model_spec(model)
    predictor = load_predictor(spec, device, precision)

    scores: list[Sequence[ImageScore | MedsaScore]] = []  # per image, per seed
    failed: list[str] = []
    with telling(len(pairing.pairs), "Evaluating") as teller:
        for image_path, mask_path in pairing.pairs:
            try:
                case = Case(image_path.stem, *read_pair(image_path, mask_path))
                scores.append([*score(predictor, case, n_clicks=clicks, seeds=seeds)])
            except GLMedSAError as error:
                if len(pairing.pairs) == 1:  # nothing to go on with
                    raise
                teller.failure(str(error))
                failed.append(image_path.name)
            teller.step()

    if scores:
        result = _collect(scores, seeds)
        show_scores(result)
        if report is not None:
            document = {
                **_figures(result),
                "n": len(scores),
                "model": str(spec),
                "precision": predictor.precision,
                "protocol": _protocol(protocol, clicks, seeds),
            }
            _write_report(report, document)
    if failed:
        complain(
            f"{len(failed)} of {len(pairing.pairs)} images failed and are not in the"
            f" means ({', '.join(failed)})."
        )
        raise typer.Exit(SOME_FAILED)


def _collect(
    scores: Sequence[Sequence["ImageScore | MedsaScore"]], seeds: Sequence[int]
) -> Scores:
    import numpy as np

    from napari_glmedsa.training.gate import paired_bootstrap

    by_seed = [_means(column) for column in zip(*scores, strict=True)]
    metrics = [name for name in by_seed[0] if not name.startswith("pooled")]
    # image, seed, click
    values = {
        name: np.array([[getattr(one, name) for one in row] for row in scores])
        for name in metrics
    }
    per_image = {name: array.mean(axis=1) for name, array in values.items()}
    means = {name: [one[name] for one in by_seed] for name in by_seed[0]}
    several = len(seeds) > 1
    return Scores(
        seeds=dict(zip(seeds, by_seed, strict=True)),
        images=[
            (row[0].id, {name: per_image[name][n].tolist() for name in metrics})
            for n, row in enumerate(scores)
        ],
        mean={name: np.mean(rows, axis=0).tolist() for name, rows in means.items()},
        sd={
            name: np.std(rows, axis=0, ddof=1).tolist()
            for name, rows in means.items()
            if several
        },
        interval={
            name: [paired_bootstrap(column) for column in array.T]
            for name, array in per_image.items()
            if len(scores) > 1
        },
    )


def _means(scores: Sequence["ImageScore | MedsaScore"]) -> Metrics:
    import numpy as np

    from napari_glmedsa.evaluation import ImageScore, summarise

    full = [score for score in scores if isinstance(score, ImageScore)]
    if full:
        return summarise(full)
    return {
        name: np.mean([getattr(score, name) for score in scores], axis=0).tolist()
        for name in ("dice", "iou")
    }


def _figures(result: Scores) -> dict[str, Any]:
    figures: dict[str, Any] = {"mean": result.mean, "interval": result.interval}
    if result.sd:
        figures["sd"] = result.sd
        figures["seeds"] = {str(seed): mean for seed, mean in result.seeds.items()}
    figures["images"] = [
        {"id": name, "dice": values["dice"], "iou": values["iou"]}
        for name, values in result.images
    ]
    return figures


def _protocol(name: str, n_clicks: int, seeds: Sequence[int]) -> dict[str, Any]:
    from napari_glmedsa.cli.medsa_protocol import MEDSA_PROTOCOL
    from napari_glmedsa.evaluation import PROTOCOL

    rules = MEDSA_PROTOCOL if name == "medsa" else PROTOCOL
    given = {"seed": seeds[0]} if len(seeds) == 1 else {"seeds": list(seeds)}
    return {"name": name, **rules, "n_clicks": n_clicks, **given}


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
