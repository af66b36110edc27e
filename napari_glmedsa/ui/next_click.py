"""What the next click on the canvas does, in the status bar and in the dock."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from napari.components import ViewerModel
from napari.layers import Layer

from napari_glmedsa.ui.layers import LayerTrio
from napari_glmedsa.ui.styles import LESION

EMPTY = "Open a photograph, then click on the lesion."
_STROKES = {
    "box": "Drag a box around the lesion.",
    "scribble": "Drag a line over {}.",
    "lasso": "Draw around the lesion.",
}
_MOVE_CAMERA = "Drag to move the photograph."
_CLICKS = {
    "select": "Drag a click to move it, Delete removes it.",
    "pan_zoom": _MOVE_CAMERA,
}
_EDITS_OF_THE_BOX = {
    "select": "Drag the box or its corners.",
    "direct": "Drag the corners of the box.",
    "pan_zoom": _MOVE_CAMERA,
}
_PAINT = {
    "paint": "The brush adds to {}.",
    "erase": "The eraser takes away from {}.",
    "fill": "A click fills with {}.",
    "polygon": "Click a polygon, Enter fills it with {}.",
    "pick": "A click picks a lesion for the brush.",
    "pan_zoom": _MOVE_CAMERA,
}
_GAP = "  ·  "
_BUSY = " The answer comes when the photograph is read."
_TAKEN = " Somebody else has this photograph: nothing is written down."


def words(trio: LayerTrio, layer: Layer | None) -> str:
    """Say what a click does while a layer is selected.

    Empty if the layer is not ours, or the user has something of napari's in hand that
    we know nothing of: napari tells about it.
    """
    is_lesion = trio.clicks.next_label == LESION
    if layer is None:
        return ""
    mode = str(getattr(layer, "mode", ""))
    if layer is trio.clicks.layer:
        if mode != "add":
            return _CLICKS.get(mode, "")
        if is_lesion:
            return "Click on the lesion. Shift+click (or T) for what is not lesion."
        return "Click on what is not lesion. T goes back to the lesion."
    if layer is trio.strokes.layer:
        what = "the lesion" if is_lesion else "what is not lesion"
        tool = trio.strokes.tool
        if tool is None:
            return _EDITS_OF_THE_BOX.get(mode, "")
        return _STROKES[tool].format(what)
    if layer is trio.mask.layer:
        return _PAINT.get(mode, "").format(_of_brush(trio, layer))
    return ""


def _asks_the_model(trio: LayerTrio, layer: Layer) -> bool:
    is_click = layer is trio.clicks.layer and str(getattr(layer, "mode", "")) == "add"
    return is_click or (layer is trio.strokes.layer and trio.strokes.tool is not None)


def _of_brush(trio: LayerTrio, layer: Layer) -> str:
    """Say which lesion napari's brush paints now."""
    label = int(getattr(layer, "selected_label", 0))
    if label == 0:
        return "the skin"
    accepted = "the accepted lesion" if label in trio.mask.objects else "lesion"
    return f"{accepted} {label}"


class NextClick:
    """Keeps the status bar telling what the next click does.

    napari writes a list of keys there whenever a layer's mode changes, and hides all
    help while the mouse is over the picture: there it stands after the position.

    Parameters
    ----------
    viewer : ViewerModel
        Whose status bar it is.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._trio: LayerTrio | None = None
        self._is_busy = self._is_taken = False
        self._known: list[Layer] = []
        self._told: WeakKeyDictionary[Layer, str] = WeakKeyDictionary()
        self._said = ""  # after the position
        viewer.events.status.connect(self._on_status)

    def tell(
        self, trio: LayerTrio | None, *, is_busy: bool = False, is_taken: bool = False
    ) -> str:
        """Tell about these layers; return what stands there for the selected one.

        Parameters
        ----------
        trio : LayerTrio or None
            None if there is no photograph.
        is_busy : bool
            Whether the photograph is not read yet.
        is_taken : bool
            Whether somebody else works on it.
        """
        self._trio = trio
        self._is_busy, self._is_taken = is_busy, is_taken
        if trio is None:
            if not self._viewer.layers and self._viewer.help != EMPTY:
                self._viewer.help = EMPTY
                # Until a status comes, napari leaves help no room.
                self._viewer.events.status(value=self._viewer.status)
            self._say_at_position("")
            return ""
        ours = trio.companions
        for layer in ours:
            if layer not in self._known:
                self._known.append(layer)
                layer.events.help.connect(self._on_help)
                if hasattr(layer.events, "selected_label"):
                    layer.events.selected_label.connect(self._on_help)
            self._write(layer)
        active = self._show()
        return "" if active is None else words(trio, active)

    def close(self) -> None:
        """Leave the layers to napari."""
        self._viewer.events.status.disconnect(self._on_status)
        self._say_at_position("")
        for layer in self._known:
            layer.events.help.disconnect(self._on_help)
            if hasattr(layer.events, "selected_label"):
                layer.events.selected_label.disconnect(self._on_help)
        self._known.clear()

    def _say_at_position(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._write_status()

    def _on_status(self, _: object) -> None:
        status = self._viewer.status
        # What another dock has said there, or this one, stays.
        if isinstance(status, dict) and _GAP not in str(status.get("coordinates")):
            self._write_status()

    def _write_status(self) -> None:
        status = self._viewer.status
        if not isinstance(status, dict) or not status.get("coordinates"):
            return
        position = str(status["coordinates"]).partition(_GAP)[0]
        told = position + (_GAP + self._said if self._said else "")
        if told != status["coordinates"]:
            self._viewer.status = {**status, "coordinates": told}

    def _show(self) -> Layer | None:
        """Show what is said of the layer that is selected, if that is one of ours."""
        ours = () if self._trio is None else self._trio.companions
        selected = self._viewer.layers.selection.active
        # By value: napari may give the layer in a wrapper.
        active = next((layer for layer in ours if layer == selected), None)
        self._say_at_position("" if active is None else str(active.help))
        if active is not None and self._viewer.help != active.help:
            self._viewer.help = active.help
        return active

    def _on_help(self, event: Any) -> None:
        self._write(event.source)
        self._show()

    def _write(self, layer: Layer) -> None:
        trio = self._trio
        plain = "" if trio is None else words(trio, layer)
        if trio is None or not plain:
            return
        text = plain
        if plain != _MOVE_CAMERA:
            text += _BUSY * (self._is_busy and _asks_the_model(trio, layer))
            text += _TAKEN * self._is_taken
        # Two docks at one image may tell different things: each tells its own once.
        is_told = layer.help.startswith(plain) and self._told.get(layer) == text
        self._told[layer] = text
        if not is_told and layer.help != text:
            layer.help = text
