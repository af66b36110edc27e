"""Opens napari with a photograph and the Segment dock, in a window with room for both.

Run as ``python -m napari_glmedsa.ui.showcase PHOTOGRAPH``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import napari
from qtpy.QtCore import QTimer
from qtpy.QtGui import QGuiApplication

WINDOW = (1280, 800)
"""Pixels, where the screen has them: napari's own first window leaves a photograph
about 200 beside the dock."""

_SETTLED = 300  # milliseconds until the window has its size


def show(photograph: Path) -> None:
    """Show a photograph, ready to be clicked, until the user closes the window."""
    viewer = napari.Viewer()
    viewer.open(photograph, plugin="napari")
    viewer.window.add_plugin_dock_widget("napari-glmedsa", "Segment")
    screen = QGuiApplication.primaryScreen()
    if screen is not None:
        room = screen.availableGeometry()
        size = min(WINDOW[0], room.width()), min(WINDOW[1], room.height())
        viewer.window.resize(*size)
    QTimer.singleShot(_SETTLED, viewer.reset_view)
    napari.run()


if __name__ == "__main__":
    show(Path(sys.argv[1]))
