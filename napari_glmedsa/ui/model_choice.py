"""The picker of models, kept at what the registry has and at its active model."""

from __future__ import annotations

from magicgui.widgets import ComboBox
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_glmedsa.activation import ActiveModel
from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.registry import DEFAULT_MODEL, ModelRegistry, ModelSpec
from napari_glmedsa.store import ModelStore
from napari_glmedsa.ui import forms
from napari_glmedsa.ui.model_store_dialog import ModelStoreDialog
from napari_glmedsa.ui.registry_watch import RegistryWatch


class ModelChoice:
    """Offers new models as they come and picks a model when it becomes the active one.

    What the user picks by hand stays picked until another model is activated.

    Parameters
    ----------
    picker : ComboBox
        Where models are offered; it says what is picked.
    registry : ModelRegistry
        Where models come from; its root is watched.
    parent : QWidget
        The watch and the dialog of models end with it.

    Attributes
    ----------
    dialog : ModelStoreDialog
        Where models are downloaded, added, checked and removed.
    """

    failed = Signal(Exception)

    def __init__(
        self, picker: ComboBox, registry: ModelRegistry, *, parent: QWidget
    ) -> None:
        self._picker = picker
        self._registry = registry
        self._active = ActiveModel(registry)
        self._followed: tuple[ModelSpec, int] | None = None
        self._to_download: list[ModelSpec] = []
        self._picked: ModelSpec | None = None
        self.dialog = ModelStoreDialog(ModelStore(registry), parent)
        self.watch = RegistryWatch(registry.root, parent)
        self.watch.changed.connect(self.update)

    def update(self) -> None:
        """Look at the registry anew."""
        try:
            specs, active = self._registry.specs(), self._active.current()
            self._to_download = self._registry.specs_to_download()
        except GLMedSAError as error:
            self.failed.emit(error)  # and what was offered stays so
            return
        if active not in specs and active != DEFAULT_MODEL:
            specs = [*specs, active]  # files outside the registry
        before, latest = self._picker.value, (active, self._activated_at())
        with self._picker.changed.blocked():
            forms.offer_models(self._picker, specs, self._to_download)
            if latest != self._followed and active in specs:
                self._picker.value = active
        self._followed = latest
        if self._picker.value != before:
            self._picker.changed.emit(self._picker.value)

    def manage(self, *_: object) -> None:
        """Show the dialog of models."""
        self.dialog.present()

    def close(self) -> None:
        """End what the dialog is doing."""
        self.dialog.close_down()

    def confirm(self) -> bool:
        """Tell whether what is picked can be loaded.

        Else the pick is taken back, and the dialog offers to download its base.
        """
        picked = self._picker.value
        if picked not in self._to_download:
            self._picked = picked
            return True
        if self._picked in self._picker.choices:
            with self._picker.changed.blocked():
                self._picker.value = self._picked
        self.dialog.present(picked.base)
        return False

    def _activated_at(self) -> int:
        # Activating the model that is active counts, too: the user wants it.
        try:
            return self._active.path.stat().st_mtime_ns
        except OSError:
            return 0
