"""What the next click on the canvas does, in the status bar and in the dock."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer

from napari_glmedsa.ui.layers import LayerTrio
from napari_glmedsa.ui.styles import LESION

_STROKES = {
    "box": "Drag a box around the lesion.",
    "scribble": "Drag a line over {}.",
    "lasso": "Draw around the lesion.",
}
_MOVE_CAMERA = "Drag to move the photograph."
_PAINT = {
    "paint": "The brush adds to lesion {}.",
    "erase": "The eraser takes away from lesion {}.",
    "fill": "A click fills with lesion {}.",
    "polygon": "Click a polygon, Enter fills it with lesion {}.",
    "pick": "A click picks a lesion for the brush.",
    "pan_zoom": _MOVE_CAMERA,
}


def words(trio: LayerTrio, layer: Layer | None) -> str:
    """Say what a click does while a layer is selected; empty if it is not ours."""
    is_lesion = trio.clicks.next_label == LESION
    if layer is None:
        return ""
    mode = str(getattr(layer, "mode", ""))
    if layer is trio.clicks.layer:
        if mode == "select":
            return "Drag a click to move it, Delete removes it."
        if mode != "add":
            return _MOVE_CAMERA
        if is_lesion:
            return "Click on the lesion. Shift+click (or T) for what is not lesion."
        return "Click on what is not lesion. T goes back to the lesion."
    if layer is trio.strokes.layer:
        what = "the lesion" if is_lesion else "what is not lesion"
        tool = trio.strokes.tool
        return _STROKES[tool].format(what) if tool else "Drag the box or its corners."
    if layer is trio.mask.layer:
        return _PAINT.get(mode, "").format(getattr(layer, "selected_label", ""))
    return ""


class NextClick:
    """Keeps the status bar telling what the next click does.

    napari writes a list of keys there whenever a layer's mode changes.

    Parameters
    ----------
    viewer : ViewerModel
        Whose status bar it is.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._trio: LayerTrio | None = None
        self._known: list[Layer] = []

    def tell(self, trio: LayerTrio | None) -> str:
        """Tell about these layers; return what stands there for the selected one."""
        self._trio = trio
        ours = () if trio is None else trio.companions
        for layer in ours:
            if layer not in self._known:
                self._known.append(layer)
                layer.events.help.connect(self._on_help)
            self._write(layer)
        active = self._viewer.layers.selection.active
        if active is None or active not in ours:
            return ""
        if self._viewer.help != active.help:
            self._viewer.help = active.help
        return str(active.help)

    def close(self) -> None:
        """Leave the layers to napari."""
        for layer in self._known:
            layer.events.help.disconnect(self._on_help)
        self._known.clear()

    def _on_help(self, event: Any) -> None:
        self._write(event.source)

    def _write(self, layer: Layer) -> None:
        text = words(self._trio, layer) if self._trio is not None else ""
        if text and layer.help != text:
            layer.help = text
