"""The whole way: a real window, a real mouse, the built-in model, a drawn lesion."""

import time

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtWidgets import QApplication, QWidget

from napari_glmedsa.evaluation import dice
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui.segment_widget import SegmentWidget

pytestmark = [pytest.mark.ui, pytest.mark.e2e]

LONG = 120_000


class Heartbeat:
    """A 16 ms timer on the GUI thread; its longest pause is how long the GUI hung."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.perf_counter()
        self._timer = QTimer(interval=16)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def _beat(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now

    def restart(self) -> None:
        self.longest, self._last = 0.0, time.perf_counter()


def canvas() -> QWidget:
    """Return the widget that napari draws on, the largest of vispy's."""
    found = [
        widget
        for widget in QApplication.allWidgets()
        if type(widget).__name__ == "CanvasBackendDesktop" and widget.isVisible()
    ]
    return max(found, key=lambda widget: widget.width() * widget.height())


def click(qtbot, viewer, row: float, column: float, modifier) -> None:
    """Press the mouse where the viewer shows a pixel."""
    widget = canvas()
    offset = (np.array([row, column]) - viewer.camera.center[-2:]) * viewer.camera.zoom
    x, y = widget.width() / 2 + offset[1], widget.height() / 2 + offset[0]
    where = QPoint(round(x), round(y))
    qtbot.mouseMove(widget, where)
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton, modifier, where)


def test_a_click_becomes_a_mask_a_correction_changes_it_and_accept_keeps_it(
    make_napari_viewer, qtbot, tmp_path
):
    viewer = make_napari_viewer(show=True)
    dock = SegmentWidget(viewer, ModelRegistry(tmp_path))
    viewer.window.add_dock_widget(dock, name="Segment")
    lesion = draw_lesion(seed=0)
    heartbeat = Heartbeat()

    def is_in(state: SessionState) -> bool:
        return dock.session.state is state

    def ready() -> bool:
        return is_in(SessionState.READY)

    qtbot.waitUntil(lambda: is_in(SessionState.EMPTY), timeout=LONG)  # model loaded
    viewer.add_image(lesion.image, name="photo")
    qtbot.waitUntil(lambda: is_in(SessionState.ENCODING), timeout=LONG)
    heartbeat.restart()
    qtbot.waitUntil(ready, timeout=LONG)
    mask_layer = viewer.layers["lesion mask"]

    rows, columns = np.nonzero(lesion.mask)
    plain, shift = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
    click(qtbot, viewer, rows.mean(), columns.mean(), plain)
    qtbot.waitUntil(lambda: bool(mask_layer.data.any()), timeout=LONG)
    qtbot.waitUntil(ready, timeout=LONG)
    first = mask_layer.data.copy()
    assert dice(first > 0, lesion.mask) > 0.8
    assert len(viewer.layers["lesion"].data) == 1

    inside = np.argwhere((first > 0) & (np.arange(first.shape[1]) > columns.mean()))
    row, column = inside[len(inside) // 2]
    click(qtbot, viewer, row, column, shift)
    qtbot.waitUntil(lambda: not np.array_equal(mask_layer.data, first), timeout=LONG)
    qtbot.waitUntil(ready, timeout=LONG)
    assert list(viewer.layers["lesion"].features["label"]) == ["lesion", "background"]
    corrected = mask_layer.data.copy()
    assert corrected.any()

    qtbot.mouseClick(dock.form.accept_button.native, Qt.MouseButton.LeftButton)
    assert np.array_equal(mask_layer.data, corrected)
    assert len(viewer.layers["lesion"].data) == 0
    assert heartbeat.longest < 0.2
