"""Take the pictures of the Measure dock anew, in a real napari window.

Run it with ``python docs/measurement_screenshots.py``, on a screen or under
``xvfb-run``; it writes docs/images/measure*.png.
"""

import tempfile
from pathlib import Path

import napari
import numpy as np
from screenshots import IMAGES, WINDOW, settle, take, wait

from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.ui.measurement_widget import MeasurementWidget
from napari_glmedsa.ui.styles import OBJECT_COLORS, RULER_NAME


def picture(theme: str, registry: ModelRegistry) -> None:
    """Picture the window in pixels, then with a ruler in millimetres."""
    viewer = napari.Viewer()
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    dock = MeasurementWidget(viewer, registry)
    viewer.window.add_dock_widget(dock, name="Measure", area="right")
    lesion = draw_lesion(seed=3, size=(480, 640), pigment="dark")
    viewer.add_image(lesion.image, name="mole.png")
    mask = viewer.add_labels(lesion.mask.astype(np.uint16), name="lesion mask")
    mask.contour = 2
    mask.colormap = {None: "transparent", 0: "transparent", 1: OBJECT_COLORS[0]}
    viewer.reset_view()
    wait(lambda: len(dock.answer.measured) == 1)
    settle()
    if theme == "dark":
        take(viewer, "measure-pixels")
    dock.form.ruler_button.native.click()
    viewer.layers[RULER_NAME].add_lines(np.array([[450, 60], [450, 580]]))
    dock.form.length.setValue(10)
    wait(lambda: dock.answer.calibration is not None)
    settle()
    take(viewer, f"measure-{theme}")
    dock.close_work()
    viewer.close()


def main() -> None:
    """Take every picture."""
    IMAGES.mkdir(exist_ok=True)
    for theme in ("dark", "light"):
        with tempfile.TemporaryDirectory() as nothing_of_the_users:
            picture(theme, ModelRegistry(Path(nothing_of_the_users)))


if __name__ == "__main__":
    main()
