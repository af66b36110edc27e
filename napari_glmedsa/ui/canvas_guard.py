"""Let napari free a removed layer's graphics in the context that drew them."""

from __future__ import annotations

from napari.components import ViewerModel
from qtpy.QtCore import QObject
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget

_NAME = "napari-glmedsa canvas guard"


class CanvasGuard(QObject):
    """Makes a window's canvas current whenever one of its layers is removed.

    napari frees the shaders of removed layers at once, in whichever OpenGL context is
    current; often that is the one in which Qt composes the window. Drivers do not
    survive it: the next drawing ends the process with a segmentation fault, mostly
    when a layer with points was among them.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are removed.
    window : QWidget
        Where its canvas is. The guard stays as long as the window does, because our
        layers may outlive the dock.
    """

    def __init__(self, viewer: ViewerModel, window: QWidget) -> None:
        super().__init__(window)
        self.setObjectName(_NAME)
        self._window = window
        viewer.layers.events.removing.connect(self._make_current)

    def _make_current(self, event: object = None) -> None:
        try:
            for canvas in self._window.findChildren(QOpenGLWidget):
                canvas.makeCurrent()
        except RuntimeError:
            return  # Qt's half of the window is gone, and its canvas with it


def guard_canvas(viewer: ViewerModel, inside: QWidget) -> None:
    """Guard the canvas of the window that a widget is in, unless it is guarded."""
    window = inside
    while (parent := window.parentWidget()) is not None:
        window = parent  # not `window()`, which ends at a floating dock
    if window.findChild(QObject, _NAME) is None:
        CanvasGuard(viewer, window)
