"""A base model's folder: weights and card, written together and held together."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_glmedsa.files import sha256_file, write_json
from napari_glmedsa.model import BaseCard, read_base_card
from napari_glmedsa.tensors import write_safetensors

if TYPE_CHECKING:  # torch takes seconds
    from collections.abc import Mapping

    import torch

WEIGHTS_FILE = "model.safetensors"


def write_base(
    folder: Path, tensors: "Mapping[str, torch.Tensor]", **facts: Any
) -> BaseCard:
    """Write a base model's weights and card into `folder`, whose name is its name.

    Parameters
    ----------
    folder
        Made if missing, usually ``<root>/base/<name>``.
    tensors
        A SAM state dict, written in its own float type.
    facts
        For the card: description, licence, training, metrics.
    """
    from napari_glmedsa.adapters import tensors_sha256

    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / WEIGHTS_FILE, tensors)
    card = {
        "file": WEIGHTS_FILE,
        "sha256": tensors_sha256(tensors),
        "bytes": (folder / WEIGHTS_FILE).stat().st_size,
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        **facts,
    }
    write_json(folder / "card.json", card)
    return read_base_card(folder)


def is_whole(card: BaseCard, sha256: str) -> bool:
    """Tell whether weights are those of the card, be it by tensors or by file."""
    if card.sha256:
        return sha256 == card.sha256
    return sha256_file(card.path) == card.facts.get("file_sha256")
