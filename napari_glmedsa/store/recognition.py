"""Which official file a file is: its hash tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_glmedsa.adapters.card import FORMAT
from napari_glmedsa.errors import CheckpointError
from napari_glmedsa.files import sha256_file
from napari_glmedsa.model import BaseCard, read_base_card
from napari_glmedsa.roots import catalogue
from napari_glmedsa.store.transfer import Transfer
from napari_glmedsa.tensors import open_safetensors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_glmedsa.store.transfer import Report


_LASTING = (
    *("description", "architecture", "input"),
    *("source", "licence", "citation"),
)


def official_cards() -> list[BaseCard]:
    """Return the cards of the catalogue, whatever is installed."""
    folders = (catalogue() / "base").glob("*/card.json")
    return [read_base_card(path.parent) for path in sorted(folders)]


def recognise(file: Path, cards: Sequence[BaseCard], report: Report) -> BaseCard | None:
    """Return the card whose download this file is, or None.

    Parameters
    ----------
    file
        It is only read if it has the size of one of the downloads.
    cards
        Of which those with an address are compared.
    report
        Called before the file is read.
    """
    size = file.stat().st_size
    known = [card for card in cards if card.url and card.full_bytes == size]
    if not known:
        return None
    report(Transfer("checking", 0, size))
    sha256 = sha256_file(file)
    return next((c for c in known if c.facts.get("file_sha256") == sha256), None)


def inherited_facts(card: BaseCard) -> dict[str, Any]:
    """Return what the card of an installed base takes over from that of a download."""
    facts = {key: card.facts[key] for key in _LASTING if key in card.facts}
    original = {key: card.facts[key] for key in ("file", "url", "bytes", "file_sha256")}
    return {**facts, "original": original}


def own_facts(file: Path) -> dict[str, Any]:
    """Return what is known about a file that nobody knows."""
    return {
        "description": f"Added from {file.name}",
        "licence": "not stated",
        "original": {"file": file.name, "bytes": file.stat().st_size},
    }


def is_adapter(file: Path) -> bool:
    """Tell whether a file holds adapters of this program rather than a base."""
    try:
        with open_safetensors(file) as opened:
            return (opened.metadata() or {}).get("format") == FORMAT
    except CheckpointError:
        return False
