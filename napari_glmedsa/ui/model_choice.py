"""The picker of models, kept at what the registry has and at its active model."""

from __future__ import annotations

from magicgui.widgets import ComboBox
from psygnal import Signal
from qtpy.QtCore import QObject

from napari_glmedsa.activation import ActiveModel
from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.registry import DEFAULT_MODEL, ModelRegistry, ModelSpec
from napari_glmedsa.ui import forms
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
    parent : QObject
        The watch ends with it.
    """

    failed = Signal(Exception)

    def __init__(
        self, picker: ComboBox, registry: ModelRegistry, *, parent: QObject
    ) -> None:
        self._picker = picker
        self._registry = registry
        self._active = ActiveModel(registry)
        self._followed: tuple[ModelSpec, int] | None = None
        self.watch = RegistryWatch(registry.root, parent)
        self.watch.changed.connect(self.update)

    def update(self) -> None:
        """Look at the registry anew."""
        try:
            specs, active = self._registry.specs(), self._active.current()
        except GLMedSAError as error:
            self.failed.emit(error)  # and what was offered stays so
            return
        if active not in specs and active != DEFAULT_MODEL:
            specs = [*specs, active]  # files outside the registry
        before, latest = self._picker.value, (active, self._activated_at())
        with self._picker.changed.blocked():
            forms.offer_models(self._picker, specs)
            if latest != self._followed and active in specs:
                self._picker.value = active
        self._followed = latest
        if self._picker.value != before:
            self._picker.changed.emit(self._picker.value)

    def _activated_at(self) -> int:
        # Activating the model that is active counts, too: the user wants it.
        try:
            return self._active.path.stat().st_mtime_ns
        except OSError:
            return 0
