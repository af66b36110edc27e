"""How the mask of the image is shown: outline or fill, how opaque, how protected."""

from __future__ import annotations

from napari.layers import Labels

from napari_glmedsa.ui.finishing import MIN_OPACITY, Finishing
from napari_glmedsa.ui.labels import outline_width
from napari_glmedsa.ui.styles import FILL_OPACITY
from napari_glmedsa.ui.workbench import Workbench

OPACITY_STEP = 0.1
"""By which a key changes it."""


class MaskLook:
    """Goes between the switches and the Labels layer, which napari changes as well.

    Parameters
    ----------
    switches : Finishing
        What the user sees.
    bench : Workbench
        At the image.
    """

    def __init__(self, switches: Finishing, bench: Workbench) -> None:
        self._switches, self._bench = switches, bench
        switches.opacity_changed.connect(self._set_opacity)
        switches.contour_changed.connect(self._set_outlined)
        switches.protection_changed.connect(self._set_protected)

    def show(self) -> None:
        """Let the switches say how the mask looks."""
        layer = self._layer
        if layer is not None:
            self._switches.show_look(
                opacity=float(layer.opacity),
                outlined=layer.contour > 0,
                protected=bool(layer.preserve_labels),
            )

    def swap(self) -> None:
        """Show the outline instead of a filled mask, or the other way round."""
        if self._layer is not None:
            self._set_outlined(self._layer.contour == 0)
            self.show()

    def fade(self, by: float) -> None:
        """Make the mask more opaque, or less with a negative number."""
        layer = self._layer
        if layer is not None:
            layer.opacity = min(1.0, max(MIN_OPACITY, layer.opacity + by))
            self.show()

    def swap_protection(self) -> None:
        """Protect accepted lesions from new outlines and the brush, or not."""
        if self._layer is not None:
            self._set_protected(not self._layer.preserve_labels)
            self.show()

    @property
    def _layer(self) -> Labels | None:
        return self._bench.trio.mask.layer if self._bench.trio else None

    def _set_opacity(self, opacity: float) -> None:
        if self._layer is not None:
            self._layer.opacity = opacity

    def _set_outlined(self, outlined: bool) -> None:
        layer = self._layer
        if layer is not None:
            layer.contour = outline_width(layer.data.shape) if outlined else 0
            # A thin line is to be seen, and through a fill the lesion is.
            layer.opacity = 1.0 if outlined else FILL_OPACITY

    def _set_protected(self, protected: bool) -> None:
        if self._layer is not None:
            self._layer.preserve_labels = protected
