"""Which key does what, and which command of the palette is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import napari.viewer
from app_model.types import KeyBinding
from napari.layers import Layer


@dataclass(frozen=True, slots=True)
class Action:
    """Something that the Segment dock can do.

    Attributes
    ----------
    name : str
        In the code; the palette's command is ``napari-glmedsa.segment_NAME``.
    title : str
        In the palette and the documentation.
    key : str
        As napari spells it.
    """

    name: str
    title: str
    key: str


ACTIONS = (
    Action("undo", "Undo the latest step", "Ctrl+Z"),
    Action("redo", "Redo the step that was undone", "Ctrl+Shift+Z"),
    Action("use_clicks", "Take clicks in hand", "Shift+C"),
    Action("use_box", "Take the box in hand", "Shift+B"),
    Action("use_scribble", "Take the scribble in hand", "Shift+D"),
    Action("use_lasso", "Take the lasso in hand", "Shift+O"),
    Action("use_brush", "Take napari's brush in hand", "Shift+W"),
    Action("swap_mark", "Swap lesion and background", "G"),
    Action("swap_mark", "Swap lesion and background", "Shift+T"),
    Action("choose_1", "Choose or leave the model's proposal 1", "Ctrl+1"),
    Action("choose_2", "Choose or leave the model's proposal 2", "Ctrl+2"),
    Action("choose_3", "Choose or leave the model's proposal 3", "Ctrl+3"),
    Action("clear", "Clear the lesion in the making", "Shift+X"),
    Action("accept", "Accept the lesion in the making", "Shift+Enter"),
    Action("next_lesion", "Go to the next accepted lesion", "."),
    Action("previous_lesion", "Go to the accepted lesion before", ","),
    Action("reopen", "Open the chosen lesion again", "Shift+R"),
    Action("merge", "Merge the chosen lesions", "Shift+M"),
    Action("delete", "Delete the chosen lesion", "Shift+Delete"),
    Action("fill_holes", "Fill holes of the lesion in the making", "Shift+H"),
    Action("largest_piece", "Keep the largest piece of the lesion", "Shift+G"),
    Action("smooth_outline", "Smooth the outline of the lesion", "Shift+N"),
    Action("swap_look", "Swap outline and filled mask", "Shift+I"),
)
"""All of them. Keys are free in napari's viewer and all its layers, but for undo and
redo: on the mask layer, napari's own know the brush alone."""

ON_THE_MASK = ("undo", "redo")
"""Bound on the mask layer, too, where napari has keys of the same meaning."""

ON_THE_CLICKS = ("T", "Swap lesion and background, while the clicks are selected")
"""Bound by the clicks layer itself."""


def keys_of(name: str) -> str:
    """Return the key of an action, by name."""
    return next(one.key for one in ACTIONS if one.name == name)


class KeyMap:
    """Binds the keys of a dock in a viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the keys are pressed.
    act : callable
        Does the action with a name.
    """

    def __init__(
        self, viewer: napari.viewer.Viewer, act: Callable[[str], object]
    ) -> None:
        self._viewer, self._act = viewer, act
        self._bound: dict[str, Callable[[object], None]] = {}
        for action in ACTIONS:
            self._bound[action.key] = self._function(action.name)
            viewer.bind_key(action.key, self._bound[action.key], overwrite=True)

    def bind_mask(self, layer: Layer) -> None:
        """Let one history answer on the mask layer, too."""
        for name in ON_THE_MASK:
            layer.bind_key(keys_of(name), self._bound[keys_of(name)], overwrite=True)

    def close(self) -> None:
        """Give the keys back, unless another dock has taken them since."""
        for key, function in self._bound.items():
            if self._viewer.keymap.get(KeyBinding.from_str(key)) is function:
                self._viewer.bind_key(key, None)

    def _function(self, name: str) -> Callable[[object], None]:
        def press(_: object) -> None:
            self._act(name)

        return press
