"""Napari opens projects and DICOM files, and saves labels that others read."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from dicoms import CT, write_dicom
from highdicom.seg import segread
from PIL import Image
from pycocotools.coco import COCO
from pydicom import dcmread

from napari_glmedsa.dicom import read_dicom
from napari_glmedsa.errors import ImageFormatError, OutputError, ProjectError
from napari_glmedsa.export import label_map as label_maps
from napari_glmedsa.images import write_image
from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.ui.companion import OURS

pytestmark = pytest.mark.ui

SIZE = (48, 64)
PLUGIN = "napari-glmedsa"


def two_lesions():
    label_map = np.zeros(SIZE, dtype=np.uint16)
    label_map[5:30, 5:30] = 1
    label_map[12:20, 10:24] = 0
    label_map[5:30, 30:40] = 255
    return label_map


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def photo():
    return draw_lesion(size=SIZE).image


@pytest.fixture
def scene(viewer, photo, tmp_path):
    """A photograph and its labels; saves these with our writers."""
    viewer.add_image(photo, name="mole.jpg")
    labels = viewer.add_labels(two_lesions(), name="mask")

    def save(name):
        return labels.save(str(tmp_path / name), plugin=PLUGIN)

    return SimpleNamespace(viewer=viewer, labels=labels, save=save)


@pytest.fixture
def project(tmp_path):
    project = AnnotationProject.create(tmp_path / "moles")
    for seed, name in enumerate(("b.png", "a.png")):
        project.add_image(draw_lesion(seed, SIZE).image, source=name)
    return project


def accept(project, name):
    record = next(one for one in project.images() if one.source == name)
    project.save_annotation(record.id, two_lesions(), [Provenance()] * 255)
    return record.id


@pytest.mark.parametrize("file", ["", "project.json"])
def test_a_project_opens_with_the_photograph_that_is_next(viewer, project, file):
    accept(project, "a.png")
    (layer,) = viewer.open(str(project.root / file), plugin=PLUGIN)
    assert layer.name == "b.png"
    assert np.array_equal(layer.data, draw_lesion(0, SIZE).image)
    ours = layer.metadata[OURS]
    assert ours["project"] == str(project.root)
    assert np.array_equal(project.image(ours["image_id"]), layer.data)


def test_a_finished_project_opens_with_a_mask(viewer, project):
    for name in ("a.png", "b.png"):
        accept(project, name)
    image, labels = viewer.open(str(project.root), plugin=PLUGIN)
    assert (image.name, labels.name) == ("a.png", "a accepted")
    assert np.array_equal(labels.data, two_lesions())


def test_projects_that_cannot_be_opened_are_one_sentence(viewer, tmp_path):
    empty = AnnotationProject.create(tmp_path / "empty").root
    with pytest.raises(ProjectError, match="has no photograph yet"):
        viewer.open(str(empty), plugin=PLUGIN)
    (empty / "project.json").write_text("nonsense")
    with pytest.raises(ProjectError, match=r"\.$"):
        viewer.open(str(empty), plugin=PLUGIN)
    assert len(viewer.layers) == 0


def test_a_folder_of_photographs_is_opened_to_be_worked_through(
    viewer, photo, tmp_path, monkeypatch, qtbot
):
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(tmp_path / "home"))
    folder = tmp_path / "folder"
    folder.mkdir()
    write_image(folder / "mole.png", photo)
    assert viewer.open(str(folder), plugin=PLUGIN) == []
    (dock,) = viewer.window.dock_widgets.values()
    try:
        qtbot.waitUntil(lambda: dock.worklist is not None)
        assert dock.worklist.folder == folder
    finally:
        dock.close_work()


def test_dicom_photographs_and_masks_open(viewer, scene, tmp_path, photo):
    write_dicom(tmp_path / "photo.dcm", photo)
    scene.save("mask.dcm")
    (image,) = viewer.open(str(tmp_path / "photo.dcm"), plugin=PLUGIN)
    assert image.rgb
    assert np.array_equal(image.data, photo)
    (labels,) = viewer.open(str(tmp_path / "mask.dcm"), plugin=PLUGIN)
    assert np.array_equal(labels.data, two_lesions())
    ct = write_dicom(tmp_path / "ct.dcm", photo, SOPClassUID=CT)
    with pytest.raises(ImageFormatError, match="no photograph"):
        viewer.open(str(ct), plugin=PLUGIN)


def test_isic_masks_are_black_and_white(scene, tmp_path):
    scene.save("mask.png")
    with Image.open(tmp_path / "mask.png") as mask:
        assert mask.mode == "L"
        assert np.array_equal(np.asarray(mask), (two_lesions() > 0) * 255)


@pytest.mark.parametrize("top", [255, 300])
def test_label_maps_keep_every_label(scene, tmp_path, top):
    scene.labels.data = np.where(two_lesions() == 255, top, two_lesions())
    scene.save("mask.tif")
    stored = tifffile.imread(tmp_path / "mask.tif")
    assert stored.dtype == (np.uint8 if top == 255 else np.uint16)
    assert np.array_equal(stored, scene.labels.data)
    assert np.array_equal(label_maps.read(tmp_path / "mask.tif"), scene.labels.data)


def test_coco_is_read_back_with_the_photographs_name(scene, tmp_path):
    scene.save("mask.json")
    coco = COCO(str(tmp_path / "mask.json"))
    assert [image["file_name"] for image in coco.imgs.values()] == ["mole.jpg"]
    masks = [coco.annToMask(one) for one in coco.loadAnns(coco.getAnnIds())]
    assert np.array_equal(masks[0], two_lesions() == 1)
    assert np.array_equal(masks[1], two_lesions() == 255)


def test_dicom_seg_comes_with_a_photograph(scene, tmp_path, photo):
    for _ in range(2):  # it may be saved again
        written = scene.save("mask.dcm")
        assert len(written) == 2
    source = dcmread(tmp_path / "mask_photograph.dcm")
    assert np.array_equal(read_dicom(tmp_path / "mask_photograph.dcm"), photo)
    found = segread(tmp_path / "mask.dcm").get_pixels_by_source_instance(
        [source.SOPInstanceUID], combine_segments=True
    )[0]
    assert np.array_equal(found, np.minimum(two_lesions(), 2))


def test_dicom_seg_is_about_the_dicom_photograph(viewer, tmp_path, photo):
    source = write_dicom(tmp_path / "photo.dcm", photo)
    viewer.open(str(source), plugin=PLUGIN)
    labels = viewer.add_labels(two_lesions())
    assert len(labels.save(str(tmp_path / "mask.dcm"), plugin=PLUGIN)) == 1
    found = segread(tmp_path / "mask.dcm")
    assert found.StudyInstanceUID == dcmread(source).StudyInstanceUID
    assert sorted(path.name for path in tmp_path.glob("*.dcm")) == [
        "mask.dcm",
        "photo.dcm",
    ]


def test_dicom_seg_of_nobodys_mask_is_one_sentence(scene, tmp_path, photo):
    """Without a photograph, and with two of them that it could be about."""
    scene.viewer.add_image(photo[::-1], name="another")
    with pytest.raises(OutputError, match="belongs to a photograph"):
        scene.save("mask.dcm")
    scene.viewer.layers["another"].visible = False
    assert len(scene.save("mask.dcm")) == 2
    scene.viewer.layers["mole.jpg"].visible = False
    with pytest.raises(OutputError, match="belongs to a photograph"):
        scene.save("again.dcm")
    assert not (tmp_path / "again.dcm").exists()


def test_dicom_seg_replaces_no_other_photograph(scene, tmp_path):
    (tmp_path / "mask_photograph.dcm").write_text("precious")
    with pytest.raises(OutputError, match="is there already"):
        scene.save("mask.dcm")
    assert (tmp_path / "mask_photograph.dcm").read_text() == "precious"
    assert not (tmp_path / "mask.dcm").exists()


def test_labels_that_are_no_label_map_are_one_sentence(viewer, tmp_path):
    stack = viewer.add_labels(np.ones((3, 8, 8), dtype=np.uint8))
    large = viewer.add_labels(np.full((8, 8), 70_000, dtype=np.int32))
    for layer, words in ((stack, "3 dimensions"), (large, "label 70000")):
        for name in ("mask.png", "mask.tif", "mask.json", "mask.dcm"):
            with pytest.raises(OutputError, match=words):
                layer.save(str(tmp_path / name), plugin=PLUGIN)
    assert list(tmp_path.glob("mask*")) == []


def test_a_place_that_may_not_be_written_to_is_one_sentence(scene, tmp_path):
    (tmp_path / "file").write_text("where a folder should be")
    for name in ("mask.png", "mask.tif", "mask.json", "mask.dcm"):
        with pytest.raises(OutputError, match=r"cannot be written.*\.$"):
            scene.save(f"file/{name}")


def test_an_image_named_by_its_layer_is_used_if_it_has_no_file(scene, tmp_path):
    """The dock's mask belongs to one of several images of one size."""
    other = scene.viewer.add_image(draw_lesion(3, SIZE).image, name="other.jpg")
    scene.labels.metadata[OURS] = {"image": other.unique_id}
    scene.save("mask.json")
    document = json.loads((tmp_path / "mask.json").read_text())
    assert document["images"][0]["file_name"] == "other.jpg"
