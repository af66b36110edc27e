"""`glmedsa models import-medsa` and `export-medsa`: Med-SA's own checkpoints."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from napari_glmedsa.adapters.config import GLMedSAConfig
from napari_glmedsa.cli.store import RootOption, models_in
from napari_glmedsa.cli.terminal import complain
from napari_glmedsa.errors import CheckpointError

if TYPE_CHECKING:
    from napari_glmedsa.adapters.card import AdapterCard

Preset = Literal["medsa-2024-06", "paper"]

_INPUT: Mapping[str, tuple[str, dict[str, bool]]] = {
    "--input-range": ("unit_range_input", {"unit": True, "normalised": False}),
    "--point-order": ("swap_xy", {"yx": True, "xy": False}),
    "--resize": ("square_resize", {"square": True, "longest-side": False}),
}


def import_medsa(
    checkpoint: Annotated[Path, typer.Argument(metavar="CKPT")],
    *,
    base: Annotated[
        str, typer.Option(metavar="BASE", help="The SAM that it was trained from.")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="What it is called here.")],
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(get_args(Preset)),
            help="How its training fed it; the options below override single parts.",
        ),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(metavar="PIXELS", min=16, help="Side of its input.")
    ] = None,
    input_range: Annotated[
        str | None,
        typer.Option(
            metavar="unit|normalised",
            help="Pixels from 0 to 1, or with SAM's mean and standard deviation.",
        ),
    ] = None,
    point_order: Annotated[
        str | None,
        typer.Option(metavar="yx|xy", help="How its clicks reached SAM."),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(
            metavar="square|longest-side",
            help="Whether images were stretched or padded.",
        ),
    ] = None,
    root: RootOption = None,
) -> None:
    """Import a checkpoint of Medical-SAM-Adapter or its Adapter Zoo.

    Such a file never says what its images and clicks looked like in training, so
    you must: with --preset, or with --input-range, --point-order and --resize.
    """
    from napari_glmedsa.store.medsa import import_checkpoint

    said = {"--input-range": input_range, "--point-order": point_order}
    card = import_checkpoint(
        models_in(root),
        checkpoint,
        base=base,
        name=name,
        switches=_input_switches({**said, "--resize": resize}, preset, checkpoint),
        preset=preset,
        image_size=image_size,
    )
    for note in card.training["imported"]["notes"]:
        complain(note)
    typer.echo(f"{base}+{name} is installed. {_summary(card)}")


def export_medsa(
    name: Annotated[str, typer.Argument(metavar="ADAPTER")],
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    *,
    root: RootOption = None,
) -> None:
    """Write an adapter with its base as Med-SA would: a state dict in FILE.

    FILE ends in .pth, as PyTorch saves it, or in .safetensors. What was imported
    comes out bit by bit as it was, without adapters over depth.
    """
    from napari_glmedsa.store.medsa import export_adapter, unknown_to_medsa

    card, count = export_adapter(models_in(root), name, file)
    if differences := unknown_to_medsa(card.config):
        complain(f"Med-SA will compute something else: {'; '.join(differences)}.")
    typer.echo(f"{count} tensors are in {file}.")


def _input_switches(
    said: Mapping[str, str | None], preset: str | None, checkpoint: Path
) -> dict[str, Any]:
    """Return the switches that the user has named; refuse to make one up."""
    if preset is not None and preset not in get_args(Preset):
        raise CheckpointError(
            f"There is no preset {preset!r} for imports; choose "
            f"{' or '.join(get_args(Preset))}."
        )
    known = asdict(GLMedSAConfig.preset("paper" if preset == "paper" else "medsa-code"))
    result: dict[str, Any] = {}
    missing = []
    for option, value in said.items():
        switch, choices = _INPUT[option]
        if value is not None:
            if value not in choices:
                raise CheckpointError(
                    f"{option} must be {' or '.join(choices)}, not {value!r}."
                )
            result[switch] = choices[value]
        elif preset is not None:
            result[switch] = known["compat"][switch]
        else:
            missing.append(f"{option} {'|'.join(choices)}")
    if missing:
        raise CheckpointError(
            f"{checkpoint.name} does not say what its training looked like, and a "
            f"guess would spoil every mask; give {', '.join(missing)}, or --preset "
            f"{' or '.join(get_args(Preset))}."
        )
    return result


def _summary(card: "AdapterCard") -> str:
    contract = card.preprocess
    switches = asdict(card.config.compat)
    on = [name for name, value in switches.items() if value is True]
    return (
        f"Input: {contract['image_size']} pixels, {contract['range']}, clicks "
        f"{contract['point_order']}, {contract['resize']}. Switches: "
        f"{', '.join(on) or 'none'}."
    )
