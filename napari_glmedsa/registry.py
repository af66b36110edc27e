"""Base models and adapters under one root folder, and the built-in ones."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from napari_glmedsa.adapters.card import AdapterCard, card_header, read_card
from napari_glmedsa.base import is_whole, write_base
from napari_glmedsa.errors import CheckpointError, ModelNotFoundError, RegistryError
from napari_glmedsa.files import sha256_file
from napari_glmedsa.model import (
    DEFAULT_MODEL,
    BaseCard,
    ModelSpec,
    read_base_card,
    refuse_odd_name,
)
from napari_glmedsa.roots import catalogue, default_root, shared_roots
from napari_glmedsa.tensors import read_safetensors, write_safetensors

if TYPE_CHECKING:  # torch is imported by the methods that load, off the GUI thread
    import torch
    from segment_anything.modeling import Sam

    from napari_glmedsa.inference import Predictor
    from napari_glmedsa.inference.device import PrecisionChoice

__all__ = [
    "DEFAULT_MODEL",
    "BaseCard",
    "ModelRegistry",
    "ModelSpec",
    "default_root",
    "load_adapted",
    "write_base",
]

_ADAPTER_FILE = "adapter.safetensors"


class ModelRegistry:
    """Models below a root folder, in shared folders, and the built-in catalogue.

    Parameters
    ----------
    root
        Holds ``base/<name>/card.json`` and ``adapters/<name>/adapter.safetensors``;
        it need not exist. A model there hides a shared or built-in one of the same
        name, unless it cannot be loaded and the other can.
    shared
        Folders of the same form, never written to; by default those that
        ``NAPARI_GLMEDSA_SHARED`` names.
    """

    def __init__(self, root: Path, shared: Sequence[Path] | None = None) -> None:
        self.root = root
        self.shared = shared_roots() if shared is None else tuple(shared)

    def bases(self) -> list[BaseCard]:
        """Return every base model whose card can be read, the installed ones first."""
        cards = self._base_cards().values()
        return sorted(cards, key=lambda card: (not card.installed, card.name))

    def broken_bases(self) -> dict[str, str]:
        """Return bases that can neither be loaded nor downloaded, with the reason."""
        problems = {card.name: card.trouble for card in self.bases() if card.trouble}
        for folder in self._all_folders("base", "card.json"):
            try:
                read_base_card(folder)
            except RegistryError as error:
                problems[folder.name] = str(error)
        return problems

    def adapters(self, base: str | None = None) -> list[AdapterCard]:
        """Return every readable adapter (of one base), in order of name."""
        cards = []
        for name, folder in self._folders("adapters", _ADAPTER_FILE).items():
            try:
                card = read_card(folder / _ADAPTER_FILE)
            except CheckpointError:
                continue  # a broken file must not empty every list; `broken` names it
            if base in (None, card.base_model) and card.name == name:
                cards.append(card)
        return cards

    def broken(self) -> dict[str, str]:
        """Return adapter folders that cannot be used, each with the reason."""
        problems = {}
        for name, folder in self._folders("adapters", _ADAPTER_FILE).items():
            try:
                card = read_card(folder / _ADAPTER_FILE)
            except CheckpointError as error:
                problems[name] = str(error)
            else:
                if card.name != name:
                    problems[name] = f"Its card says {card.name}; rename the folder."
        return problems

    def specs(self) -> list[ModelSpec]:
        """Return every model that can be loaded now, the default first."""
        installed = {card.name: card for card in self.bases() if card.installed}
        found = [
            ModelSpec(card.base_model, card.name)
            for card in self.adapters()
            if card.base_model in installed
            and card.base_sha256 == installed[card.base_model].sha256
        ]
        found += [ModelSpec(name) for name in installed]
        return sorted(found, key=lambda spec: spec != DEFAULT_MODEL)

    def specs_to_download(self) -> list[ModelSpec]:
        """Return adapters that only lack their base, which can be downloaded."""
        available = {c.name for c in self.bases() if c.state == "available"}
        return [
            ModelSpec(card.base_model, card.name)
            for card in self.adapters()
            if card.base_model in available
        ]

    def adapter_path(self, adapter: str) -> Path:
        """Return the file of an adapter, by name or path; else ModelNotFoundError."""
        if folder := self._folders("adapters", _ADAPTER_FILE).get(adapter):
            return folder / _ADAPTER_FILE
        if Path(adapter).is_file():
            return Path(adapter)
        known = ", ".join(card.name for card in self.adapters()) or "none"
        raise ModelNotFoundError(
            f"There is no adapter {adapter!r}; installed are: {known}. A path of an "
            "adapter file works too."
        )

    def new_name(self, stem: str) -> str:
        """Return ``<stem>-1``, or with the first number that no model here has."""
        taken = {*self._folders("base", "*"), *self._folders("adapters", "*")}
        return next(name for n in count(1) if (name := f"{stem}-{n}") not in taken)

    def add_adapter(self, path: Path, *, name: str | None = None) -> AdapterCard:
        """Copy an adapter file into the root.

        Parameters
        ----------
        path
            An adapter file of any place.
        name
            What it is called here; by default as its card says.

        Raises
        ------
        RegistryError
            If a model has that name, it is not a name, or it cannot be written.
        CheckpointError
            If the file is not an adapter that can be read.
        """
        card = read_card(path)
        card = replace(card, name=name or card.name)
        refuse_odd_name(card.name)
        folder = self.root / "adapters" / card.name
        if card.name in self._folders("adapters", "*"):
            raise RegistryError(
                f"There is an adapter {card.name} already; choose another name."
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_safetensors(
                folder / _ADAPTER_FILE,
                read_safetensors(path),
                metadata=card_header(card),
            )
        except OSError as error:
            raise RegistryError(
                f"The adapter cannot be written to {folder} ({error.strerror}); check "
                "the permissions and the space on the disk."
            ) from error
        return card

    def load_sam(self, base: str, *, device: "torch.device") -> "Sam":
        """Load a base model by name or path, without adapters.

        Raises
        ------
        ModelNotFoundError
            If there is neither such a name nor such a file.
        CheckpointError, RegistryError
            If the file is unsafe, damaged, or not what its card says.
        """
        return self.load_base(base, device=device)[0]

    def load_base(self, base: str, *, device: "torch.device") -> "tuple[Sam, str]":
        """Load as `load_sam`, and return also the hash that adapters name."""
        from napari_glmedsa.adapters import tensors_sha256
        from napari_glmedsa.inference import SamArchitecture, build_sam, read_weights

        card = self._base_cards().get(base)
        path = card.path if card and card.installed else Path(base)
        if not path.is_file():
            raise self._not_there(base)
        tensors = read_weights(path)
        sha256 = tensors_sha256(tensors)
        if card and path == card.path and not is_whole(card, sha256):
            raise RegistryError(
                f"The weights of {base} differ from what their card says; the file "
                f"{path} is damaged, install it again."
            )
        sam = build_sam(SamArchitecture.from_state_dict(tensors), tensors)
        return sam.to(device), sha256

    def load(
        self,
        spec: ModelSpec,
        *,
        device: "torch.device",
        precision: "PrecisionChoice" = "fp32",
    ) -> "Predictor":
        """Load a base and its adapter, ready to predict, with that precision.

        Raises
        ------
        AdapterMismatchError
            If the adapter was trained on another base.
        ModelNotFoundError, CheckpointError, RegistryError
            As `load_sam`.
        """
        from napari_glmedsa.adapters.switches import apply_input
        from napari_glmedsa.inference import Predictor

        sam, fingerprint = self.load_base(spec.base, device=device)
        multimask_output = False
        if spec.adapter is not None:
            path = self.adapter_path(spec.adapter)
            sam, card = load_adapted(sam, path, base_sha256=fingerprint)
            multimask_output = card.multimask_output
            fingerprint = f"{fingerprint}+{sha256_file(path)}"
        elif base := self._base_cards().get(spec.base):
            apply_input(sam, base.facts.get("input", ()))
        return Predictor(
            sam,
            fingerprint=fingerprint,
            precision=precision,
            multimask_output=multimask_output,
        )

    def _not_there(self, base: str) -> ModelNotFoundError | RegistryError:
        if reason := self.broken_bases().get(base):
            return RegistryError(f"The base model {base} cannot be used: {reason}")
        if base in self._base_cards():
            return ModelNotFoundError(
                f"{base} is not installed yet; get it with glmedsa models download "
                f"{base}, or under Manage in the Segment dock."
            )
        known = ", ".join(c.name for c in self.bases() if c.installed) or "none"
        return ModelNotFoundError(
            f"There is no base model {base!r}; installed are: {known}. A path of "
            "a weights file works too."
        )

    def _base_cards(self) -> dict[str, BaseCard]:
        """Return the most useful card of each name; of equal ones, the user's."""
        usefulness = ("broken", "available", "installed").index
        found: dict[str, BaseCard] = {}
        for folder in self._all_folders("base", "card.json"):
            try:
                card = read_base_card(folder)
            except RegistryError:
                continue  # a broken file must not empty every list
            other = found.get(card.name)
            if other is None or usefulness(card.state) >= usefulness(other.state):
                found[card.name] = card
        return found

    def _folders(self, kind: str, marker: str) -> dict[str, Path]:
        """Return folders that hold `marker`, by name; the user's hides the others."""
        folders = sorted(self._all_folders(kind, marker), key=lambda path: path.name)
        return {folder.name: folder for folder in folders}

    def _all_folders(self, kind: str, marker: str) -> list[Path]:
        found = list((catalogue() / kind).glob(f"*/{marker}"))
        for root in reversed(self.shared):
            with suppress(OSError):  # a drive that is away must not stop the rest
                found += (root / kind).glob(f"*/{marker}")
        found += (self.root / kind).glob(f"*/{marker}")
        return [path.parent for path in found]


def load_adapted(
    sam: "Sam", path: Path, *, base_sha256: str
) -> "tuple[Sam, AdapterCard]":
    """Put an adapter file into `sam`, or into a copy for the input size it needs.

    Raises as `load_adapter`.
    """
    from napari_glmedsa.adapters import load_adapter
    from napari_glmedsa.inference import resize_sam

    size = read_card(path).preprocess.get("image_size", sam.image_encoder.img_size)
    if size != sam.image_encoder.img_size:
        sam = resize_sam(sam, size).to(sam.device)
    return sam, load_adapter(path, sam, base_sha256=base_sha256)
