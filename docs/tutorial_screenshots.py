"""Take the pictures of the first tutorial anew: real work in a real napari window.

Run it with ``make screenshots``; it writes docs/images/tutorial*.png.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import napari
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label
from screenshots import IMAGES, WINDOW, middle, settle, take, wait

from napari_glmedsa.images import write_image
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.samples import LesionSample, draw_lesion
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui.layers import LayerTrio
from napari_glmedsa.ui.measurement_widget import MeasurementWidget
from napari_glmedsa.ui.segment_widget import SegmentWidget
from napari_glmedsa.ui.styles import RULER_NAME
from napari_glmedsa.ui.worklist_widget import WorklistWidget

SEEDS = (0, 4, 9, 12)
SIZE = (480, 640)
FOLDER = "clinic"
BRUSH = 5


class Desk:
    """The window, its three docks, and the photograph that is being outlined."""

    def __init__(self, registry: ModelRegistry) -> None:
        self.viewer = napari.Viewer()
        self.viewer.theme = "dark"
        self.viewer.window.resize(*WINDOW)
        self.worklist = WorklistWidget(self.viewer, registry)
        self.segment = SegmentWidget(self.viewer, registry)
        self.measure = MeasurementWidget(self.viewer, registry)
        self._docks = {
            name: self.viewer.window.add_dock_widget(
                widget, name=name, area="right", tabify=name != "Worklist"
            )
            for name, widget in (
                ("Worklist", self.worklist),
                ("Segment", self.segment),
                ("Measure", self.measure),
            )
        }

    @property
    def mask(self) -> NDArray[np.uint16]:
        """The label map that is on the screen."""
        return np.asarray(self.layers.mask.ensure().data)

    @property
    def layers(self) -> LayerTrio:
        """The layers of the photograph."""
        trio = self.segment._trio
        assert trio is not None
        return trio

    def picture(self, number: int, words: str, dock: str) -> None:
        """Picture the window with one of the docks on top."""
        settle()
        self._docks[dock].raise_()
        settle()
        take(self.viewer, f"tutorial-{number}-{words}")

    def do(self, action: Callable[[], object]) -> None:
        """Do something that changes the mask, and wait until it has."""
        before = self.mask.copy()
        action()
        wait(lambda: not np.array_equal(self.mask, before))
        wait(lambda: self.segment.session.state is SessionState.READY)
        settle()

    def click(self, at: tuple[int, int], *, lesion: bool = True) -> None:
        """Click on the photograph."""
        form = self.segment.form
        (form.lesion_button if lesion else form.background_button).native.click()
        self.do(lambda: self.layers.clicks.ensure().add(at))
        form.lesion_button.native.click()

    def paint(self, stroke: NDArray[np.intp], size: int) -> None:
        """Draw along a line with napari's brush."""
        self.segment.act("use_brush")
        layer = self.layers.mask.ensure()
        layer.brush_size = size

        def draw() -> None:
            with layer.block_history():  # one stroke, as the mouse makes it
                for place in stroke:
                    layer.paint(place, layer.selected_label)

        self.do(draw)

    def open(self, by: int = 1) -> None:
        """Open the next photograph of the worklist, and wait until it is read."""
        before = self.segment._trio
        self.worklist.go(by)
        wait(lambda: self.segment._trio not in (None, before))
        wait(lambda: self.segment.session.state is SessionState.READY)
        settle()

    def close(self) -> None:
        """End all work."""
        self.worklist.close_work()
        self.measure.close_work()
        self.viewer.close()
        settle()  # Qt takes the docks apart while everybody is still there


def fill(folder: Path) -> list[LesionSample]:
    """Write a folder of drawn photographs."""
    folder.mkdir(parents=True)
    lesions = [draw_lesion(seed=seed, size=SIZE) for seed in SEEDS]
    for number, lesion in enumerate(lesions, 1):
        write_image(folder / f"mole{number}.png", lesion.image)
    return lesions


def wrongly_in(desk: Desk, truth: NDArray[np.bool_]) -> tuple[int, int]:
    """Return where the outline is deepest in the skin."""
    return middle((desk.mask > 0) & ~truth)


def missing(desk: Desk, truth: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return where to brush, (N, 2), for the largest piece that the outline lacks."""
    lacking = (desk.mask == 0) & truth
    pieces, _ = label(lacking)
    piece = pieces == pieces[middle(lacking)]
    return np.argwhere(distance_transform_edt(piece) > BRUSH / 2)


def outline_one(desk: Desk, truth: NDArray[np.bool_]) -> None:
    """Click, correct, go back and forth, choose, accept."""
    desk.click(middle(truth))
    desk.picture(3, "click", "Segment")
    desk.click(wrongly_in(desk, truth), lesion=False)
    desk.picture(4, "background", "Segment")
    desk.paint(missing(desk, truth), size=BRUSH)
    desk.picture(5, "brush", "Segment")
    desk.do(desk.segment.form.undo_button.native.click)
    desk.picture(6, "undo", "Segment")
    desk.do(desk.segment.form.redo_button.native.click)
    desk.segment.act("use_clicks")
    desk.do(desk.segment.form.candidates.buttons[1].click)
    desk.picture(7, "proposal", "Segment")
    desk.do(desk.segment.form.candidates.buttons[1].click)
    desk.segment.form.accept_button.native.click()
    wait(lambda: "Saved to" in desk.segment.form.project_status.value)


def work(registry: ModelRegistry, folder: Path) -> None:
    """Picture the way from a folder of photographs to files for others."""
    lesions = fill(folder)
    desk = Desk(registry)
    desk.picture(1, "empty", "Worklist")
    desk.worklist.open_folder(folder)
    photographs = desk.worklist.form.list.photographs
    wait(lambda: len(photographs.entries) == len(lesions))
    desk.open()
    desk.picture(2, "worklist", "Worklist")
    outline_one(desk, lesions[0].mask)
    desk.open()
    desk.click(middle(lesions[1].mask))
    desk.segment.form.accept_button.native.click()
    wait(lambda: "(2 annotated)" in desk.segment.form.project_status.value)
    desk.open()
    desk.picture(8, "next", "Worklist")
    desk.click(middle(lesions[2].mask))
    desk.measure.form.ruler_button.native.click()
    bottom = SIZE[0] - 30
    desk.viewer.layers[RULER_NAME].add_lines(np.array([[bottom, 60], [bottom, 580]]))
    wait(lambda: desk.measure.answer.calibration is not None)
    desk.picture(9, "measure", "Measure")
    desk.worklist.form.export_button.native.click()
    dialog = desk.worklist.exporting.dialog
    assert dialog is not None
    dialog.form.output.path_edit.setText(f"{FOLDER}-masks")
    dialog.export_button.click()
    wait(lambda: "Exported" in dialog.report.text())
    settle()
    dialog.grab().save(str(IMAGES / "tutorial-10-export.png"))
    dialog.close()
    desk.close()


def main() -> None:
    """Take every picture, with the built-in model alone."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as nothing_of_the_users:
        root = Path(nothing_of_the_users)
        os.environ["NAPARI_GLMEDSA_CACHE"] = str(root / "cache")
        with chdir(root):
            work(ModelRegistry(root / "registry"), root / FOLDER)


if __name__ == "__main__":
    main()
