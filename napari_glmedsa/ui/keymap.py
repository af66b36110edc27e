"""The keys of the docks: bound in a viewer, given back, and told in tooltips."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import napari.viewer
from app_model.types import KeyBinding
from app_model.types import OperatingSystem as System
from napari.layers import Layer
from napari.utils.notifications import show_info

from napari_glmedsa.ui.actions import ACTIONS, SEGMENT, Action, named

ON_THE_MASK = ("undo", "redo")
"""Bound on the mask layer, too, where napari has keys of the same meaning."""

OVERRIDDEN = {
    ("Labels", "Ctrl+Z"): "napari's own undo knows the brush alone",
    ("Labels", "Ctrl+Shift+Z"): "napari's own redo knows the brush alone",
}
"""Where we take a key of napari's layers, and why. Nowhere else."""

ON_THE_CLICKS = ("T", "Swap lesion and background, while the clicks are selected")
"""Bound by the clicks layer itself."""


def keys_of(name: str, dock: str = SEGMENT) -> str:
    """Return the key of an action as it stands on this computer's keyboard."""
    key = named(dock, name).key
    return key.replace("Ctrl", "Cmd") if System.current().is_mac else key


def binding(key: str) -> KeyBinding:
    """Return what napari sees when a key is pressed; Ctrl is Cmd on a Mac."""
    on_mac = System.current().is_mac
    return KeyBinding.from_str(key.replace("Ctrl", "Meta") if on_mac else key)


def press(form: object, action: Action) -> None:
    """Press the button of an action, or tell why that cannot be done now."""
    button = attrgetter(action.button)(form).native
    if button.isEnabled() and not button.isHidden():
        button.click()
    else:
        show_info(action.otherwise)


class KeyMap:
    """Binds the keys of a dock in a viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the keys are pressed.
    dock : str
        Whose keys.
    act : callable
        Does an action.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        dock: str,
        act: Callable[[Action], object],
    ) -> None:
        self._viewer = viewer
        self._bound: dict[KeyBinding, Callable[[object], None]] = {}
        self._masks: list[weakref.ref[Layer]] = []
        for action in ACTIONS:
            if action.dock == dock and action.key:
                self._bound[binding(action.key)] = _function(act, action)
        self._bind(viewer, self._bound)

    def do(self, key: str) -> None:
        """Do what a key does, pressed elsewhere than over the picture."""
        self._bound[binding(key)](None)

    def bind_mask(self, layer: Layer) -> None:
        """Let one history answer on the mask layer, too."""
        if all(known() is not layer for known in self._masks):
            self._masks.append(weakref.ref(layer))
        for name in ON_THE_MASK:
            key = binding(named(SEGMENT, name).key)
            self._bind(layer, {key: self._bound[key]})

    def close(self) -> None:
        """Give the keys back, unless another dock has taken them since."""
        layers = [layer for known in self._masks if (layer := known()) is not None]
        for provider in (self._viewer, *layers):
            for key, function in self._bound.items():
                if provider.keymap.get(key) is function:
                    provider.bind_key(key, None)

    def _bind(
        self, provider: Any, keys: dict[KeyBinding, Callable[[object], None]]
    ) -> None:
        for key, function in keys.items():
            if provider.keymap.get(key) is not function:
                provider.bind_key(key, function, overwrite=True)


def _function(act: Callable[[Action], object], action: Action) -> Any:
    def do(_: object) -> None:
        act(action)

    return do
