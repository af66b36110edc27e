"""A scale is measured, kept in the project, and refused when it makes no sense."""

import json

import pytest

from napari_glmedsa.calibration import (
    Calibration,
    calibration_file,
    keep_calibration,
    read_calibration,
)
from napari_glmedsa.errors import MeasurementError, OutputError, ProjectError
from napari_glmedsa.project import AnnotationProject

IMAGE = "0123456789abcdef"


def ruler(length_mm=10.0):
    return Calibration.from_ruler((10, 20), (310, 420), length_mm=length_mm)


def test_a_ruler_measures_a_pixel():
    calibration = ruler()
    assert calibration.mm_per_pixel == pytest.approx(10 / 500)
    assert calibration.sentence == "0.02 mm per pixel (ruler: 10 mm are 500 px)"


@pytest.mark.parametrize(
    ("end", "length_mm", "says"),
    [
        ((0, 0), 10, "too short"),
        ((9, 0), 10, "too short"),
        ((float("nan"), 0), 10, "too short"),
        ((500, 0), 0, "check the length"),
        ((500, 0), -3, "check the length"),
        ((500, 0), 1e9, "check the length"),
        ((500, 0), float("nan"), "check the length"),
    ],
)
def test_a_ruler_that_makes_no_sense_is_refused(end, length_mm, says):
    with pytest.raises(MeasurementError, match=says):
        Calibration.from_ruler((0, 0), end, length_mm=length_mm)


def test_square_pixels_of_a_dicom_file_are_taken():
    calibration = Calibration.from_spacing((0.03, 0.03), "dicom")
    assert calibration.mm_per_pixel == pytest.approx(0.03)
    assert "DICOM" in calibration.sentence


def test_oblong_pixels_are_refused():
    with pytest.raises(MeasurementError, match="only square pixels"):
        Calibration.from_spacing((0.03, 0.04), "dicom")


@pytest.mark.parametrize(
    "calibration", [ruler(), Calibration.from_spacing((0.03, 0.03), "dicom")]
)
def test_a_project_keeps_the_scale_of_an_image(tmp_path, calibration):
    project = AnnotationProject.create(tmp_path / "moles")
    assert read_calibration(project.root, IMAGE) is None
    keep_calibration(project.root, IMAGE, calibration)
    assert read_calibration(project.root, IMAGE) == calibration
    keep_calibration(project.root, IMAGE, None)
    keep_calibration(project.root, IMAGE, None)
    assert read_calibration(project.root, IMAGE) is None


def test_a_kept_scale_is_no_image_of_the_project(tmp_path, image):
    project = AnnotationProject.create(tmp_path / "moles")
    image_id = project.add_image(image, source="a.png")
    keep_calibration(project.root, image_id, ruler())
    assert [record.id for record in project.images()] == [image_id]
    assert project.check() == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"mm_per_pixel": -1, "source": "ruler"}',
        '{"mm_per_pixel": NaN, "source": "ruler"}',
        '{"mm_per_pixel": 1, "source": "guess"}',
        '{"mm_per_pixel": 0.1, "source": "ruler", "line": [1]}',
    ],
)
def test_a_damaged_scale_is_one_sentence(tmp_path, content):
    project = AnnotationProject.create(tmp_path / "moles")
    calibration_file(project.root, IMAGE).write_text(content, encoding="utf-8")
    with pytest.raises(ProjectError, match="calibrate the image once more"):
        read_calibration(project.root, IMAGE)


def test_keys_of_later_versions_are_passed_over(tmp_path):
    project = AnnotationProject.create(tmp_path / "moles")
    document = json.dumps({**ruler().to_json(), "plate": "glass"})
    calibration_file(project.root, IMAGE).write_text(document, encoding="utf-8")
    assert read_calibration(project.root, IMAGE) == ruler_of(document)


def ruler_of(document):
    return Calibration.from_json(json.loads(document))


def test_an_id_cannot_lead_out_of_the_project(tmp_path):
    with pytest.raises(ProjectError, match="not the id"):
        calibration_file(tmp_path, "../../secret")


def test_a_project_that_is_gone_keeps_nothing(tmp_path):
    with pytest.raises(OutputError, match="cannot keep the scale"):
        keep_calibration(tmp_path / "gone", IMAGE, ruler())
    assert not (tmp_path / "gone").exists()
