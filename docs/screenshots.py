"""Take the pictures of the documentation anew, in a real napari window.

Run it with ``make screenshots``; it writes docs/images/segment-{dark,light}.png.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.ui.segment_widget import SegmentWidget

IMAGES = Path(__file__).parent / "images"
WINDOW = (1280, 800)
PATIENCE = 120.0


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


def segment(theme: str, registry: ModelRegistry) -> None:
    """Click once on the drawn lesion and keep a picture of the whole window."""
    viewer = napari.Viewer()
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    photograph = draw_lesion(seed=0)
    viewer.add_image(photograph.image, name="lesion photo")
    dock = SegmentWidget(viewer, registry)
    viewer.window.add_dock_widget(dock, name="Segment", area="right")
    wait(lambda: "lesion" in viewer.layers)
    rows, columns = np.nonzero(photograph.mask)
    viewer.layers["lesion"].add([[rows.mean(), columns.mean()]])
    wait(lambda: "lesion mask" in viewer.layers)
    wait(lambda: bool(np.asarray(viewer.layers["lesion mask"].data).any()))
    settle()
    viewer.screenshot(IMAGES / f"segment-{theme}.png", canvas_only=False, flash=False)
    viewer.close()


def main() -> None:
    """Take every picture, with the built-in model alone."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as nothing_of_the_users:
        for theme in ("dark", "light"):
            segment(theme, ModelRegistry(Path(nothing_of_the_users)))


if __name__ == "__main__":
    main()
