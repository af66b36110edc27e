"""What a base may be called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_glmedsa.errors import RegistryError
from napari_glmedsa.store.recognition import official_cards

if TYPE_CHECKING:
    from napari_glmedsa.model import BaseCard

_NAME = re.compile(r"\w[\w.-]*", re.ASCII)


def is_name(text: str) -> bool:
    """Tell whether a model can be called so."""
    return _NAME.fullmatch(text) is not None


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
    if not is_name(name):
        raise RegistryError(
            f"{name!r} cannot be the name of a model; use letters, digits, points, "
            "dashes and underscores."
        )
    reserved = name in {card.name for card in official_cards()}
    if reserved and (official is None or official.name != name):
        raise RegistryError(
            f"{name} is the name of an official model, which this file is not; "
            "choose another --name."
        )
