"""Take the pictures of the documentation anew, in a real napari window.

Run it with ``make screenshots``; it writes docs/images/segment*.png.
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from napari._qt.dialogs.qt_notification import NapariQtNotification
from numpy.typing import NDArray
from PIL import Image, ImageColor
from qtpy.QtWidgets import QApplication
from scipy.ndimage import distance_transform_edt

from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui.segment_widget import SegmentWidget
from napari_glmedsa.ui.styles import CLICK_COLORS, OBJECT_COLORS

IMAGES = Path(__file__).parent / "images"
WINDOW = (1280, 800)
PATIENCE = 120.0
NAPARI_BLUE = ("#4860c8", "#a0b8ff")
VIVID = (*CLICK_COLORS.values(), *OBJECT_COLORS, *NAPARI_BLUE, "white", "black")


def wait(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Let the window work until something is true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("The window did not get there; is a model installed?")
        QApplication.processEvents()
        time.sleep(0.01)


def settle() -> None:
    """Let the window draw what it owes."""
    end = time.monotonic() + 1
    wait(lambda: time.monotonic() > end)


def middle(region: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the (row, col) that is deepest inside a region."""
    depth = distance_transform_edt(region)
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return int(row), int(column)


def segment(theme: str, registry: ModelRegistry) -> None:
    """Picture the window while it encodes, after one click and after two."""
    viewer = napari.Viewer()
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    dock = SegmentWidget(viewer, registry)
    viewer.window.add_dock_widget(dock, name="Segment", area="right")
    halfway, pictured = threading.Event(), threading.Event()

    def hold(done: int, depth: int) -> None:  # the worker waits for the photographer
        if done == depth // 2:
            halfway.set()
            pictured.wait(PATIENCE)

    dock.session.embedding_progress.connect(hold)
    photograph = draw_lesion(seed=0)
    viewer.add_image(photograph.image, name="lesion photo")
    wait(halfway.is_set)
    settle()
    if theme == "dark":
        take(viewer, "segment-encoding")
    pictured.set()
    clicks, mask = viewer.layers["lesion"], viewer.layers["lesion mask"]

    def answered() -> bool:
        return dock.session.state is SessionState.READY and bool(mask.data.any())

    clicks.add(middle(photograph.mask))
    wait(answered)
    settle()
    if theme == "dark":
        take(viewer, "segment-one-click")
    dock.form.background_button.native.click()
    first = mask.data.copy()
    clicks.add(middle((first > 0) & ~photograph.mask))
    wait(lambda: not np.array_equal(mask.data, first))
    dock.form.lesion_button.native.click()
    settle()
    take(viewer, f"segment-{theme}")
    viewer.close()


def quieten(viewer: napari.Viewer) -> None:
    """Close napari's notifications: they name folders of this computer."""
    for note in viewer.window._qt_window.findChildren(NapariQtNotification):
        note.close()


def take(viewer: napari.Viewer, name: str) -> None:
    """Write a picture of the whole window, small enough for a repository."""
    quieten(viewer)
    settle()
    window = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3])
    # 256 colours, of which skin would take all: ours and napari's have reserved seats.
    vivid = [ImageColor.getrgb(colour) for colour in VIVID]
    skin = window.quantize(256 - len(vivid)).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*skin, *(value for colour in vivid for value in colour)])
    plain = window.quantize(palette=palette, dither=Image.Dither.NONE)  # no specks
    plain.save(IMAGES / f"{name}.png", optimize=True)


def main() -> None:
    """Take every picture, with the built-in model alone."""
    IMAGES.mkdir(exist_ok=True)
    for theme in ("dark", "light"):
        with tempfile.TemporaryDirectory() as nothing_of_the_users:
            # An embedding that is known already would not be computed again.
            os.environ["NAPARI_GLMEDSA_CACHE"] = nothing_of_the_users
            segment(theme, ModelRegistry(Path(nothing_of_the_users)))


if __name__ == "__main__":
    main()
