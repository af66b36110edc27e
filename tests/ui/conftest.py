"""The Segment dock in a viewer, with tiny models and a drawn photograph."""

from types import SimpleNamespace

import pytest
from napari.utils.notifications import notification_manager
from segmenting import LONG, SIZE, TinyModels, layer

from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui.segment_widget import SegmentWidget


@pytest.fixture
def models(registry) -> TinyModels:
    return TinyModels(registry)


@pytest.fixture
def photo():
    return draw_lesion(size=SIZE).image


@pytest.fixture
def dock(make_napari_viewer_proxy, models):
    """Open the dock in a viewer; everything that a test needs to reach."""
    viewer = make_napari_viewer_proxy()

    def open_dock() -> SegmentWidget:
        widget = SegmentWidget(viewer, models)
        viewer.window.add_dock_widget(widget, name="Segment")
        return widget

    widget = open_dock()
    yield SimpleNamespace(viewer=viewer, widget=widget, open=open_dock)
    widget.session.close()


@pytest.fixture
def wait(qtbot):
    def wait(condition) -> None:
        qtbot.waitUntil(lambda: bool(condition()), timeout=LONG)

    return wait


@pytest.fixture
def messages():
    notification_manager.records.clear()
    return lambda: [record.message for record in notification_manager.records]


@pytest.fixture
def ready(dock, photo, wait):
    """The dock with an encoded photograph."""
    dock.image = dock.viewer.add_image(photo, name="photo")
    wait(lambda: "lesion mask" in dock.viewer.layers)
    wait(lambda: dock.widget.session.state is SessionState.READY)
    dock.clicks = layer(dock, "lesion")
    dock.mask = layer(dock, "lesion mask")
    return dock
