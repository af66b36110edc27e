"""What a model is called, and what is known about a base before it is loaded."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

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


_NAME = re.compile(r"\w[\w.-]*", re.ASCII)


def is_name(text: str) -> bool:
    """Tell whether a model can be called so; it becomes the name of a folder."""
    return _NAME.fullmatch(text) is not None


def refuse_odd_name(name: str) -> None:
    """Raise RegistryError unless `is_name`."""
    if not is_name(name):
        raise RegistryError(
            f"{name!r} cannot be the name of a model; use letters, digits, points, "
            "dashes and underscores."
        )


DEFAULT_MODEL = ModelSpec("sam_vit_mini", "glmedsa_vit_mini_isic")

BaseState = Literal["installed", "available", "broken"]
"""Whether a base can be loaded, can be downloaded, or neither."""


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
        `tensors_sha256` of the weights; adapters name it. Empty until a download
        from elsewhere has been installed here.
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
        """Whether the weights are on this computer, in their full length."""
        return self.bytes > 0 and self.bytes == (self.full_bytes or self.bytes)

    @property
    def bytes(self) -> int:
        """Size of the weights file, 0 if it is not there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def full_bytes(self) -> int:
        """Size that the weights file should have, 0 if the card does not say."""
        return int(self.facts.get("bytes", 0))

    @property
    def url(self) -> str:
        """Where the weights come from, or nothing."""
        return str(self.facts.get("url", ""))

    @property
    def trouble(self) -> str:
        """One sentence about weights that are neither here nor to be had, or nothing.

        Only what a glance at the file tells: its content is checked at loading.
        """
        if self.installed or (self.url and not self.bytes):
            return ""
        if not self.bytes:
            return f"Its file {self.path} is missing; remove it and install it again."
        return (
            f"Its file {self.path} has {self.bytes:,} bytes instead of "
            f"{self.full_bytes:,}; remove it and install it again."
        )

    @property
    def state(self) -> BaseState:
        """Whether it can be loaded, can be downloaded, or neither."""
        if self.installed:
            return "installed"
        return "broken" if self.trouble else "available"


def read_base_card(folder: Path) -> BaseCard:
    """Read ``card.json`` of a base's folder; raises RegistryError if it is damaged."""
    try:
        facts = read_json(folder / "card.json")
        return BaseCard(
            name=folder.name,
            path=folder / Path(facts["file"]).name,  # never in another folder
            sha256=_tensors_hash(facts),
            description=facts.get("description", ""),
            licence=facts.get("licence", ""),
            facts=facts,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"The model card {folder / 'card.json'} is damaged ({error}); install the "
            "model again or delete its folder."
        ) from error


def _tensors_hash(facts: Mapping[str, Any]) -> str:
    """Return the tensors' hash; a download that was never here has only the file's."""
    if "url" not in facts:
        return str(facts["sha256"])
    _ = facts["bytes"], facts["file_sha256"]  # nothing is downloaded without them
    return str(facts.get("sha256", ""))
