"""`glmedsa evaluate`: simulated clicks on images whose masks are known."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_glmedsa.cli.inputs import (
    DeviceOption,
    ModelOption,
    PrecisionOption,
    load_predictor,
    model_spec,
)
from napari_glmedsa.cli.pairing import name_unpaired, pair_by_stem, read_pair
from napari_glmedsa.cli.score_files import prepare_report, write_report, write_sheet
from napari_glmedsa.cli.score_tables import Metrics, Scores, show_scores
from napari_glmedsa.cli.terminal import SOME_FAILED, complain, telling
from napari_glmedsa.errors import GLMedSAError, PromptError

# that of `simulation`, which imports numpy
ClickPolicy = Literal["positive", "corrective", "random", "center"]

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
    policy: Annotated[
        ClickPolicy,
        typer.Option(
            help="Where clicks fall: on missed lesion, on any error, anywhere on the"
            " lesion, or on the inmost pixel of missed lesion, without chance."
        ),
    ] = "positive",
    protocol: Annotated[
        Literal["image", "medsa"],
        typer.Option(help="At the image's own size, or as Med-SA's release scores."),
    ] = "image",
    hd95: Annotated[
        bool,
        typer.Option("--hd95", help="Also how far the outlines are apart, in pixels."),
    ] = False,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "fp32",
    report: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write the scores here."),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="FILE", help="Also write each image's scores here."
        ),
    ] = None,
) -> None:
    """Measure a model: Dice, IoU and other scores after 1, 2, ... clicks.

    The first click falls on a random pixel of the lesion, each later one on a
    random pixel that the model missed; the same seed gives the same clicks.
    """
    from napari_glmedsa.evaluation import Case

    seeds = tuple(dict.fromkeys(seed or [0]))
    score = _scorer(protocol, policy, outlines=hd95, n_clicks=clicks, seeds=seeds)
    pairing = pair_by_stem(images, masks)
    name_unpaired(pairing)
    for option, file in (("--json", report), ("--csv", sheet)):
        if file is not None:
            prepare_report(file, option)
    spec = model_spec(model)
    predictor = load_predictor(spec, device, precision)

    scores: list[Sequence[ImageScore | MedsaScore]] = []  # per image, per seed
    failed: list[str] = []
    with telling(len(pairing.pairs), "Evaluating") as teller:
        for image_path, mask_path in pairing.pairs:
            try:
                case = Case(image_path.stem, *read_pair(image_path, mask_path))
                scores.append([*score(predictor, case)])
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
                "protocol": _rules(protocol, policy, hd95, clicks, seeds),
            }
            write_report(report, document)
        if sheet is not None:
            write_sheet(sheet, result)
    if failed:
        complain(
            f"{len(failed)} of {len(pairing.pairs)} images failed and are not in the"
            f" means ({', '.join(failed)})."
        )
        raise typer.Exit(SOME_FAILED)


def _scorer(
    protocol: str,
    policy: ClickPolicy,
    *,
    outlines: bool,
    n_clicks: int,
    seeds: Sequence[int],
) -> "Callable[..., Iterable[ImageScore | MedsaScore]]":
    from napari_glmedsa.cli.medsa_protocol import evaluate_medsa
    from napari_glmedsa.evaluation import evaluate_seeds

    if policy == "center" and len(seeds) > 1:
        raise PromptError(
            "With --policy center nothing is drawn, so every --seed gives the same;"
            " leave them out."
        )
    if protocol == "medsa" and outlines:
        raise PromptError(
            "Med-SA's release measures no distances; leave out --hd95 or --protocol"
            " medsa."
        )
    scorer = (
        evaluate_medsa
        if protocol == "medsa"
        else partial(evaluate_seeds, outlines=outlines)
    )
    return partial(scorer, n_clicks=n_clicks, seeds=seeds, policy=policy)


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
    figures["images"] = [{"id": name, **values} for name, values in result.images]
    return figures


def _rules(
    name: str,
    policy: ClickPolicy,
    outlines: bool,
    n_clicks: int,
    seeds: Sequence[int],
) -> dict[str, Any]:
    from napari_glmedsa.cli.medsa_protocol import MEDSA_PROTOCOL
    from napari_glmedsa.evaluation import protocol

    rules = protocol(policy, outlines=outlines)
    if name == "medsa":
        clicked = ("first_click", "next_clicks", "labels", "seeding")
        rules = {**{key: rules[key] for key in clicked}, **MEDSA_PROTOCOL}
    given = {"seed": seeds[0]} if len(seeds) == 1 else {"seeds": list(seeds)}
    return {"name": name, "policy": policy, **rules, "n_clicks": n_clicks, **given}
