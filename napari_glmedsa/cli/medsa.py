"""`glmedsa models import-medsa` and `export-medsa`: Med-SA's own checkpoints."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from napari_glmedsa.adapters.compat import Compat
from napari_glmedsa.adapters.config import GLMedSAConfig
from napari_glmedsa.cli.store import RootOption, models_in
from napari_glmedsa.cli.terminal import complain, remark
from napari_glmedsa.errors import (
    AdapterMismatchError,
    CheckpointError,
    OutputError,
)

if TYPE_CHECKING:
    from segment_anything.modeling import Sam
    from torch import Tensor

    from napari_glmedsa.adapters.medsa import MedSACheckpoint

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
    import torch

    from napari_glmedsa.adapters import (
        AdapterCard,
        input_contract,
        save_adapter,
    )
    from napari_glmedsa.adapters.medsa import read_medsa
    from napari_glmedsa.files import sha256_file
    from napari_glmedsa.inference import read_weights

    if not checkpoint.is_file():
        raise CheckpointError(f"There is no file {checkpoint}; check the path.")
    said = {"--input-range": input_range, "--point-order": point_order}
    switches = _input_switches({**said, "--resize": resize}, preset, checkpoint)
    read = read_medsa(read_weights(checkpoint))
    config = _config(read, preset, switches, checkpoint)
    registry = models_in(root)
    original, base_sha256 = registry.load_base(base, device=torch.device("cpu"))
    sam = _at_its_size(original, read, checkpoint, asked=image_size, preset=preset)
    if odd := _unlike(_as_kept(original, sam), read, config.compat):
        raise AdapterMismatchError(
            f"{checkpoint.name} was not trained from {base}: {odd[0]} and "
            f"{len(odd) - 1} other tensors that Med-SA never trains differ; name the "
            "SAM that it was trained from with --base."
        )
    _fill(sam, read, config, checkpoint)
    card = AdapterCard(
        name=name,
        base_model=base,
        base_sha256=base_sha256,
        config=config,
        preprocess=input_contract(sam),
        training={
            "imported": {
                "file": checkpoint.name,
                "sha256": sha256_file(checkpoint),
                "holds": "adapters" if not read.base else "model",
                "notes": list(read.notes),
            }
        },
        licence="unknown; ask whoever trained it",
        description=f"Med-SA adapters imported from {checkpoint.name}",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adapter.safetensors"
        decoder = sam.mask_decoder if read.has_decoder else None
        save_adapter(path, sam.image_encoder, card, mask_decoder=decoder)
        registry.add_adapter(path)
    for note in read.notes:
        complain(note)
    typer.echo(f"{base}+{name} is installed. {_summary(card.preprocess, config)}")


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
    import torch

    from napari_glmedsa.adapters import (
        adapter_state_dict,
        load_adapter,
        read_card,
        to_medsa,
    )
    from napari_glmedsa.adapters.checkpoint import has_decoder
    from napari_glmedsa.files import atomic_write
    from napari_glmedsa.inference import resize_sam
    from napari_glmedsa.tensors import write_safetensors

    if file.suffix not in (".pth", ".safetensors"):
        raise OutputError(f"{file.name} must end in .pth or .safetensors.")
    registry = models_in(root)
    path = registry.adapter_path(name)
    card = read_card(path)
    original, sha256 = registry.load_base(card.base_model, device=torch.device("cpu"))
    sam = original
    if (size := card.preprocess.get("image_size", 0)) not in (0, _size(sam)):
        sam = resize_sam(sam, size)
    tensors = _as_kept(original, sam)
    load_adapter(path, sam, base_sha256=sha256)
    if has_decoder(path):
        decoder = sam.mask_decoder.state_dict()
        tensors |= {f"mask_decoder.{key}": t for key, t in decoder.items()}
    if card.training.get("imported", {}).get("holds") == "adapters":
        tensors = {}
    state = to_medsa(tensors, adapter_state_dict(sam.image_encoder), card.config)
    state = {key: tensor.detach().contiguous() for key, tensor in state.items()}
    if file.suffix == ".safetensors":
        write_safetensors(file, state)
    else:
        with atomic_write(file) as partial:
            torch.save(state, partial)
    if differences := _unlike_medsa(card.config):
        complain(f"Med-SA will compute something else: {'; '.join(differences)}.")
    typer.echo(f"{len(state)} tensors are in {file}.")


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


def _config(
    read: "MedSACheckpoint",
    preset: str | None,
    switches: Mapping[str, Any],
    checkpoint: Path,
) -> GLMedSAConfig:
    """Return the file's configuration with what only its user can know."""
    if read.has_encoder:  # its names tell the release
        return replace(read.config, compat=replace(read.config.compat, **switches))
    if preset is None:
        raise CheckpointError(
            f"{checkpoint.name} holds adapters alone, so nothing tells how the encoder "
            f"around them computed; give --preset {' or '.join(get_args(Preset))} too."
        )
    if preset == "paper":
        compat = Compat(medsa_decoder=read.config.compat.medsa_decoder, **switches)
        return replace(read.config, activation="relu", compat=compat)
    compat = replace(read.config.compat, drop_rel_pos=True, norm_after_pad=True)
    return replace(read.config, compat=replace(compat, **switches))


def _at_its_size(
    sam: "Sam",
    read: "MedSACheckpoint",
    checkpoint: Path,
    *,
    asked: int | None,
    preset: str | None,
) -> "Sam":
    """Return `sam` for the input size that the file tells, or else the user."""
    from napari_glmedsa.inference import resize_sam

    told = _told_size(sam, read)
    if asked is not None and told not in (None, asked):
        raise CheckpointError(
            f"The position tables in {checkpoint.name} are for {told} pixels, not for "
            f"--image-size {asked}; leave that option out."
        )
    size = asked or told
    if size is None and preset is None:
        raise CheckpointError(
            f"{checkpoint.name} does not say for which size of images it was trained; "
            "give --image-size, such as 1024."
        )
    if size is None:
        size = _size(sam)
        remark(f"The input is {size} pixels, as the base's; --image-size changes it.")
    if size % 16:
        raise CheckpointError(f"--image-size must be a multiple of 16, not {size}.")
    return sam if size == _size(sam) else resize_sam(sam, size)


def _told_size(sam: "Sam", read: "MedSACheckpoint") -> int | None:
    """Read the input size off the table of a block that attends to everything."""
    for index, block in enumerate(sam.image_encoder.blocks):
        name = f"image_encoder.blocks.{index}.attn.rel_pos_h"
        if block.window_size == 0 and name in read.base:
            return 16 * (len(read.base[name]) + 1) // 2
    return None


def _fill(
    sam: "Sam", read: "MedSACheckpoint", config: GLMedSAConfig, checkpoint: Path
) -> None:
    """Put adapters, decoder and switches into `sam`."""
    from napari_glmedsa.adapters import (
        apply_compat,
        inject_adapters,
        load_adapter_state_dict,
    )

    inject_adapters(sam.image_encoder, config)
    load_adapter_state_dict(sam.image_encoder, read.adapters)
    if read.has_decoder:
        decoder = {
            key.removeprefix("mask_decoder."): tensor
            for key, tensor in read.base.items()
            if key.startswith("mask_decoder.")
        }
        try:
            sam.mask_decoder.load_state_dict(decoder)
        except RuntimeError as error:
            raise AdapterMismatchError(
                f"The mask decoder in {checkpoint.name} is not one of SAM's; only "
                "Med-SA's SAM models can be imported."
            ) from error
    apply_compat(sam, config.compat)


def _as_kept(original: "Sam", resized: "Sam") -> "dict[str, Tensor]":
    """Return tensors as Med-SA keeps them for another input size.

    The position tables have that size; the positions of patches keep SAM's, and are
    resized whenever they are used.
    """
    tables = {n: t for n, t in resized.state_dict().items() if ".rel_pos_" in n}
    return {**original.state_dict(), **tables}


def _unlike(
    own: Mapping[str, "Tensor"], read: "MedSACheckpoint", compat: Compat
) -> list[str]:
    """Return the frozen tensors that are not the base's, in order of name."""
    odd = []
    for name, tensor in read.base.items():
        lost = compat.drop_rel_pos and ".rel_pos_" in name
        if name.startswith("mask_decoder.") or lost:
            continue
        same = name in own and own[name].shape == tensor.shape
        if not same or not bool((own[name] == tensor).all()):
            odd.append(name)
    return sorted(odd)


def _unlike_medsa(config: GLMedSAConfig) -> list[str]:
    """Say what about an adapter Med-SA's code does not know."""
    checks = {
        "it has no global adapters and passes over them": "block" in config.sites,
        "it knows GELU only": config.activation != "gelu",
        "its adapters have other scales": (config.attn_scale, config.mlp_scale)
        != (1.0, 0.5),
        "its encoder pads windows before the norm": not config.compat.norm_after_pad,
    }
    return [sentence for sentence, differs in checks.items() if differs]


def _summary(contract: Mapping[str, Any], config: GLMedSAConfig) -> str:
    on = [name for name, value in asdict(config.compat).items() if value is True]
    return (
        f"Input: {contract['image_size']} pixels, {contract['range']}, clicks "
        f"{contract['point_order']}, {contract['resize']}. Switches: "
        f"{', '.join(on) or 'none'}."
    )


def _size(sam: "Sam") -> int:
    size: int = sam.image_encoder.img_size
    return size
