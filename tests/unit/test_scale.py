"""The scale of a DICOM photograph comes into the project with it."""

import pytest
from dicoms import write_dicom

from napari_glmedsa.calibration import (
    Calibration,
    calibration_file,
    keep_calibration,
    read_calibration,
)
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.project.scale import keep_scale


@pytest.fixture
def project(tmp_path):
    return AnnotationProject.create(tmp_path / "moles")


@pytest.fixture
def image_id(project, image):
    return project.add_image(image, source="a.dcm")


def test_pixel_spacing_becomes_the_scale(project, image_id, image, tmp_path):
    file = write_dicom(tmp_path / "a.dcm", image, PixelSpacing=[0.04, 0.04])
    keep_scale(project.root, image_id, file)
    scale = read_calibration(project.root, image_id)
    assert (scale.mm_per_pixel, scale.source) == (0.04, "dicom")


def test_a_scale_that_is_known_stays(project, image_id, image, tmp_path):
    keep_calibration(project.root, image_id, Calibration(0.1, "given"))
    file = write_dicom(tmp_path / "a.dcm", image, PixelSpacing=[0.04, 0.04])
    keep_scale(project.root, image_id, file)
    assert read_calibration(project.root, image_id).mm_per_pixel == 0.1


def test_a_scale_that_is_damaged_is_left_to_the_check(
    project, image_id, image, tmp_path
):
    calibration_file(project.root, image_id).write_text("{")
    file = write_dicom(tmp_path / "a.dcm", image, PixelSpacing=[0.04, 0.04])
    keep_scale(project.root, image_id, file)
    assert calibration_file(project.root, image_id).read_text() == "{"
    assert any("calibration.json is damaged" in words for words in project.check())


@pytest.mark.parametrize("spacing", [None, [0.04, 0.09], [0, 0], [1000, 1000]])
def test_nothing_is_made_up(project, image_id, image, tmp_path, spacing):
    file = write_dicom(tmp_path / "a.dcm", image, PixelSpacing=spacing)
    keep_scale(project.root, image_id, file)
    assert read_calibration(project.root, image_id) is None


def test_a_file_that_is_no_dicom_or_damaged_tells_nothing(
    project, image_id, image, tmp_path
):
    whole = write_dicom(tmp_path / "a.dcm", image).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:200])
    (tmp_path / "b.png").write_bytes(b"no")
    for file in (None, tmp_path / "gone.dcm", tmp_path / "b.png", tmp_path / "cut.dcm"):
        keep_scale(project.root, image_id, file)
    assert read_calibration(project.root, image_id) is None
