"""A folder worked through by hand: every mask goes out as it was on the screen."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from dicoms import write_dicom
from highdicom.seg import segread
from mouse import click, drag, press
from napari.layers import Image, Labels, Layer, Points
from pycocotools.coco import COCO
from pydicom import dcmread
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog
from skimage import io as skimage_io

from napari_glmedsa.evaluation import dice
from napari_glmedsa.export import FORMAT_NAMES, FORMATS
from napari_glmedsa.images import write_image
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui.companion import OURS
from napari_glmedsa.ui.export_dialog import ExportDialog
from napari_glmedsa.ui.segment_widget import SegmentWidget
from napari_glmedsa.ui.worklist_widget import WorklistWidget

pytestmark = [pytest.mark.ui, pytest.mark.e2e]

LONG = 60_000
SIZE = (240, 320)
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
PHOTOGRAPHS = ("mole1.png", "mole2.png", "mole3.dcm")


@pytest.fixture
def lesions(tmp_path):
    """A folder with two pictures, a DICOM photograph and a note; and what is drawn."""
    folder = tmp_path / "moles"
    folder.mkdir()
    drawn = {name: draw_lesion(seed, SIZE) for seed, name in enumerate(PHOTOGRAPHS)}
    for name, lesion in drawn.items():
        if name.endswith(".dcm"):
            write_dicom(folder / name, lesion.image)
        else:
            write_image(folder / name, lesion.image)
    (folder / "notes.txt").write_text("mole3 is from the clinic")
    return folder, drawn


@pytest.fixture
def desk(make_napari_viewer, qtbot, tmp_path):
    """A window with the docks Worklist and Segment, and the built-in model."""
    viewer, registry = make_napari_viewer(show=True), ModelRegistry(tmp_path / "models")
    worklist = WorklistWidget(viewer, registry)
    viewer.window.add_dock_widget(worklist, name="Worklist", area="left")
    segment = SegmentWidget(viewer, registry)
    viewer.window.add_dock_widget(segment, name="Segment", area="right")
    yield SimpleNamespace(viewer=viewer, worklist=worklist, segment=segment)
    worklist.close_work()
    segment.session.close()


@pytest.fixture
def user(desk, qtbot):
    return User(desk, qtbot)


class User:
    """What somebody sees and does."""

    def __init__(self, desk, qtbot) -> None:
        self.viewer, self.worklist, self.segment = (
            desk.viewer,
            desk.worklist,
            desk.segment,
        )
        self._qtbot = qtbot

    def wait(self, condition) -> None:
        self._qtbot.waitUntil(lambda: bool(condition()), timeout=LONG)

    def wait_for_answer(self) -> None:
        self.wait(lambda: self.segment.session.state is SessionState.READY)
        for _ in range(3):  # what the answer brings is done one event later
            QApplication.processEvents()

    @property
    def mask(self) -> np.ndarray:
        """The label map on the screen."""
        return self._companion(Labels).data

    def _companion(self, kind) -> Layer:
        """Return the layer of this kind on the photograph that is open."""
        image = self.segment.form.image.value
        found = (
            layer
            for layer in self.viewer.layers
            if isinstance(layer, kind)
            and layer.metadata.get(OURS, {}).get("image") == image.unique_id
        )
        return next(found)

    @property
    def prompts(self) -> tuple[tuple, ...]:
        """The clicks on the screen, with their words."""
        layer = self._companion(Points)
        words = list(layer.features["label"])
        places = (tuple(position) for position in layer.data.tolist())
        return tuple(zip(places, words, strict=True))

    def looks(self) -> tuple[bytes, tuple]:
        return self.mask.tobytes(), self.prompts

    def go_on(self, name: str) -> None:
        """Press the key of the next photograph, and wait for it."""
        press(Qt.Key.Key_PageDown)
        self.wait(lambda: self._shows(name))
        self.wait_for_answer()

    def _shows(self, name: str) -> bool:
        image = self.segment.form.image.value
        others = [one for one in self.viewer.layers if isinstance(one, Image)]
        return others == [image] and image.name == name and len(self.viewer.layers) == 3

    def change(self, act, *arguments) -> None:
        """Do something that changes the mask, and wait until it has."""
        before = self.mask.copy()
        act(*arguments)
        self.wait(lambda: not np.array_equal(self.mask, before))
        self.wait_for_answer()

    def accept(self, n_done: int) -> np.ndarray:
        """Press the key of Accept, and wait until the project has it."""
        mask = self.mask.copy()
        press(Qt.Key.Key_Return, SHIFT)
        project = self.worklist.worklist.project
        self.wait(lambda: len(project.annotated()) == n_done)
        assert np.array_equal(self.mask, mask)
        return mask


def middle(mask) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0)


def test_a_folder_is_worked_through_and_every_export_has_the_pixels_of_the_screen(
    lesions, user, tmp_path, monkeypatch
):
    folder, drawn = lesions
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    user.worklist.form.choose_button.native.click()
    user.wait(lambda: len(user.worklist.form.list.photographs.entries) == 3)
    accepted = {}

    user.go_on("mole1.png")
    accepted["mole1"] = correct_undo_redo_choose_and_accept(user, drawn["mole1.png"])

    user.go_on("mole2.png")
    accepted["mole2"] = outline_two_lesions(user, drawn["mole2.png"])

    user.go_on("mole3.dcm")
    user.change(click, user.viewer, middle(drawn["mole3.dcm"].mask))
    accepted["mole3"] = user.accept(3)
    assert dice(accepted["mole3"] > 0, drawn["mole3.dcm"].mask) > 0.8

    project = user.worklist.worklist.project
    assert {
        record.source.partition(".")[0]: record.id for record in project.images()
    }.keys() == accepted.keys()
    out = export_everything(user, project, folder, tmp_path / "out")
    check_pictures(out, accepted)
    check_coco(out, accepted)
    check_dicom(out, accepted, folder)
    check_table(out, accepted)


def correct_undo_redo_choose_and_accept(user, lesion) -> np.ndarray:
    viewer, history = user.viewer, [user.looks()]
    assert not user.mask.any()

    def did() -> None:
        history.append(user.looks())

    user.change(click, viewer, middle(lesion.mask))
    assert dice(user.mask > 0, lesion.mask) > 0.8
    did()
    press(Qt.Key.Key_W, SHIFT)  # napari's brush, on the same mask
    user.change(drag, viewer, (30.0, 40.0), (30.0, 52.0), (36.0, 60.0))
    did()
    press(Qt.Key.Key_C, SHIFT)
    inside = np.argwhere(lesion.mask & (np.arange(SIZE[1]) > middle(lesion.mask)[1]))
    user.change(click, viewer, inside[len(inside) // 2], SHIFT)
    assert [word for _, word in user.prompts] == ["lesion", "background"]
    did()

    for earlier in reversed(history[:-1]):
        press(Qt.Key.Key_Z, CONTROL)
        assert user.looks() == earlier
    assert not user.segment.form.undo_button.enabled
    for later in history[1:]:
        press(Qt.Key.Key_Z, CONTROL | SHIFT)
        assert user.looks() == later
    assert not user.segment.form.redo_button.enabled
    user.wait_for_answer()

    user.wait(lambda: user.segment.form.candidates.buttons[1].isEnabled())
    user.change(press, Qt.Key.Key_2, CONTROL)
    assert user.segment.form.candidates.buttons[1].isChecked()
    return user.accept(1)


def outline_two_lesions(user, lesion) -> np.ndarray:
    """One by a click, the other painted; the second does not eat the first."""
    user.change(click, user.viewer, middle(lesion.mask))
    first = user.accept(2)
    press(Qt.Key.Key_W, SHIFT)
    row, column = middle(lesion.mask)
    user.change(drag, user.viewer, (20.0, 20.0), (row, column), (20.0, 300.0))
    press(Qt.Key.Key_Return, SHIFT)
    project = user.worklist.worklist.project
    user.wait(lambda: len(project.labels(of(project, "mole2"))) == 2)
    both = user.mask.copy()
    assert np.array_equal(both == 1, first == 1)
    assert (both == 2).any()
    return both


def of(project: AnnotationProject, stem: str) -> str:
    """Return the id of a photograph."""
    names = {record.source.partition(".")[0]: record.id for record in project.images()}
    return names[stem]


def export_everything(user, project, sources, out):
    out.mkdir()
    dialog = ExportDialog(project.root, user.viewer.window._qt_window)
    dialog.show()
    form = dialog.form
    try:
        for name in FORMAT_NAMES:
            form.format.setCurrentIndex(form.format.findData(name))
            form.output.path_edit.setText(str(out / f"{name}{FORMATS[name].suffix}"))
            form.sources.path_edit.setText(str(sources))
            dialog.export_button.click()
            user.wait(lambda: not dialog.stop_button.isEnabled())
            assert "Exported 3 images" in dialog.report.text()
    finally:
        dialog.close_down()
        dialog.close()
    return out


def check_pictures(out, accepted) -> None:
    for stem, mask in accepted.items():
        name = f"{stem}_segmentation"
        isic = skimage_io.imread(out / "isic-png" / f"{name}.png")
        assert np.array_equal(isic, 255 * (mask > 0))
        assert np.array_equal(
            skimage_io.imread(out / "label-map" / f"{name}.png"), mask
        )
        assert np.array_equal(tifffile.imread(out / "tiff" / f"{name}.tif"), mask)
        overlay = skimage_io.imread(out / "overlay" / f"{stem}_overlay.png")
        assert overlay.shape == (*SIZE, 3)


def check_coco(out, accepted) -> None:
    coco = COCO(str(out / "coco.json"))
    for image in coco.imgs.values():
        mask = accepted[image["file_name"].partition(".")[0]]
        found = np.zeros(SIZE, dtype=int)
        for label, one in enumerate(coco.imgToAnns[image["id"]], start=1):
            found += label * coco.annToMask(one)
        assert np.array_equal(found, mask)


def check_dicom(out, accepted, sources) -> None:
    for stem, mask in accepted.items():
        is_dicom = (sources / f"{stem}.dcm").exists()
        photograph = (sources if is_dicom else out / "dicom-seg") / f"{stem}.dcm"
        uid = dcmread(photograph, stop_before_pixels=True).SOPInstanceUID
        found = segread(out / "dicom-seg" / f"{stem}_segmentation.dcm")
        (pixels,) = found.get_pixels_by_source_instance([uid], combine_segments=True)
        assert np.array_equal(pixels, mask)


def check_table(out, accepted) -> None:
    with (out / "csv.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == sum(int(mask.max()) for mask in accepted.values())
    for row in rows:
        mask = accepted[row["image"].partition(".")[0]]
        area = (mask == int(row["label"])).sum()
        assert float(row["area_px2"]) == area
        # DICOM tells how large a pixel is, and pictures do not.
        in_mm = f"{area * 0.05**2:.6g}" if row["image"] == "mole3.dcm" else ""
        assert row["area_mm2"] == in_mm
