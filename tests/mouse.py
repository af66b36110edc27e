"""A hand on mouse and keyboard: events that go through Qt and napari's canvas."""

from collections.abc import Sequence

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

NO_KEY = Qt.KeyboardModifier.NoModifier
LEFT = Qt.MouseButton.LeftButton

Position = Sequence[float]
"""(row, column) of a pixel, in world coordinates."""


def canvas() -> QWidget:
    """Return the widget that napari draws on, the largest of vispy's."""
    found = [
        widget
        for widget in QApplication.allWidgets()
        if type(widget).__name__ == "CanvasBackendDesktop" and widget.isVisible()
    ]
    return max(found, key=lambda widget: widget.width() * widget.height())


def click(viewer: napari.Viewer, at: Position, held=NO_KEY, button=LEFT) -> None:
    """Press the mouse where the viewer shows a pixel."""
    where = _on_canvas(viewer, at)
    QTest.mouseMove(canvas(), where)
    QTest.mouseClick(canvas(), button, held, where)


def drag(viewer: napari.Viewer, *along: Position) -> None:
    """Move the mouse with its left button held."""
    first, *others = (_on_canvas(viewer, at) for at in along)
    QTest.mouseMove(canvas(), first)
    QTest.mousePress(canvas(), LEFT, NO_KEY, first)
    for where in others:
        QTest.mouseMove(canvas(), where)
        QApplication.processEvents()
    QTest.mouseRelease(canvas(), LEFT, NO_KEY, others[-1])


def press(key: Qt.Key, held=NO_KEY) -> None:
    """Press a key in the canvas."""
    QTest.keyClick(canvas(), key, held)
    QApplication.processEvents()


def _on_canvas(viewer: napari.Viewer, at: Position) -> QPoint:
    widget, camera = canvas(), viewer.scene.camera
    down, right = (np.array(at) - camera.center[-2:]) * camera.zoom
    return QPoint(round(widget.width() / 2 + right), round(widget.height() / 2 + down))
