"""What a model is called, and what is known about a base before it is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from napari_glmedsa.errors import ModelNotFoundError, RegistryError
from napari_glmedsa.files import read_json


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A base model with or without an adapter; ``str`` gives ``"base+adapter"``.

    Parameters
    ----------
    base
        Name in the registry, or path of a weights file.
    adapter
        Name in the registry, path of an adapter file, or None.
    """

    base: str
    adapter: str | None = None

    def __str__(self) -> str:
        return self.base if self.adapter is None else f"{self.base}+{self.adapter}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"base"`` or ``"base+adapter"``.

        Raises
        ------
        ModelNotFoundError
            If a part is empty.
        """
        base, plus, adapter = text.partition("+")
        if plus and Path(text).exists():  # a path with a plus sign in it
            return cls(text)
        if not base or (plus and not adapter):
            raise ModelNotFoundError(
                f"{text!r} is not a model; write BASE or BASE+ADAPTER."
            )
        return cls(base, adapter or None)


DEFAULT_MODEL = ModelSpec("sam_vit_mini", "glmedsa_vit_mini_isic")


@dataclass(frozen=True)
class BaseCard:
    """What is known about a base model.

    Parameters
    ----------
    name
        Folder name in the registry.
    path
        The weights file, which may not be there yet.
    sha256
        `tensors_sha256` of the weights; adapters name it.
    description, licence
        One sentence each.
    facts
        Everything in ``card.json``.
    """

    name: str
    path: Path
    sha256: str
    description: str = ""
    licence: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def installed(self) -> bool:
        """Whether the weights are on this computer."""
        return self.path.is_file()

    @property
    def bytes(self) -> int:
        """Size of the weights file, 0 if it is not there."""
        return self.path.stat().st_size if self.installed else 0


def read_base_card(folder: Path) -> BaseCard:
    """Read ``card.json`` of a base's folder; raises RegistryError if it is damaged."""
    try:
        facts = read_json(folder / "card.json")
        return BaseCard(
            name=folder.name,
            path=folder / facts["file"],
            sha256=facts["sha256"],
            description=facts.get("description", ""),
            licence=facts.get("licence", ""),
            facts=facts,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"The model card {folder / 'card.json'} is damaged ({error}); install the "
            "model again or delete its folder."
        ) from error
