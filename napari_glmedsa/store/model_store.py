"""Base models under the user's root: downloaded, taken in, checked, removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_glmedsa.base import is_whole, write_base
from napari_glmedsa.errors import (
    Cancelled,
    CheckpointError,
    ModelNotFoundError,
    RegistryError,
)
from napari_glmedsa.model import is_name
from napari_glmedsa.store.download import fetch
from napari_glmedsa.store.folder import BaseFolder
from napari_glmedsa.store.naming import plain_name, refuse_name
from napari_glmedsa.store.official import (
    MODEL_TYPES,
    ModelType,
    check_type,
    type_choice,
)
from napari_glmedsa.store.recognition import (
    inherited_facts,
    official_cards,
    own_facts,
    recognise,
)
from napari_glmedsa.store.transfer import (
    Asked,
    Patience,
    Report,
    Transfer,
    disk_refuses,
    never,
    nobody,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_glmedsa.model import BaseCard
    from napari_glmedsa.registry import ModelRegistry


class TypeUnknownError(RegistryError):
    """A file is none of the official ones, so somebody has to say what it is."""

    def __init__(self, file: Path) -> None:
        self.file = file
        super().__init__(
            f"{file.name} is none of the official files, so its type must be given; "
            f"choose {type_choice()} with --type."
        )


class ModelStore:
    """Puts base models into the root of a registry, and takes them out again.

    Nothing is held in memory, and one lock per model keeps programs apart.

    Parameters
    ----------
    registry
        Its root is written to; shared folders and the catalogue are only read.
    patience
        How long a download holds out.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        *,
        patience: Patience = Patience(),  # noqa: B008  (frozen)
    ) -> None:
        self.registry = registry
        self._patience = patience

    def card(self, name: str) -> BaseCard:
        """Return a base's card; else ModelNotFoundError or RegistryError."""
        found = {card.name: card for card in self.registry.bases()}
        if name in found:
            return found[name]
        if reason := self.registry.broken_bases().get(name):
            raise RegistryError(reason)
        raise ModelNotFoundError(
            f"There is no base model {name!r}; known are: {', '.join(sorted(found))}."
        )

    def owns(self, name: str) -> bool:
        """Tell whether a base (or a piece of it) lies under the user's root."""
        return is_name(name) and not self._folder(name).is_empty

    def loaded_bytes(self, card: BaseCard) -> int:
        """Return how much of an interrupted download is there."""
        if card.installed or not card.url:
            return 0
        partial = self._folder(card.name).partial(card.path.name)
        return partial.stat().st_size if partial.is_file() else 0

    def download(
        self, name: str, *, report: Report = nobody, cancelled: Asked = never
    ) -> BaseCard:
        """Fetch a base from where its card says, and install it.

        A download that broke off is gone on with. A base that is installed is left
        as it is, also if another program has just installed it.

        Parameters
        ----------
        name
            Of a card in the catalogue, a shared folder or the user's root.
        report, cancelled
            Called often, in this thread; a yes of the second raises `Cancelled`.

        Raises
        ------
        ModelNotFoundError, RegistryError
            If there is no such card, or it does not say where the file is.
        DownloadError
            If the file cannot be had or is not the right one; no file that was there
            before is touched.
        """
        card, folder = self.card(name), self._folder(name)
        if self._is_done(card):
            return card
        if not card.url:
            raise RegistryError(card.trouble)
        with folder.locked(report, cancelled):
            card = self.card(name)
            if self._is_done(card):  # by another program, while we waited
                return card
            folder.need_room(2 * card.full_bytes - self.loaded_bytes(card))
            path = fetch(
                card,
                folder,
                patience=self._patience,
                report=report,
                cancelled=cancelled,
            )
            facts = inherited_facts(card)
            installed = self._install(path, folder, facts, report, cancelled)
            if path != installed.path:
                path.unlink()
        return installed

    def add(
        self,
        file: Path,
        *,
        model_type: ModelType | None = None,
        name: str | None = None,
        report: Report = nobody,
        cancelled: Asked = never,
    ) -> BaseCard:
        """Take a checkpoint in as a safetensors file; the original stays as it is.

        Parameters
        ----------
        file
            An official checkpoint (``.pth``) or a ``.safetensors`` file.
        model_type
            What it is; not needed for an official file, which its hash tells.
        name
            What it is called here; by default as the official one, else as the file.
        report, cancelled
            As for `download`.

        Raises
        ------
        TypeUnknownError
            If it is no official file and `model_type` is missing.
        CheckpointError
            If it is damaged, holds program code, or is not what it is said to be.
        RegistryError, DownloadError
            If the name is taken or is none; if the disk has no room for it.
        """
        if not file.is_file():
            raise CheckpointError(f"There is no file {file}; check the path.")
        if model_type is not None and model_type not in MODEL_TYPES:
            what = f"{model_type!r} is no type of model"
            raise CheckpointError(f"{what}; choose {type_choice()}.")
        official = recognise(file, [*official_cards(), *self.registry.bases()], report)
        if official is None and model_type is None:
            raise TypeUnknownError(file)
        facts = inherited_facts(official) if official else own_facts(file)
        if model_type:
            facts["architecture"] = model_type
        name = name or (official.name if official else plain_name(file.stem))
        refuse_name(name, official)
        folder = self._folder(name)
        with folder.locked(report, cancelled):
            if folder.has_card:
                raise RegistryError(
                    f"There is a base model {name} already; choose another --name, or "
                    "remove it first."
                )
            folder.need_room(file.stat().st_size)
            return self._install(file, folder, facts, report, cancelled)

    def installed(self, name: str) -> BaseCard:
        """Return the card of an installed base; else an error as of `card`."""
        card = self.card(name)
        if card.installed:
            return card
        how = f"fetch it with glmedsa models download {name}"
        raise RegistryError(card.trouble or f"{name} is not installed; {how}.")

    def verify(self, name: str) -> BaseCard:
        """Read all of an installed base again and hold it to its card.

        Raises
        ------
        ModelNotFoundError, RegistryError, CheckpointError
            If it is not installed, or not what it was.
        """
        from napari_glmedsa.adapters import tensors_sha256
        from napari_glmedsa.inference import read_weights

        card = self.installed(name)
        sha256 = tensors_sha256(read_weights(card.path)) if card.sha256 else ""
        if not is_whole(card, sha256):
            raise RegistryError(
                f"The weights of {name} differ from what their card says: the file "
                f"{card.path} is damaged; remove it and install it again."
            )
        return card

    def refuse_to_remove(self, name: str, *, force: bool = False) -> None:
        """Raise what `remove` would raise, without deleting anything."""
        if not self.owns(name):
            raise ModelNotFoundError(
                f"There is nothing of a base model {name!r} in {self.registry.root}; "
                "models of other folders are never removed."
            )
        needed_by = [
            card.name
            for card in self.registry.adapters(name)
            if (self.registry.root / "adapters" / card.name).is_dir()
        ]
        if needed_by and not force:
            raise RegistryError(
                f"{name} is needed by {', '.join(needed_by)}, which cannot be used "
                "without it; its removal must be forced."
            )

    def remove(self, name: str, *, force: bool = False) -> None:
        """Delete a base under the user's root and what a download left of it.

        With `force` also if adapters there need it.

        Raises
        ------
        ModelNotFoundError
            If the user's root has no such base.
        RegistryError
            If it is needed, in use, or cannot be deleted.
        """
        self.refuse_to_remove(name, force=force)
        folder = self._folder(name)
        with folder.locked(nobody, never):
            folder.delete()

    def _is_done(self, card: BaseCard) -> bool:
        """Tell whether nothing is to be fetched nor converted any more."""
        ours = card.path.parent == self._folder(card.name).path
        return card.installed and (bool(card.sha256) or not ours)

    def _folder(self, name: str) -> BaseFolder:
        return BaseFolder(self.registry.root / "base" / name)

    def _install(
        self,
        path: Path,
        folder: BaseFolder,
        facts: Mapping[str, Any],
        report: Report,
        cancelled: Asked,
    ) -> BaseCard:
        from napari_glmedsa.inference import read_weights

        size = path.stat().st_size
        report(Transfer("converting", 0, size))
        tensors = read_weights(path)
        model_type = facts.get("architecture")
        check_type(tensors, model_type if model_type in MODEL_TYPES else "other")
        if cancelled():
            raise Cancelled
        try:
            card = write_base(folder.path, tensors, **facts)
        except OSError as error:
            raise disk_refuses(error, folder.path) from error
        report(Transfer("converting", size, size))
        return card
