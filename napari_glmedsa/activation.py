"""Which model answers clicks: the active one, and those that were active before."""

from collections.abc import Collection
from pathlib import Path

from napari_glmedsa.errors import ModelNotFoundError, RegistryError
from napari_glmedsa.files import read_json, write_json
from napari_glmedsa.registry import DEFAULT_MODEL, ModelRegistry, ModelSpec

_SCHEMA_VERSION = 1
_KEPT = 50  # steps back; nobody goes further, and the file stays small


class ActiveModel:
    """The model in use, kept in ``<registry root>/active.json`` with its history.

    Nothing is held in memory: several docks and processes see each other's choice.

    Parameters
    ----------
    registry
        Where models are found; its root holds the file.
    """

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    @property
    def path(self) -> Path:
        """The file, which is not there before the first activation."""
        return self._registry.root / "active.json"

    def current(self) -> ModelSpec:
        """Return the model in use: the latest activated that can still be loaded."""
        return self._usable()[-1]

    @property
    def can_roll_back(self) -> bool:
        """Whether another model was in use before this one."""
        return len(self._usable()) > 1

    def activate(self, spec: ModelSpec) -> None:
        """Make a model the one in use.

        Raises
        ------
        ModelNotFoundError
            If it cannot be loaded: unknown, not installed, or of another base.
        RegistryError
            If the choice cannot be written.
        """
        known = self._registry.specs()
        if not self._is_usable(spec, known):
            names = ", ".join(map(str, known)) or "none"
            raise ModelNotFoundError(
                f"{spec} cannot be activated because it is not installed or does not "
                f"fit together; choose one of: {names}."
            )
        self._write([*self._usable(), spec])

    def roll_back(self) -> ModelSpec:
        """Return to the model that was in use before, and name it.

        Raises
        ------
        RegistryError
            If there was none, or the choice cannot be written.
        """
        history = self._usable()
        if len(history) < 2:
            raise RegistryError(
                f"{history[-1]} is the first model in use; there is nothing to roll "
                "back to."
            )
        self._write(history[:-1])
        return history[-2]

    def _usable(self) -> list[ModelSpec]:
        """Return the history, oldest first, without gaps and repetitions."""
        usable = [DEFAULT_MODEL]
        known = self._registry.specs()  # which opens every adapter, so once
        for spec in self._read():
            if spec != usable[-1] and self._is_usable(spec, known):
                usable.append(spec)
        return usable

    def _is_usable(self, spec: ModelSpec, known: Collection[ModelSpec]) -> bool:
        if spec in known:
            return True
        installed = {card.name for card in self._registry.bases() if card.installed}
        adapter_is_file = spec.adapter is not None and Path(spec.adapter).is_file()
        if spec.base in installed:
            return adapter_is_file
        return Path(spec.base).is_file() and (adapter_is_file or spec.adapter is None)

    def _read(self) -> list[ModelSpec]:
        try:
            document = read_json(self.path)
            return [ModelSpec.parse(text) for text in document["history"]]
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return []  # none yet; or damaged, no reason to refuse every click

    def _write(self, history: list[ModelSpec]) -> None:
        document = {
            "schema_version": _SCHEMA_VERSION,
            "history": [str(spec) for spec in history[-_KEPT:]],
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, document)
        except OSError as error:
            raise RegistryError(
                f"The active model cannot be written to {self.path} "
                f"({error.strerror}); check the folder's permissions."
            ) from error
