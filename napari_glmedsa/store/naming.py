"""What a base may be called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_glmedsa.errors import RegistryError
from napari_glmedsa.model import refuse_odd_name
from napari_glmedsa.store.recognition import official_cards

if TYPE_CHECKING:
    from napari_glmedsa.model import BaseCard


def plain_name(stem: str) -> str:
    """Return a file's name as the name of a model."""
    return re.sub(r"[^\w.-]+", "_", stem, flags=re.ASCII).strip("._-") or "model"


def refuse_name(name: str, official: BaseCard | None) -> None:
    """Raise RegistryError for what is no name, or the name of an official model.

    Parameters
    ----------
    name
        What a base shall be called.
    official
        The card of the official model that it is, or None.
    """
    refuse_odd_name(name)
    reserved = name in {card.name for card in official_cards()}
    if reserved and (official is None or official.name != name):
        raise RegistryError(
            f"{name} is the name of an official model, which this file is not; "
            "choose another --name."
        )
