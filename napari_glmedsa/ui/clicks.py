"""The clicks on one image, as a Points layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray
from psygnal import Signal

from napari_glmedsa.errors import PromptError
from napari_glmedsa.inference.prompts import Prompts, inside_image
from napari_glmedsa.ui import convert
from napari_glmedsa.ui.companion import OURS, CompanionLayer
from napari_glmedsa.ui.convert import CLICK_FEATURE
from napari_glmedsa.ui.styles import (
    BACKGROUND,
    CLICK_BORDER_COLOR,
    CLICK_BORDER_WIDTH,
    CLICK_CANVAS_SIZE,
    CLICK_COLORS,
    CLICK_SIZE,
    CLICK_SYMBOLS,
    CLICKS_NAME,
    LESION,
)


class ClicksLayer(CompanionLayer[Points]):
    """Left click says lesion; with Shift, or with the right button, background.

    The ``T`` key swaps what a plain click says. Each click's word stands in the layer's
    feature ``"label"``, where it may be changed.
    """

    changed = Signal()
    """A click was added, moved, relabelled or removed."""
    next_label_changed = Signal(str)
    """What the next plain click says."""

    kind = Points
    is_dragging = False
    """Whether the user holds the mouse button, so that a click is being moved."""
    _quiet = False

    @property
    def next_label(self) -> str:
        """What the next plain click says: ``"lesion"`` or ``"background"``."""
        return LESION if self.layer is None else str(self.layer.metadata[OURS]["next"])

    @next_label.setter
    def next_label(self, label: str) -> None:
        layer = self.ensure()
        layer.metadata[OURS]["next"] = label
        _set_default_label(layer, label)
        self.next_label_changed.emit(label)

    def __len__(self) -> int:
        return 0 if self.layer is None else len(self.layer.data)

    @property
    def is_active(self) -> bool:
        """Whether the next click on the canvas is one of ours."""
        layer = self.layer
        return layer is not None and self.is_selected and str(layer.mode) == "add"

    def activate(self) -> None:
        """Make the next click on the canvas one of ours."""
        layer = self.ensure()
        layer.visible = True
        self._viewer.layers.selection.active = layer
        layer.mode = "add"

    def prompts(self) -> Prompts:
        """Return the clicks on the image as the model wants them."""
        if self.layer is None:
            return Prompts.empty()
        return convert.prompts_from_points(self.layer, self._image)

    def show(
        self, point_coords: NDArray[np.float64], point_labels: NDArray[np.int64]
    ) -> None:
        """Show these clicks and no others, without saying that they changed.

        Parameters
        ----------
        point_coords : (N, 2) float64
            (x, y) in pixels of the image.
        point_labels : (N,) int64
            1 = lesion, 0 = background.
        """
        if self.layer is None and not len(point_coords):
            return
        layer = self.ensure()
        words = np.array(
            [LESION if one else BACKGROUND for one in point_labels], object
        )
        self._quiet = True
        try:
            layer.selected_data = set()
            layer.data = convert.positions_on_layer(point_coords, self._image, layer)
            layer.features = {CLICK_FEATURE: words}
            layer.refresh_colors(update_color_mapping=False)
        finally:
            self._quiet = False

    def check_inside(self) -> None:
        """Raise PromptError if a click is outside the image."""
        if len(self._outside()):
            height, width = convert.image_size(self._image)
            msg = (
                "That click is outside the photograph and was removed: click inside "
                f"its {width} x {height} pixels."
            )
            raise PromptError(msg)

    def remove_outside(self) -> None:
        """Remove the clicks that are outside the image."""
        self._remove(self._outside())

    def remove_all(self) -> None:
        """Remove every click."""
        self._remove(np.arange(len(self)))

    def _outside(self) -> NDArray[np.intp]:
        if self.layer is None:
            return np.empty(0, dtype=np.intp)
        xy = convert.points_in_image(self.layer, self._image)
        return np.flatnonzero(~inside_image(xy, convert.image_size(self._image)))

    def _remove(self, indices: NDArray[np.intp]) -> None:
        if self.layer is not None and len(indices):
            self.layer.remove(indices.tolist())

    def _make(self) -> Points:
        longest = max(convert.image_size(self._image))
        return Points(
            ndim=2,
            name=CLICKS_NAME,
            features={CLICK_FEATURE: np.empty(0, dtype=object)},
            feature_defaults={CLICK_FEATURE: LESION},
            face_color=CLICK_FEATURE,
            face_color_cycle=list(CLICK_COLORS.values()),
            symbol=CLICK_SYMBOLS[LESION],
            size=max(CLICK_SIZE * longest, 1),
            canvas_size_limits=CLICK_CANVAS_SIZE,
            border_color=CLICK_BORDER_COLOR,
            border_width=CLICK_BORDER_WIDTH,
            metadata=self._metadata(next=LESION),
            **self._transform(),
        )

    def _connect(self, layer: Points) -> None:
        layer.events.data.connect(self._on_changed)
        layer.events.features.connect(self._on_changed)
        layer.mouse_drag_callbacks.append(self._on_press)
        layer.bind_key("T", self._on_toggle_key, overwrite=True)

    def _on_changed(self, event: Any) -> None:
        # Before the fact napari says "adding", "removing", "changing"; features have no
        # action.
        if str(getattr(event, "action", "")).endswith("ing") or self.layer is None:
            return
        labels = convert.point_labels(self.layer)
        symbols = [CLICK_SYMBOLS[LESION if label else BACKGROUND] for label in labels]
        if symbols and [str(symbol) for symbol in self.layer.symbol] != symbols:
            self.layer.symbol = symbols
        # napari would let the next click be like the one just made or selected.
        _set_default_label(self.layer, self.next_label)
        if not self._quiet:
            self.changed.emit()

    def _on_press(self, layer: Points, event: Any) -> Iterator[None]:
        """Decide what a click says; napari adds it when the button is released."""
        other = "Shift" in event.modifiers or event.button == 2
        _set_default_label(layer, BACKGROUND if other else self.next_label)
        self.is_dragging = True
        try:
            yield
            while event.type == "mouse_move":
                yield
        finally:
            self.is_dragging = False

    def _on_toggle_key(self, layer: Points) -> None:
        self.next_label = LESION if self.next_label == BACKGROUND else BACKGROUND


def _set_default_label(layer: Points, label: str) -> None:
    if layer.feature_defaults[CLICK_FEATURE].iloc[0] != label:
        layer.feature_defaults = {CLICK_FEATURE: label}
