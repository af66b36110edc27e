"""Removed layers take their graphics along in the context that drew them."""

import numpy as np
import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QOpenGLContext
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QApplication, QWidget
from vispy.gloo.context import GLContext

from napari_glmedsa.ui.canvas_guard import CanvasGuard, guard_canvas

pytestmark = pytest.mark.ui


@pytest.fixture
def shown(make_napari_viewer, qtbot):
    """A viewer that has drawn a photograph, and a widget docked in its window."""
    viewer = make_napari_viewer(show=True)
    docked = QWidget()
    viewer.window.add_dock_widget(docked, name="docked")
    viewer.add_image(np.zeros((20, 20)))
    viewer.add_points([[5, 5], [9, 9]])
    (canvas,) = docked.window().findChildren(QOpenGLWidget)
    qtbot.waitUntil(canvas.isValid)
    return viewer, docked, canvas


@pytest.mark.parametrize("remove", ["clear", "one"])
def test_graphics_are_freed_in_the_context_of_the_canvas(shown, monkeypatch, remove):
    viewer, docked, canvas = shown
    guard_canvas(viewer, docked)
    contexts = []
    finish = GLContext.finish

    def watched(context) -> None:
        contexts.append(QOpenGLContext.currentContext() == canvas.context())
        finish(context)

    monkeypatch.setattr(GLContext, "finish", watched)
    canvas.doneCurrent()  # as Qt does when it composes the window
    if remove == "clear":
        viewer.layers.clear()
    else:
        viewer.layers.pop()
    assert contexts
    assert all(contexts)


def test_a_window_is_guarded_once_wherever_the_dock_floats(shown):
    viewer, docked, canvas = shown
    for floating in (False, True):
        docked.parentWidget().setFloating(floating)
        guard_canvas(viewer, docked)
    guards = [one for w in QApplication.topLevelWidgets() for one in _guards_in(w)]
    assert [guard.parent() for guard in guards] == [canvas.window()]


def _guards_in(window: QWidget) -> list[CanvasGuard]:
    direct = Qt.FindChildOption.FindDirectChildrenOnly
    return window.findChildren(CanvasGuard, options=direct)


def test_layers_may_be_removed_when_the_window_is_gone(shown):
    viewer, _, _ = shown
    gone = QWidget()
    guard = CanvasGuard(viewer, gone)
    guard.setParent(None)  # it outlives the window here, to be asked in vain
    gone.deleteLater()
    QApplication.sendPostedEvents(gone, QEvent.Type.DeferredDelete)
    viewer.layers.clear()
    assert not viewer.layers
