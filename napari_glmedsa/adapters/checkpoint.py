"""Adapter files: safetensors with a card in the header, refused on a wrong base."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from segment_anything.modeling import ImageEncoderViT, Sam
from torch import Tensor, nn

from napari_glmedsa.adapters.card import AdapterCard, card_header, read_card
from napari_glmedsa.adapters.inject import (
    adapter_state_dict,
    inject_adapters,
    load_adapter_state_dict,
    remove_adapters,
)
from napari_glmedsa.adapters.switches import apply_compat, remove_compat
from napari_glmedsa.errors import AdapterMismatchError, CheckpointError
from napari_glmedsa.tensors import open_safetensors, read_safetensors, write_safetensors

_DECODER = "decoder."


def tensors_sha256(state_dict: Mapping[str, Tensor]) -> str:
    """Return a hash of named tensors that outlives re-saving in another format.

    SHA-256 over the sorted names with dtype, shape and raw little-endian bytes.
    """
    digest = hashlib.sha256()
    for name in sorted(state_dict):
        tensor = state_dict[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_adapter(
    path: Path,
    encoder: ImageEncoderViT,
    card: AdapterCard,
    *,
    mask_decoder: nn.Module | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write the encoder's adapters and the card atomically.

    Parameters
    ----------
    path
        Target, usually ``adapter.safetensors``.
    encoder
        A SAM image encoder with adapters.
    card
        Travels in the header; an empty ``created`` becomes the time of writing.
    mask_decoder
        Given if the decoder was trained too: its tensors are then stored
        beside the adapters', under ``decoder.``.
    dtype
        Floating type on disk.
    """
    tensors = adapter_state_dict(encoder)
    if not tensors:
        raise CheckpointError("There is no adapter in this encoder to save.")
    if mask_decoder is not None:
        decoder = mask_decoder.state_dict()
        tensors |= {f"{_DECODER}{name}": tensor for name, tensor in decoder.items()}
    created = card.created or datetime.now(UTC).isoformat(timespec="seconds")
    header = {**card_header(replace(card, created=created)), "torch": torch.__version__}
    stored = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in tensors.items()
    }
    write_safetensors(path, stored, metadata=header)


def has_decoder(path: Path) -> bool:
    """Say whether an adapter file holds a trained mask decoder, too."""
    with open_safetensors(path) as file:
        return any(name.startswith(_DECODER) for name in file.keys())  # noqa: SIM118


def load_adapter(path: Path, sam: Sam, *, base_sha256: str) -> AdapterCard:
    """Put the adapters (and a trained decoder) of a file into `sam`, in place.

    Adapters that were there before are removed first. A decoder in the file
    replaces the one in `sam` for good: load the base again to get it back. The
    switches of ``card.config.compat`` are thrown.

    Raises
    ------
    AdapterMismatchError
        If the adapter was trained on another base or does not fit; `sam` then
        has no adapters.
    CheckpointError
        If the file cannot be read.
    """
    card = read_card(path)
    if card.base_sha256 != base_sha256:
        raise AdapterMismatchError(
            f"Adapter {card.name} was trained on another base model "
            f"({card.base_model}, {card.base_sha256[:8]}...), not on this one "
            f"({base_sha256[:8]}...); choose the base it belongs to."
        )
    tensors = read_safetensors(path)
    decoder = {
        name.removeprefix(_DECODER): tensors.pop(name)
        for name in list(tensors)
        if name.startswith(_DECODER)
    }
    remove_compat(sam)
    remove_adapters(sam.image_encoder)
    inject_adapters(sam.image_encoder, card.config)
    try:
        load_adapter_state_dict(sam.image_encoder, tensors)
        if decoder:
            sam.mask_decoder.load_state_dict(decoder)
    except (AdapterMismatchError, RuntimeError) as error:
        remove_adapters(sam.image_encoder)
        if isinstance(error, AdapterMismatchError):
            raise
        raise AdapterMismatchError(
            f"The mask decoder stored with adapter {card.name} does not fit this base."
        ) from error
    apply_compat(sam, card.config.compat)
    return card
