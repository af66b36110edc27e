"""Masks from other programs come into a project with the pixels they have there."""

import json

import numpy as np
import pytest
from command import glmedsa
from dicoms import dicom_dataset, write_dicom
from highdicom.seg import (
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from PIL import Image
from pycocotools import mask as coco_masks
from pydicom import dcmread
from pydicom.sr.codedict import codes

from napari_glmedsa.calibration import Calibration, keep_calibration, read_calibration
from napari_glmedsa.errors import ImageFormatError, MissingPackageError
from napari_glmedsa.export import (
    FORMATS,
    Request,
    coco,
    dicom_seg,
    dicom_seg_reader,
    export,
)
from napari_glmedsa.export.incoming import incoming
from napari_glmedsa.images import write_image
from napari_glmedsa.project import AnnotationProject, Provenance, image_id
from napari_glmedsa.samples import draw_lesion

SIZE = (48, 64)
FRACTIONAL = SegmentationTypeValues.FRACTIONAL
LABELMAP = SegmentationTypeValues.LABELMAP


def two_lesions(seed):
    """Two objects that touch, one with a hole; the labels have a gap."""
    label_map = np.zeros(SIZE, dtype=np.uint16)
    label_map[5:30, 5:30] = 1
    label_map[12:20, 10 + seed : 24] = 0
    label_map[5:30, 30:40] = 3
    return label_map


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed in range(2):
        write_image(folder / f"mole{seed}.png", draw_lesion(seed, SIZE).image)
    return folder


@pytest.fixture
def project(tmp_path):
    project = AnnotationProject.create(tmp_path / "from")
    for seed in range(2):
        image = project.add_image(
            draw_lesion(seed, SIZE).image, source=f"mole{seed}.png"
        )
        project.save_annotation(image, two_lesions(seed), [Provenance()] * 3)
    return project


@pytest.fixture
def exported(project, tmp_path):
    def write(name, **choices):
        output = tmp_path / f"{name}{FORMATS[name].suffix}"
        return export(project, Request(name, output, **choices)).output

    return write


@pytest.fixture
def take_in(capsys, tmp_path):
    root = AnnotationProject.create(tmp_path / "to").root

    def run(name, images, masks):
        said = glmedsa(
            capsys,
            *("project", "import", root, "--format", name),
            *("--images", images, "--masks", masks),
        )
        return said, AnnotationProject.open(root)

    return run


@pytest.mark.parametrize("name", ["isic-png", "label-map", "tiff", "coco", "dicom-seg"])
def test_what_was_exported_comes_back_the_same(exported, photographs, take_in, name):
    masks = exported(name)
    said, there = take_in(name, photographs, masks)
    assert (said.code, said.out) == (0, "Imported 2 of 2 pairs into to.\n")
    for seed in range(2):
        image = image_id(draw_lesion(seed, SIZE).image)
        expected = two_lesions(seed)
        if name == "isic-png":
            expected = (expected > 0).astype(np.uint16)
        assert np.array_equal(there.label_map(image), expected)
        assert {one.origin for one in there.objects(image)} == {"import"}
    again, _ = take_in(name, photographs, masks)
    assert again.out == "Imported 0 of 2 pairs into to; 2 were there already.\n"


def test_polygons_with_holes_come_back_the_same(exported, photographs, take_in):
    _, there = take_in("coco", photographs, exported("coco", outline="polygons"))
    for seed in range(2):
        image = image_id(draw_lesion(seed, SIZE).image)
        assert np.array_equal(there.label_map(image), two_lesions(seed))


def test_dicom_photographs_come_with_their_masks_and_their_scale(
    project, exported, take_in
):
    """The folder that was exported is enough: secondary captures and masks."""
    first = image_id(draw_lesion(0, SIZE).image)
    keep_calibration(project.root, first, Calibration(0.05, "ruler"))
    folder = exported("dicom-seg")
    said, there = take_in("dicom-seg", folder, folder)
    assert said.out == "Imported 2 of 2 pairs into to.\n"
    assert np.array_equal(there.label_map(first), two_lesions(0))
    found = read_calibration(there.root, first)
    assert (found.mm_per_pixel, found.source) == (0.05, "dicom")
    second = image_id(draw_lesion(1, SIZE).image)
    assert read_calibration(there.root, second) is None


def test_photographs_that_are_added_keep_their_scale(capsys, take_in, tmp_path):
    image = draw_lesion(5, SIZE).image
    path = write_dicom(tmp_path / "a.dcm", image, PixelSpacing=[0.04, 0.04])
    oblong = draw_lesion(6, SIZE).image
    other = write_dicom(tmp_path / "b.dcm", oblong, PixelSpacing=[0.04, 0.08])
    root = tmp_path / "to"
    assert glmedsa(capsys, "project", "add", root, path, other).code == 0
    assert read_calibration(root, image_id(image)).mm_per_pixel == 0.04
    assert read_calibration(root, image_id(oblong)) is None


def test_dicom_seg_goes_by_the_photograph_it_refers_to(tmp_path, take_in):
    """Whatever the files are called, and whatever else lies there."""
    photos, masks = tmp_path / "p", tmp_path / "m"
    photos.mkdir()
    masks.mkdir()
    for seed in range(2):
        photo = write_dicom(photos / f"IM{seed}.dcm", draw_lesion(seed, SIZE).image)
        dataset = dicom_seg.segmentation(dcmread(photo), two_lesions(seed))
        dataset.save_as(masks / f"x{1 - seed}.dcm", enforce_file_format=True)
    (masks / "damaged.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"not much")
    (masks / "notes.txt").write_text("nothing")
    said, there = take_in("dicom-seg", photos, masks)
    assert said.out == "Imported 2 of 2 pairs into to.\n"
    assert "damaged.dcm does not say what kind" in said.err
    for seed in range(2):
        image = image_id(draw_lesion(seed, SIZE).image)
        assert np.array_equal(there.label_map(image), two_lesions(seed))


def test_one_dicom_seg_file_is_enough(exported, photographs):
    file = exported("dicom-seg") / "mole1_segmentation.dcm"
    found = incoming("dicom-seg", photographs, file)
    assert found.pairs == [(photographs / "mole1.png", file)]
    assert found.remarks == ("Left out 1 image(s) without a mask: mole0.png.",)


def test_a_photograph_is_not_taken_for_dicom_seg(exported, photographs, take_in):
    file = exported("dicom-seg") / "mole1.dcm"
    said, _ = take_in("dicom-seg", photographs, file)
    assert said.code == 1
    assert "is no DICOM SEG (masks), but another kind of DICOM file" in said.err


def test_masks_of_another_size_are_refused(exported, photographs, take_in, tmp_path):
    write_image(photographs / "mole0.png", draw_lesion(0, (40, 64)).image)
    for name in ("label-map", "coco", "dicom-seg"):
        said, there = take_in(name, photographs, exported(name))
        assert said.code == 1
        assert "is 64 x 48 pixels but" in said.err
        assert len(there.annotated()) == 1


def test_labels_beyond_255_are_kept(photographs, take_in, tmp_path):
    label_map = np.zeros(SIZE, dtype=np.uint16)
    label_map[0, :60] = np.arange(241, 301)
    (tmp_path / "m").mkdir()
    Image.fromarray(label_map).save(tmp_path / "m" / "mole0.png")
    _, there = take_in("label-map", photographs, tmp_path / "m")
    image = image_id(draw_lesion(0, SIZE).image)
    assert np.array_equal(there.label_map(image), label_map)


def too_long():
    """Return run lengths that go on beyond the image."""
    mask = np.ones((480, 640), dtype=np.uint8, order="F")
    return coco_masks.encode(mask)["counts"].decode()


def coco_file(path, **changes):
    rle = coco_masks.encode(np.asfortranarray(two_lesions(0) == 1, dtype=np.uint8))
    counts = rle["counts"].decode()
    document = {
        "images": [{"id": 7, "file_name": "a/mole0.jpg", "height": 48, "width": 64}],
        "annotations": [
            {"image_id": 7, "segmentation": {"size": [48, 64], "counts": counts}}
        ],
    }
    document["images"][0].update(changes)
    path.write_text(json.dumps(document))
    return path


def test_coco_of_other_programs_goes_by_name(photographs, take_in, tmp_path):
    """Folders in names are ignored, and so is whether it was a JPEG."""
    said, there = take_in("coco", photographs, coco_file(tmp_path / "a.json"))
    assert said.out == "Imported 1 of 1 pairs into to.\n"
    assert "Left out 1 image(s) without a mask: mole1.png" in said.err
    image = image_id(draw_lesion(0, SIZE).image)
    assert np.array_equal(there.mask(image), two_lesions(0) == 1)


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3]],
        [["a"] * 6],
        {"size": [3, 4], "counts": "12"},
        {"size": [48, 64], "counts": [5, 6]},
        {"size": [48, 64], "counts": [-5, 48 * 64 + 5]},
        {"size": [48, 64], "counts": 3},
        {"size": [48, 64], "counts": too_long()},
        {"counts": "12"},
        "nonsense",
        7,
    ],
)
def test_outlines_that_make_no_sense_are_refused(tmp_path, segmentation):
    path = coco_file(tmp_path / "a.json")
    document = json.loads(path.read_text())
    document["annotations"][0]["segmentation"] = segmentation
    path.write_text(json.dumps(document))
    with pytest.raises(ImageFormatError, match=r"outline on mole0\.jpg that does not"):
        next(coco.read(path)).label_map()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"images": [], "annotations": [{"segmentation": [1]}]}', "\x00"],
)
def test_files_that_are_no_coco_are_told(photographs, tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ImageFormatError, match="is no COCO file"):
        incoming("coco", photographs, path)
    with pytest.raises(ImageFormatError, match="cannot be read"):
        incoming("coco", photographs, tmp_path / "nowhere.json")


@pytest.mark.parametrize("size", [0, -1, 10**7, "wide", None])
def test_impossible_sizes_in_coco_are_told(photographs, tmp_path, size):
    with pytest.raises(ImageFormatError, match="does not fit the image"):
        incoming("coco", photographs, coco_file(tmp_path / "a.json", width=size))


def test_masks_of_other_photographs_are_told(photographs, tmp_path, exported):
    path = coco_file(tmp_path / "a.json", file_name="other.png")
    with pytest.raises(ImageFormatError, match=r"No mask in .* belongs to"):
        incoming("coco", photographs, path)
    for seed in range(2):
        (photographs / f"mole{seed}.png").rename(photographs / f"x{seed}.png")
    with pytest.raises(ImageFormatError, match=r"No mask in .* belongs to"):
        incoming("dicom-seg", photographs, exported("dicom-seg"))
    with pytest.raises(ImageFormatError, match="cannot be read"):
        incoming("dicom-seg", photographs, tmp_path / "nowhere")


def write_as_others_do(path, source, pixels, kind):
    """Write DICOM SEG with two segments as another program would."""
    segments = [
        SegmentDescription(
            segment_number=number,
            segment_label=f"lesion {number}",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type="MANUAL",
        )
        for number in (1, 2)
    ]
    Segmentation(
        [source],
        pixels,
        kind,
        segments,
        series_instance_uid="1.2.3",
        series_number=1,
        sop_instance_uid="1.2.3.4",
        instance_number=1,
        manufacturer="Others",
        manufacturer_model_name="Model",
        software_versions="1",
        device_serial_number="1",
    ).save_as(path)
    return path


def test_fractions_count_from_one_half_and_earlier_segments_win(tmp_path):
    """A segmentation by a model that writes what it believes."""
    source = dcmread(write_dicom(tmp_path / "a.dcm", draw_lesion(0, SIZE).image))
    belief = np.zeros((1, *SIZE, 2))
    belief[0, 3:9, 3:9, 0] = 0.49
    belief[0, 9:12, 3:9, 0] = 0.51
    belief[0, 11:14, 3:9, 1] = 0.75
    file = write_as_others_do(tmp_path / "seg.dcm", source, belief, FRACTIONAL)
    expected = np.zeros(SIZE, dtype=np.uint16)
    expected[11:14, 3:9] = 2
    expected[9:12, 3:9] = 1
    found = dicom_seg_reader.read(file)
    assert np.array_equal(found.label_map, expected)
    assert found.source_uid == source.SOPInstanceUID
    assert dicom_seg_reader.source_uid(file) == source.SOPInstanceUID


def test_label_map_segmentations_keep_their_labels(tmp_path):
    source = dcmread(write_dicom(tmp_path / "a.dcm", draw_lesion(0, SIZE).image))
    labels = np.minimum(two_lesions(0), 2).astype(np.uint8)
    file = write_as_others_do(tmp_path / "seg.dcm", source, labels, LABELMAP)
    assert np.array_equal(dicom_seg_reader.read(file).label_map, labels)


def test_a_dicom_seg_cut_off_anywhere_is_refused(tmp_path):
    source = dicom_dataset(draw_lesion(0, SIZE).image)
    path = tmp_path / "a.dcm"
    dicom_seg.segmentation(source, two_lesions(0)).save_as(path)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 101):
        path.write_bytes(whole[:length])
        with pytest.raises(ImageFormatError):
            dicom_seg_reader.read(path)


def test_without_pydicom_it_is_said_what_to_install(exported, photographs, monkeypatch):
    folder = exported("dicom-seg")
    monkeypatch.setattr("napari_glmedsa.extras.find_spec", lambda _: None)
    for name in ("dicom-seg", "coco"):
        with pytest.raises(MissingPackageError, match="pip install"):
            incoming(name, photographs, folder)
