"""What is drawn to point at a lesion: a box that stays, a scribble or a lasso."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray
from psygnal import Signal

from napari_glmedsa.inference.prompts import Prompts
from napari_glmedsa.ui import convert
from napari_glmedsa.ui.companion import CompanionLayer
from napari_glmedsa.ui.styles import TOOL_COLOR, TOOL_WIDTH, TOOLS_NAME

if TYPE_CHECKING:
    from napari_glmedsa.inference.strokes import LowResFrame

Tool = Literal["box", "scribble", "lasso"]

_MODES = {
    "box": "add_rectangle",
    "scribble": "add_path",
    "lasso": "add_polygon_lasso",
}
_TOOLS = {"rectangle": "box", "path": "scribble", "polygon": "lasso"}


@dataclass(frozen=True, eq=False)
class Stroke:
    """What was drawn.

    Attributes
    ----------
    tool : Tool
        What it was drawn with.
    path : (N, 2) float64
        Its corners, (x, y) in pixels of the image.
    """

    tool: Tool
    path: NDArray[np.float64]

    def added_to(
        self,
        prompts: Prompts,
        *,
        is_lesion: bool,
        size: tuple[int, int],
        frame: LowResFrame | None,
    ) -> Prompts:
        """Return prompts that say what was drawn, too.

        Parameters
        ----------
        prompts : Prompts
            What was said before.
        is_lesion : bool
            Whether a scribble is over the lesion or beside it.
        size : (H, W)
            Of the image.
        frame : LowResFrame or None
            Where the image is in a mask prompt, known once it is encoded.

        Raises
        ------
        PromptError
            If nothing can be made of it.
        """
        from napari_glmedsa.inference import strokes  # imports SciPy

        if self.tool == "scribble":
            return strokes.with_scribble(prompts, self.path, int(is_lesion), size=size)
        return strokes.with_lasso(prompts, self.path, size=size, frame=frame)


class StrokesLayer(CompanionLayer[Shapes]):
    """One rectangle at most, and for a moment the scribble or lasso being drawn.

    The layer is made when a tool is used first.
    """

    changed = Signal()
    """Something was drawn, moved or removed. Look at it one event later: napari may
    be busy with it."""

    kind = Shapes
    _quiet = False

    @property
    def tool(self) -> Tool | None:
        """The tool in hand, if the user is at this layer."""
        layer = self.layer
        if layer is None or not self.is_selected:
            return None
        mode = str(layer.mode)
        found = [tool for tool, its in _MODES.items() if its == mode]
        return cast(Tool, found[0]) if found else None

    @property
    def box(self) -> NDArray[np.float64] | None:
        """The rectangle, (4,) x0, y0, x1, y1 in pixels of the image, or None."""
        if self.layer is None:
            return None
        indices = self._indices("rectangle")
        if not indices:
            return None
        corners = self._on_image(indices[-1])
        low, high = corners.min(axis=0), corners.max(axis=0)
        return np.concatenate([low, high]) if (low < high).all() else None

    def activate(self, tool: Tool) -> None:
        """Let the next stroke on the canvas be one of ours."""
        layer = self.ensure()
        layer.visible = True
        self._viewer.layers.selection.active = layer
        layer.mode = _MODES[tool]

    def collect(self) -> Stroke | None:
        """Take the scribble or lasso off the layer, and all rectangles but the newest.

        Returns
        -------
        Stroke or None
            The newest scribble or lasso.
        """
        if self.layer is None:
            return None
        drawn = sorted(self._indices("path") + self._indices("polygon"))
        stroke = None
        if drawn:
            tool = cast(Tool, _TOOLS[str(self.layer.shape_type[drawn[-1]])])
            stroke = Stroke(tool, self._on_image(drawn[-1]))
        rest = set(range(self.layer.nshapes)) - set(self._indices("rectangle")[-1:])
        self._remove(rest)
        return stroke

    def show_box(self, box: NDArray[np.float64] | None) -> None:
        """Show this rectangle, (4,) x0, y0, x1, y1 in pixels of the image, or none."""
        if box is None and self.layer is None:
            return
        layer = self.ensure()
        self._remove(set(range(layer.nshapes)))
        if box is not None:
            x0, y0, x1, y1 = box
            corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
            there = convert.positions_on_layer(corners, self._image, layer)
            mode = layer.mode
            self._quiet = True
            try:
                layer.add(there, shape_type="rectangle")
                layer.selected_data = set()
                layer.mode = mode
            finally:
                self._quiet = False

    def _indices(self, kind: str) -> list[int]:
        types = self.layer.shape_type if self.layer is not None else ()
        return [index for index, its in enumerate(types) if str(its) == kind]

    def _on_image(self, index: int) -> NDArray[np.float64]:
        layer = self.ensure()
        corners = np.asarray(layer.data[index])
        return convert.positions_on_image(corners, layer, self._image)

    def _remove(self, indices: set[int]) -> None:
        if self.layer is not None and indices:
            self._quiet = True
            try:
                self.layer.selected_data = set()
                self.layer.remove(sorted(indices))
            finally:
                self._quiet = False

    def _make(self) -> Shapes:
        longest = max(convert.image_size(self._image))
        return Shapes(
            ndim=2,
            name=TOOLS_NAME,
            edge_color=TOOL_COLOR,
            face_color="transparent",
            edge_width=max(TOOL_WIDTH * longest, 1),
            metadata=self._metadata(),
            **self._transform(),
        )

    def _connect(self, layer: Shapes) -> None:
        layer.events.data.connect(self._on_data)

    def _on_data(self, event: Any) -> None:
        if not self._quiet and not str(event.action).endswith("ing"):
            self.changed.emit()
