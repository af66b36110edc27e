"""Med-SA's own checkpoints, brought into a registry and written out of it again."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from napari_glmedsa.adapters import (
    AdapterCard,
    Compat,
    GLMedSAConfig,
    adapter_state_dict,
    apply_compat,
    inject_adapters,
    input_contract,
    load_adapter,
    load_adapter_state_dict,
    read_card,
    save_adapter,
    to_medsa,
)
from napari_glmedsa.adapters.checkpoint import has_decoder
from napari_glmedsa.adapters.medsa import MedSACheckpoint, read_medsa
from napari_glmedsa.errors import AdapterMismatchError, CheckpointError, OutputError
from napari_glmedsa.files import atomic_write, sha256_file
from napari_glmedsa.inference import read_weights, resize_sam
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.tensors import write_safetensors


def import_checkpoint(
    registry: ModelRegistry,
    checkpoint: Path,
    *,
    base: str,
    name: str,
    switches: Mapping[str, Any],
    preset: str | None = None,
    image_size: int | None = None,
) -> AdapterCard:
    """Install the adapters, and the mask decoder, of a Med-SA checkpoint.

    Parameters
    ----------
    registry
        Where they go, and where the base is.
    checkpoint
        A training checkpoint or a file of the Adapter Zoo; never unpickled.
    base
        The SAM that it was trained from.
    name
        What it is called in the registry.
    switches
        `Compat` fields about the input, which no file tells.
    preset
        ``"medsa-2024-06"`` or ``"paper"``: how the encoder computed, for a file of
        adapters alone, which does not tell that either.
    image_size
        Side of the input, if neither the file tells it nor a preset is named.

    Returns
    -------
    AdapterCard
        Its ``training["imported"]["notes"]`` say what was left out.

    Raises
    ------
    CheckpointError
        If the file cannot be read or leaves something open that must be said.
    AdapterMismatchError
        If it was not trained from this base.
    """
    if not checkpoint.is_file():
        raise CheckpointError(f"There is no file {checkpoint}; check the path.")
    read = read_medsa(read_weights(checkpoint))
    config = _config(read, preset, switches, checkpoint)
    original, base_sha256 = registry.load_base(base, device=torch.device("cpu"))
    sam = _at_its_size(original, read, checkpoint, asked=image_size, preset=preset)
    if odd := _unlike(_as_kept(original, sam), read, config.compat):
        raise AdapterMismatchError(
            f"{checkpoint.name} was not trained from {base}: {odd[0]} and "
            f"{len(odd) - 1} other tensors that Med-SA never trains differ; name the "
            "SAM that it was trained from with --base."
        )
    _fill(sam, read, config, checkpoint)
    notes = list(read.notes)
    if image_size is None and _told_size(original, read) is None:
        notes.append(
            f"The file does not tell the size of its input, so it is the base's "
            f"{_size(sam)} pixels; --image-size names another."
        )
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
                "holds": "model" if read.base else "adapters",
                "notes": notes,
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
    return card


def export_adapter(
    registry: ModelRegistry, name: str, file: Path
) -> tuple[AdapterCard, int]:
    """Write an adapter with its base as a Med-SA state dict.

    Parameters
    ----------
    registry
        Where both are.
    name
        The adapter's, or its path.
    file
        Ends in ``.pth`` or ``.safetensors``.

    Returns
    -------
    card
        The adapter's.
    count
        How many tensors there are in the file.

    Raises
    ------
    OutputError
        If the file has another ending.
    """
    if file.suffix not in (".pth", ".safetensors"):
        raise OutputError(f"{file.name} must end in .pth or .safetensors.")
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
    return card, len(state)


def unknown_to_medsa(config: GLMedSAConfig) -> list[str]:
    """Say what about an adapter Med-SA's code does not know."""
    checks = {
        "it has no global adapters and passes over them": "block" in config.sites,
        "it knows GELU only": config.activation != "gelu",
        "its adapters have other scales": (config.attn_scale, config.mlp_scale)
        != (1.0, 0.5),
        "its encoder pads windows before the norm": not config.compat.norm_after_pad,
    }
    return [sentence for sentence, differs in checks.items() if differs]


def _config(
    read: MedSACheckpoint,
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
            "around them computed; give --preset medsa-2024-06 or paper too."
        )
    if preset == "paper":
        compat = Compat(medsa_decoder=read.config.compat.medsa_decoder, **switches)
        return replace(read.config, activation="relu", compat=compat)
    compat = replace(read.config.compat, drop_rel_pos=True, norm_after_pad=True)
    return replace(read.config, compat=replace(compat, **switches))


def _at_its_size(
    sam: Sam,
    read: MedSACheckpoint,
    checkpoint: Path,
    *,
    asked: int | None,
    preset: str | None,
) -> Sam:
    """Return `sam` for the input size that the file tells, or else the user."""
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
    if size % 16:
        raise CheckpointError(f"--image-size must be a multiple of 16, not {size}.")
    return sam if size == _size(sam) else resize_sam(sam, size)


def _told_size(sam: Sam, read: MedSACheckpoint) -> int | None:
    """Read the input size off the table of a block that attends to everything."""
    for index, block in enumerate(sam.image_encoder.blocks):
        name = f"image_encoder.blocks.{index}.attn.rel_pos_h"
        if block.window_size == 0 and name in read.base:
            return 16 * (len(read.base[name]) + 1) // 2
    return None


def _as_kept(original: Sam, resized: Sam) -> dict[str, Tensor]:
    """Return tensors as Med-SA keeps them for another input size.

    The position tables have that size; the positions of patches keep SAM's, and are
    resized whenever they are used.
    """
    tables = {n: t for n, t in resized.state_dict().items() if ".rel_pos_" in n}
    return {**original.state_dict(), **tables}


def _unlike(
    own: Mapping[str, Tensor], read: MedSACheckpoint, compat: Compat
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


def _fill(
    sam: Sam, read: MedSACheckpoint, config: GLMedSAConfig, checkpoint: Path
) -> None:
    """Put adapters, decoder and switches into `sam`."""
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


def _size(sam: Sam) -> int:
    size: int = sam.image_encoder.img_size
    return size
