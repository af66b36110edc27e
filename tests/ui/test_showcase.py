"""The window of the demo."""

import pytest
from qtpy.QtWidgets import QApplication

import napari_glmedsa.ui.showcase as showcase
from napari_glmedsa.images import write_image
from napari_glmedsa.samples import draw_lesion

pytestmark = pytest.mark.ui


def test_the_whole_photograph_is_seen_beside_the_dock(
    make_napari_viewer, qtbot, tmp_path, monkeypatch
):
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(tmp_path / "registry"))
    photograph = tmp_path / "lesion.png"
    write_image(photograph, draw_lesion(size=(480, 640)).image)
    viewer = make_napari_viewer(show=True)
    zoom_before = viewer.scene.camera.zoom
    monkeypatch.setattr(showcase.napari, "Viewer", lambda: viewer)
    monkeypatch.setattr(showcase.napari, "run", lambda: None)
    showcase.show(photograph)
    qtbot.waitUntil(lambda: "lesion mask" in viewer.layers, timeout=20_000)
    assert viewer.layers[0].name == "lesion"
    canvas = max(
        (
            widget
            for widget in QApplication.allWidgets()
            if type(widget).__name__ == "CanvasBackendDesktop" and widget.isVisible()
        ),
        key=lambda widget: widget.width(),
    )
    camera = viewer.scene.camera
    qtbot.waitUntil(lambda: camera.zoom != zoom_before, timeout=20_000)
    assert canvas.width() >= 500
    qtbot.waitUntil(lambda: 640 * camera.zoom <= canvas.width(), timeout=20_000)
    assert 480 * camera.zoom <= canvas.height()
