"""What the dock folds away: tidying a mask, starting from another, how it looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari.layers import Labels
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_glmedsa.ui.keymap import keys_of

CLEAN_UPS = {
    "fill holes": ("Fill holes", "Fill holes in the outline being made (Shift+H)"),
    "largest piece": ("Largest", "Keep its largest piece alone (Shift+G)"),
    "smooth outline": ("Smooth", "Smooth its outline (Shift+N)"),
}
FROM_FILE = "Mask file…"
MIN_OPACITY = 0.05
"""A mask that is less opaque would seem to be gone."""


class Finishing(QWidget):
    """Widgets without any behaviour."""

    cleaned = Signal(str)
    """The user wants this clean-up."""
    started_from = Signal(object)
    """A Labels layer, or the Path of a mask, is to be refined."""
    opacity_changed = Signal(float)
    contour_changed = Signal(bool)
    protection_changed = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.clean_buttons = {
            name: _button(text, tooltip) for name, (text, tooltip) in CLEAN_UPS.items()
        }
        for name, button in self.clean_buttons.items():
            button.clicked.connect(lambda _, name=name: self.cleaned.emit(name))
        layout.addLayout(_row(*self.clean_buttons.values()))
        self.start_button = _button(
            "Start from mask",
            "Take a Labels layer or a mask file as outline, and refine it with clicks",
        )
        # Else the slider would leave it no room.
        self.start_button.setSizePolicy(
            QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed
        )
        self.menu = QMenu(self.start_button)
        self.start_button.setMenu(self.menu)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(round(100 * MIN_OPACITY), 100)
        self.opacity.setToolTip(
            f"How opaque the mask is ({keys_of('more_opaque')} and"
            f" {keys_of('less_opaque')})"
        )
        self.opacity.setAccessibleName("Opacity of the mask")
        layout.addLayout(_row(self.start_button, QLabel("Opacity"), self.opacity))
        self.outline = QCheckBox("Outline only")
        self.outline.setToolTip("Show the outline instead of a filled mask (Shift+I)")
        self.protect = QCheckBox("Protect accepted")
        self.protect.setToolTip(
            "New outlines and the brush leave accepted lesions alone (B in napari)"
        )
        layout.addLayout(_row(self.outline, self.protect))
        self.opacity.valueChanged.connect(
            lambda value: self.opacity_changed.emit(value / 100)
        )
        self.outline.toggled.connect(self.contour_changed.emit)
        self.protect.toggled.connect(self.protection_changed.emit)
        self.offer_masks(())

    def offer_masks(self, layers: Sequence[Labels]) -> None:
        """Offer Labels layers of the user's, and a file."""
        self.menu.clear()
        for layer in layers:
            action = self.menu.addAction(f"Layer “{layer.name}”")
            if action is not None:
                action.triggered.connect(
                    lambda _=False, layer=layer: self.started_from.emit(layer)
                )
        action = self.menu.addAction(FROM_FILE)
        if action is not None:
            action.triggered.connect(lambda _=False: self.ask_for_file())

    def set_cleanable(self, cleanable: bool) -> None:
        """Say whether there is anything to tidy."""
        for button in self.clean_buttons.values():
            button.setEnabled(cleanable)

    def show_look(self, *, opacity: float, outlined: bool, protected: bool) -> None:
        """Show how the mask layer looks."""
        for widget in (self.opacity, self.outline, self.protect):
            widget.blockSignals(True)
        self.opacity.setValue(round(100 * opacity))
        self.outline.setChecked(outlined)
        self.protect.setChecked(protected)
        for widget in (self.opacity, self.outline, self.protect):
            widget.blockSignals(False)

    def ask_for_file(self) -> None:
        """Let the user choose a mask file to start from."""
        path, _ = QFileDialog.getOpenFileName(
            self, "Start from a mask", "", "Masks (*.png *.tif *.tiff *.bmp *.dcm)"
        )
        if path:
            self.started_from.emit(Path(path))


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return button
