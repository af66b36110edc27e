"""The whole way: a real window, a real mouse, the built-in model, a drawn lesion."""

import subprocess
import sys
import time

import numpy as np
import pytest
from mouse import click
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

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


@pytest.mark.no_cover  # a coverage tracer would slow what the heartbeat measures
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
    qtbot.waitUntil(ready, timeout=LONG)
    mask_layer = viewer.layers["lesion mask"]

    # napari itself takes its time for its first layers and its first marker: without a
    # graphics card, the processor runs their shaders, too. What follows is ours:
    # two models loaded, two encodings, two clicks, one accepted object.
    viewer.layers["lesion"].add((0, 0))
    qtbot.waitUntil(lambda: bool(mask_layer.data.any()), timeout=LONG)
    qtbot.mouseClick(dock.form.clear_button.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: ready() and not mask_layer.data.any(), timeout=LONG)
    QApplication.processEvents()
    heartbeat.restart()
    default, plain = dock.form.model.choices[:2]
    for model in (plain, default):
        dock.form.model.value = model
        assert not ready()
        qtbot.waitUntil(ready, timeout=LONG)

    rows, columns = np.nonzero(lesion.mask)
    click(viewer, (rows.mean(), columns.mean()))
    qtbot.waitUntil(lambda: bool(mask_layer.data.any()), timeout=LONG)
    qtbot.waitUntil(ready, timeout=LONG)
    first = mask_layer.data.copy()
    assert dice(first > 0, lesion.mask) > 0.8
    assert len(viewer.layers["lesion"].data) == 1

    inside = np.argwhere((first > 0) & (np.arange(first.shape[1]) > columns.mean()))
    shift = Qt.KeyboardModifier.ShiftModifier
    click(viewer, inside[len(inside) // 2], shift)
    qtbot.waitUntil(lambda: not np.array_equal(mask_layer.data, first), timeout=LONG)
    qtbot.waitUntil(ready, timeout=LONG)
    assert list(viewer.layers["lesion"].features["label"]) == ["lesion", "background"]
    corrected = mask_layer.data.copy()
    assert corrected.any()

    qtbot.mouseClick(dock.form.accept_button.native, Qt.MouseButton.LeftButton)
    assert np.array_equal(mask_layer.data, corrected)
    assert len(viewer.layers["lesion"].data) == 0
    assert heartbeat.longest < 0.2


FRESH_NAPARI = """
import sys, napari, numpy as np
from napari_glmedsa.samples import draw_lesion
viewer = napari.Viewer()
import napari_glmedsa.ui.segment_widget
assert "torch" not in sys.modules, "the window would stand still for seconds"
viewer.window.add_plugin_dock_widget("napari-glmedsa", "Segment")
lesion = draw_lesion()
viewer.add_image(lesion.image)
clicks = []
def look():
    if "lesion" in viewer.layers and not clicks:
        clicks.append(np.argwhere(lesion.mask).mean(axis=0))
        viewer.layers["lesion"].add(clicks[0])
    if "lesion mask" in viewer.layers and viewer.layers["lesion mask"].data.any():
        print("mask drawn")
        viewer.close()
from qtpy.QtCore import QTimer
timer = QTimer(interval=50)
timer.timeout.connect(look)
timer.start()
napari.run()
"""


def test_a_napari_that_draws_before_torch_is_there_answers_a_click(tmp_path):
    """Tests import torch first; a user's napari has OpenGL (and its LLVM) first."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", FRESH_NAPARI],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=LONG / 1000,
        check=False,
    )
    assert "mask drawn" in done.stdout, done.stderr[-3000:]
    assert done.returncode == 0, done.stderr[-3000:]
