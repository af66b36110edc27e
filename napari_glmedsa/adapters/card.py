"""What an adapter file says about itself, readable without loading a tensor."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_glmedsa import __version__
from napari_glmedsa.adapters.config import GLMedSAConfig
from napari_glmedsa.errors import CheckpointError
from napari_glmedsa.tensors import open_safetensors

FORMAT = "glmedsa-adapter"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class AdapterCard:
    """What an adapter file says about itself; it travels in the file's header.

    Parameters
    ----------
    name
        Name in the registry.
    base_model
        Name of the base model it was trained on, such as ``"sam_vit_b"``.
    base_sha256
        `tensors_sha256` of that base; another base is refused.
    config
        Sites and shape of the adapters.
    multimask_output
        Whether SAM's multi-mask tokens answer; inference must repeat training.
    preprocess
        Input contract: image size, resize, mean, std, point order.
    training
        Where it comes from. A run writes ``run`` and ``project`` (names), ``parent``
        (``name`` and ``sha256`` of the adapter it went on from, or None), ``data``
        (``sha256`` and ``counts`` per split), ``config`` and ``packages``.
    metrics
        Measured figures with their protocol.
    licence
        What the weights may be used for.
    description
        One sentence for a model list.
    """

    name: str
    base_model: str
    base_sha256: str
    config: GLMedSAConfig
    multimask_output: bool = False
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    description: str = ""
    code_version: str = __version__
    created: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the card as plain JSON types."""
        return {**vars(self), "config": self.config.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "AdapterCard":
        """Rebuild a card from `to_json`."""
        return cls(**{**fields, "config": GLMedSAConfig.from_json(fields["config"])})


def card_header(card: AdapterCard) -> dict[str, str]:
    """Return what the header of an adapter file says, the card among it."""
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "card": json.dumps(card.to_json()),
    }


def read_card(path: Path) -> AdapterCard:
    """Read the card from the file's header; no tensor is loaded.

    Raises
    ------
    CheckpointError
        If the file is not an adapter file of this package, or a newer one.
    """
    with open_safetensors(path) as file:
        header = file.metadata() or {}
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{path.name} is a safetensors file but not a GL-Med-SA adapter; choose "
            "an adapter.safetensors that this program has written."
        )
    try:
        version = int(header["format_version"])
        if version > FORMAT_VERSION:
            raise CheckpointError(
                f"{path.name} has adapter format {version}, this program reads up to "
                f"{FORMAT_VERSION}; update napari-glmedsa."
            )
        return AdapterCard.from_json(json.loads(header["card"]))
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"The card in {path.name} is damaged ({error}); get the file again."
        ) from error
