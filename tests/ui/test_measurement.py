"""The Measure dock in a viewer: it follows the outlines, and a ruler makes it mm."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from dicoms import write_dicom
from napari.utils import interactions
from segmenting import answered, layer

from napari_glmedsa.calibration import Calibration, keep_calibration, read_calibration
from napari_glmedsa.project import AnnotationProject, image_id
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.ui.companion import OURS
from napari_glmedsa.ui.measurement_desk import MeasurementDesk, Question
from napari_glmedsa.ui.measurement_form import NOTICE
from napari_glmedsa.ui.measurement_widget import MeasurementWidget
from napari_glmedsa.ui.styles import RULER_NAME

pytestmark = pytest.mark.ui

SIZE = (60, 80)


@pytest.fixture
def sample():
    return draw_lesion(size=SIZE)


@pytest.fixture
def place(make_napari_viewer_proxy, registry):
    """A viewer in which the dock can be opened."""
    viewer, opened = make_napari_viewer_proxy(), []

    def open_dock() -> MeasurementWidget:
        widget = MeasurementWidget(viewer, registry)
        viewer.window.add_dock_widget(widget, name="Measure")
        opened.append(widget)
        return widget

    yield SimpleNamespace(viewer=viewer, open=open_dock, registry=registry)
    for widget in opened:
        widget.close_work()


@pytest.fixture
def measured(place, sample, wait):
    """The dock, with the lesion of a photograph measured."""
    place.image = place.viewer.add_image(sample.image, name="photo")
    place.mask = place.viewer.add_labels(sample.mask.astype(np.uint16), name="outline")
    place.widget = place.open()
    wait(lambda: areas(place.widget) == [sample.mask.sum()])
    return place


def areas(widget):
    return [one.shape.area for one in widget.answer.measured]


def text(widget, name="area", at=0):
    return widget.form.table.text(name, at)


def draw_ruler(dock, ends):
    """Draw on the ruler's layer as the mouse does when it is let go; (row, col)."""
    ruler = layer(dock, RULER_NAME)
    assert str(ruler.mode) == "add_line"
    ruler.add_lines(np.array(ends, dtype=float))


def drag(ruler, start, end, between):
    """Drag the mouse over a layer, (row, col); the window works after each step."""
    steps = [("press", start), *(("move", at) for at in np.linspace(start, end, 4))]
    # napari's drag callbacks look at one event that changes meanwhile.
    event = SimpleNamespace(modifiers=[], dims_displayed=[0, 1], handled=False)
    for kind, at in (*steps, ("release", end)):
        event.type, event.position, event.pos = f"mouse_{kind}", at, at
        event.is_dragging = kind == "move"
        getattr(interactions, f"mouse_{kind}_callbacks")(ruler, event)
        between()


def calibrate(dock, wait, ends=((10, 10), (10, 60)), length=10.0):
    dock.widget.form.ruler_button.native.click()
    dock.widget.form.length.setValue(length)
    draw_ruler(dock, ends)
    wait(lambda: dock.widget.answer.calibration is not None)


def test_the_table_shows_a_column_per_object(measured, wait):
    labels = measured.mask.data
    labels[:4, :4] = 300
    measured.mask.refresh()
    wait(lambda: len(areas(measured.widget)) == 2)
    table = measured.widget.form.table
    heads = [table.horizontalHeaderItem(at).text() for at in (0, 1)]
    assert heads == ["Lesion 1", "Lesion 300"]
    assert text(measured.widget, at=1) == "16"
    assert text(measured.widget, "touches_edge", 1) == "yes"
    assert "lesion 300" in measured.widget.form.words.value


def test_it_follows_the_brush(measured, wait):
    before = areas(measured.widget)
    measured.mask.brush_size = 5
    measured.mask.paint((2, 40), 1)
    wait(lambda: areas(measured.widget) not in (before, []))
    assert areas(measured.widget) == [(measured.mask.data == 1).sum()]


def test_it_follows_the_mask_of_the_segment_dock(ready, registry, wait):
    widget = MeasurementWidget(ready.viewer, registry)
    ready.viewer.window.add_dock_widget(widget, name="Measure")
    ready.clicks.add((48.0, 64.0))
    answered(ready, wait)
    wait(lambda: areas(widget) == [(ready.mask.data == 1).sum()])
    assert ready.mask.name in widget.form.subject.value
    ready.clicks.selected_data = {0}
    ready.clicks.remove_selected()
    wait(lambda: areas(widget) == [])
    assert "No lesion" in widget.form.words.value
    widget.close_work()


def test_it_goes_where_the_user_goes(measured, sample, wait):
    other = measured.viewer.add_image(sample.image[:50], name="other")
    wait(lambda: "other" in measured.widget.form.subject.value)
    assert areas(measured.widget) == []
    measured.viewer.layers.selection.active = measured.image
    wait(lambda: areas(measured.widget) == [sample.mask.sum()])
    measured.viewer.layers.remove(other.name)
    measured.viewer.layers.clear()
    wait(lambda: "Open a photograph" in measured.widget.form.subject.value)
    assert not measured.widget.form.ruler_button.enabled


def test_a_mask_of_another_size_is_said_not_measured(measured, wait):
    measured.viewer.layers.remove("outline")
    measured.viewer.add_labels(np.ones((10, 20), dtype=np.uint8), name="small")
    wait(lambda: "20 x 10" in measured.widget.form.words.value)
    assert areas(measured.widget) == []


@pytest.mark.parametrize("kind", ["grey", "float", "uint16"])
def test_other_kinds_of_photographs_are_measured(place, sample, wait, kind):
    pixels = sample.image[..., 0]
    pixels = {
        "grey": pixels,
        "float": pixels / 255,
        "uint16": pixels.astype(np.uint16) * 257,
    }[kind]
    place.viewer.add_image(pixels, name="photo")
    place.viewer.add_labels(sample.mask.astype(int))
    widget = place.open()
    wait(lambda: areas(widget) == [sample.mask.sum()])
    assert text(widget, "n_colours") == "-"


def test_nothing_is_called_a_diagnosis(measured):
    assert NOTICE.startswith("Measurements, not a diagnosis.")
    heading = measured.widget.form.table.verticalHeaderItem(0)
    assert heading.text() == "Area, px²"
    assert heading.toolTip()


# The ruler


def test_a_ruler_makes_it_millimetres(measured, sample, wait):
    calibrate(measured, wait)
    assert measured.widget.answer.calibration.mm_per_pixel == pytest.approx(0.2)
    wait(lambda: text(measured.widget) == f"{sample.mask.sum() * 0.04:,.2f}")
    assert measured.widget.form.table.verticalHeaderItem(0).text() == "Area, mm²"
    assert "ruler: 10 mm are 50 px" in measured.widget.form.scale.value
    active = measured.viewer.layers.selection.active
    assert active.name == measured.mask.name  # the user is where they were
    assert not measured.widget.form.ruler_button.native.isChecked()


def test_a_dragged_ruler_counts_when_the_mouse_is_let_go(measured, wait, qtbot):
    measured.widget.form.ruler_button.native.click()
    ruler = layer(measured, RULER_NAME)
    drag(ruler, (10, 10), (10, 60), between=lambda: qtbot.wait(10))
    wait(lambda: measured.widget.answer.calibration is not None)
    assert measured.widget.answer.calibration.mm_per_pixel == pytest.approx(
        0.2, rel=1e-3
    )
    measured.widget.form.ruler_button.native.click()
    drag(ruler, (30, 30), (30, 31), between=lambda: qtbot.wait(10))
    wait(lambda: "too short" in measured.widget.form.words.value)
    assert np.asarray(ruler.data[0]) == pytest.approx(
        np.array([[10, 10], [10, 60]]), abs=0.5
    )


def test_another_length_and_another_line_are_followed(measured, wait):
    calibrate(measured, wait)
    measured.widget.form.length.setValue(5)
    wait(lambda: measured.widget.answer.calibration.length_mm == 5)
    measured.widget.form.ruler_button.native.click()
    draw_ruler(measured, ((0, 0), (0, 25)))
    wait(lambda: measured.widget.answer.calibration.mm_per_pixel == pytest.approx(0.2))
    assert layer(measured, RULER_NAME).nshapes == 1


def test_a_ruler_on_a_scaled_and_moved_image_measures_its_pixels(place, sample, wait):
    where = {"scale": (3, 3), "translate": (100, -50), "rotate": 30}
    place.viewer.add_image(sample.image, name="photo", **where)
    place.viewer.add_labels(sample.mask.astype(int), **where)
    place.widget = place.open()
    wait(lambda: areas(place.widget) == [sample.mask.sum()])
    calibrate(place, wait)  # drawn in the layer's own coordinates
    assert place.widget.answer.calibration.mm_per_pixel == pytest.approx(0.2)


def test_a_short_ruler_is_one_sentence_and_changes_nothing(measured, wait):
    measured.widget.form.ruler_button.native.click()
    draw_ruler(measured, ((0, 0), (0, 3)))
    wait(lambda: "too short" in measured.widget.form.words.value)
    assert measured.widget.answer.calibration is None


def test_forgetting_the_scale_gives_pixels_again(measured, wait):
    calibrate(measured, wait)
    wait(lambda: measured.widget.form.forget_button.enabled)
    measured.widget.form.forget_button.native.click()
    wait(lambda: measured.widget.answer.calibration is None)
    wait(lambda: "No scale" in measured.widget.form.scale.value)
    assert RULER_NAME not in measured.viewer.layers


def test_a_deleted_ruler_stays_deleted_and_its_scale_stays(measured, wait):
    calibrate(measured, wait)
    measured.viewer.layers.remove(RULER_NAME)
    measured.mask.data[:2, :2] = 2
    measured.mask.refresh()
    wait(lambda: len(areas(measured.widget)) == 2)
    assert RULER_NAME not in measured.viewer.layers
    assert measured.widget.answer.calibration is not None


def test_the_scale_outlives_the_dock(measured, wait):
    calibrate(measured, wait)
    again = measured.open()
    wait(lambda: again.answer.calibration == measured.widget.answer.calibration)
    rulers = [one for one in measured.viewer.layers if RULER_NAME in one.name]
    assert len(rulers) == 1


def test_another_photograph_in_the_layer_has_another_scale(measured, sample, wait):
    calibrate(measured, wait)
    layer(measured, "photo").data = sample.image[::-1].copy()
    wait(lambda: measured.widget.answer.calibration is None)


def test_the_scale_of_a_layer_in_a_unit_of_length_is_taken(place, sample, wait):
    how = {"scale": (20, 20), "units": ("um", "um")}
    place.viewer.add_image(sample.image, **how)
    place.viewer.add_labels(sample.mask.astype(int), **how)
    widget = place.open()
    wait(lambda: widget.answer.calibration is not None)
    assert widget.answer.calibration.mm_per_pixel == pytest.approx(0.02)
    assert "scale of the layer" in widget.form.scale.value


def test_oblong_pixels_are_measured_in_pixels_and_said(place, sample, wait):
    how = {"scale": (20, 30), "units": ("um", "um")}
    place.viewer.add_image(sample.image, **how)
    place.viewer.add_labels(sample.mask.astype(int), **how)
    widget = place.open()
    wait(lambda: areas(widget) == [sample.mask.sum()])
    assert widget.answer.calibration is None
    assert "square pixels" in widget.form.words.value


# The project


@pytest.fixture
def project(tmp_path, registry):
    """The project that the Segment dock saves into."""
    project = AnnotationProject.create(tmp_path / "moles")
    recent = RecentProjects(registry.root)
    recent.add(project.root)
    recent.save_into(project.root)
    return project


def test_the_scale_is_kept_in_the_project_and_comes_back(
    project, measured, sample, wait
):
    calibrate(measured, wait)
    own_id = image_id(sample.image)
    kept = read_calibration(project.root, own_id)
    assert kept == measured.widget.answer.calibration
    measured.viewer.layers.clear()
    wait(lambda: measured.widget.answer.calibration is None)
    measured.viewer.add_image(sample.image, name="the same again")
    wait(lambda: measured.widget.answer.calibration == kept)
    wait(lambda: RULER_NAME in measured.viewer.layers)
    measured.widget.form.forget_button.native.click()
    wait(lambda: read_calibration(project.root, own_id) is None)


def test_an_image_of_the_worklist_says_which_project_it_belongs_to(
    tmp_path, place, sample, wait
):
    project = AnnotationProject.create(tmp_path / "clinic")
    own_id = "0123456789abcdef"
    ruler = Calibration.from_ruler((0, 0), (50, 0), length_mm=10)
    keep_calibration(project.root, own_id, ruler)
    marks = {"project": str(project.root), "image_id": own_id}
    place.viewer.add_image(sample.image, metadata={OURS: marks})
    widget = place.open()
    wait(lambda: widget.answer.calibration == ruler)


def test_a_damaged_scale_is_one_sentence(project, place, sample, wait):
    own_id = image_id(sample.image)
    file = project.root / "images" / f"{own_id}.calibration.json"
    file.write_text("{")
    place.viewer.add_image(sample.image)
    widget = place.open()
    wait(lambda: "damaged" in widget.form.words.value)


# The file


def test_the_table_is_saved_as_it_is_shown(measured, sample, tmp_path, wait):
    path = tmp_path / "x.csv"
    measured.widget.save_table(path)
    wait(path.exists)
    with path.open(encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["image"] == "photo"
    assert int(row["area_px2"]) == sample.mask.sum()
    assert row["area_mm2"] == ""


def test_a_table_that_cannot_be_saved_is_one_sentence(
    measured, tmp_path, wait, messages
):
    measured.widget.save_table(tmp_path / "nowhere" / "x.csv")
    wait(lambda: any("cannot be written" in words for words in messages()))
    assert "cannot be written" in measured.widget.form.words.value


def test_a_closed_dock_listens_no_more(measured, qtbot):
    measured.widget.close_work()
    measured.widget.close_work()
    measured.mask.data[:4, :4] = 7
    measured.mask.refresh()
    measured.viewer.layers.clear()
    assert measured.widget.answer.measured


# DICOM


def scale_of(sample, path, **question):
    job = SimpleNamespace(raise_if_cancelled=lambda: None)
    asked = Question(sample.image, None, path=path, **question)
    return MeasurementDesk(lambda: None).answer(asked, job).calibration


@pytest.mark.parametrize(
    ("attributes", "mm"),
    [
        ({"PixelSpacing": [0.025, 0.025]}, 0.025),
        ({"PixelSpacing": None, "ImagerPixelSpacing": [0.025, 0.025]}, None),
    ],
)
def test_the_pixel_spacing_of_a_dicom_file_is_taken(tmp_path, sample, attributes, mm):
    found = scale_of(sample, write_dicom(tmp_path / "a", sample.image, **attributes))
    assert (found and found.mm_per_pixel) == (mm and pytest.approx(mm))


def test_a_ruler_goes_before_what_a_file_says(tmp_path, sample):
    ruler = Calibration.from_ruler((0, 0), (50, 0), length_mm=10)
    path = write_dicom(tmp_path / "a", sample.image)
    assert scale_of(sample, path, calibration=ruler) == ruler
