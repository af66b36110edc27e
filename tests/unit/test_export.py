"""Exported masks come back with the same pixels in the library that owns the format."""

import csv
import errno
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from dicoms import PATIENT, write_dicom
from highdicom.seg import segread
from PIL import Image
from pycocotools.coco import COCO
from pydicom import dcmread

from napari_glmedsa.calibration import Calibration, keep_calibration
from napari_glmedsa.dicom import read_dicom
from napari_glmedsa.errors import (
    Cancelled,
    ImageFormatError,
    MissingPackageError,
    OutputError,
    ProjectError,
)
from napari_glmedsa.export import FORMAT_NAMES, FORMATS, Request, export
from napari_glmedsa.export import label_map as label_maps
from napari_glmedsa.export.place import whole_folder
from napari_glmedsa.images import read_image
from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.samples import draw_lesion

BY_HAND = Provenance(
    point_coords=((9.0, 5.0), (1.0, 2.0)),
    point_labels=(1, 0),
    box=(1.0, 2.0, 30.0, 40.0),
    model="sam_vit_mini+glmedsa_vit_mini_isic",
    hand_edited=True,
    annotator="Ada",
    created="2026-01-02T03:04:05+00:00",
)


def ring_and_crumb():
    """Two objects: one with a hole and a crumb beside it, and one that touches it."""
    label_map = np.zeros((48, 64), dtype=np.uint16)
    label_map[5:30, 5:30] = 1
    label_map[12:20, 10:24] = 0
    label_map[15, 15] = 1
    label_map[40, 60] = 1
    label_map[5:30, 30:40] = 3
    return label_map


def many_objects():
    """Three hundred objects of a few pixels."""
    label_map = np.zeros((48, 64), dtype=np.uint16)
    label_map[1:41:2, 2:32:2] = np.arange(1, 301).reshape(20, 15)
    return label_map


@pytest.fixture
def project(tmp_path):
    project = AnnotationProject.create(tmp_path / "moles")
    for seed, (name, label_map) in enumerate(
        {
            "one.jpg": draw_lesion(0, (48, 64)).mask.astype(np.uint16),
            "two.png": ring_and_crumb(),
            "many.png": many_objects(),
        }.items()
    ):
        image = project.add_image(draw_lesion(seed, (48, 64)).image, source=name)
        provenances = [BY_HAND, *[Provenance(origin="import")] * 299]
        project.save_annotation(image, label_map, provenances)
    project.add_image(draw_lesion(9, (48, 64)).image, source="not yet.png")
    return project


def masks_of(project):
    """Return stem → label map of what is accepted."""
    return {
        Path(record.source).stem: project.label_map(record.id)
        for record in project.images()
        if project.is_annotated(record.id)
    }


def where(tmp_path, name):
    return tmp_path / "out" / f"{name}{FORMATS[name].suffix}"


def run(project, tmp_path, name, **choices):
    return export(project, Request(name, where(tmp_path, name), **choices))


def files_below(folder):
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    )


def test_isic_masks_are_read_back_by_pillow(project, tmp_path):
    written = run(project, tmp_path, "isic-png")
    assert (written.n_images, written.output) == (3, where(tmp_path, "isic-png"))
    for stem, label_map in masks_of(project).items():
        with Image.open(written.output / f"{stem}_segmentation.png") as mask:
            assert mask.mode == "L"
            assert np.array_equal(np.asarray(mask), (label_map > 0) * 255)


def test_isic_masks_are_one_piece_without_holes_on_request(project, tmp_path):
    run(project, tmp_path, "isic-png", pieces="largest")
    with Image.open(where(tmp_path, "isic-png") / "two_segmentation.png") as mask:
        expected = np.zeros((48, 64), dtype=np.uint8)
        expected[5:30, 5:40] = 255
        assert np.array_equal(np.asarray(mask), expected)


@pytest.mark.parametrize("name", ["label-map", "tiff"])
def test_label_maps_keep_every_label_also_beyond_255(project, tmp_path, name):
    written = run(project, tmp_path, name)
    assert written.n_objects == 1 + 2 + 300
    suffix = ".png" if name == "label-map" else ".tif"
    for stem, label_map in masks_of(project).items():
        path = written.output / f"{stem}_segmentation{suffix}"
        if suffix == ".tif":
            stored = tifffile.imread(path)
        else:
            with Image.open(path) as picture:
                stored = np.asarray(picture)
        assert stored.dtype == (np.uint16 if stem == "many" else np.uint8)
        assert np.array_equal(stored, label_map)
        assert np.array_equal(label_maps.read(path), label_map)


@pytest.mark.parametrize("outline", ["rle", "polygons"])
def test_coco_is_read_back_by_pycocotools_with_holes(project, tmp_path, outline):
    run(project, tmp_path, "coco", outline=outline)
    coco = COCO(str(where(tmp_path, "coco")))
    expected = masks_of(project)
    assert len(coco.imgs) == 3
    for image in coco.imgs.values():
        label_map = expected[Path(image["file_name"]).stem]
        assert label_map.shape == (image["height"], image["width"])
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        labels = [annotation["napari_glmedsa"]["label"] for annotation in annotations]
        assert labels == sorted(set(label_map.ravel()) - {0})
        for annotation, label in zip(annotations, labels, strict=True):
            mask = label_map == label
            assert np.array_equal(coco.annToMask(annotation), mask)
            assert annotation["area"] == mask.sum()
            rows, columns = np.nonzero(mask)
            left, top, width, height = annotation["bbox"]
            assert (left, top) == (columns.min(), rows.min())
            assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)


def test_dicom_seg_is_read_back_by_highdicom(project, tmp_path):
    written = run(project, tmp_path, "dicom-seg")
    assert "All photographs had no DICOM file" in written.remark
    for stem, label_map in masks_of(project).items():
        photograph = dcmread(written.output / f"{stem}.dcm")
        segmentation = segread(written.output / f"{stem}_segmentation.dcm")
        found = segmentation.get_pixels_by_source_instance(
            [photograph.SOPInstanceUID], combine_segments=True
        )[0]
        labels = sorted(set(label_map.ravel()) - {0})
        expected = np.searchsorted([0, *labels], label_map)
        assert np.array_equal(found, expected)
        assert segmentation.number_of_segments == len(labels)
        assert segmentation.StudyInstanceUID == photograph.StudyInstanceUID
        kinds = {
            segmentation.get_segment_description(number).algorithm_type.value
            for number in segmentation.segment_numbers
        }
        assert kinds == ({"SEMIAUTOMATIC"} | ({"MANUAL"} if len(labels) > 1 else set()))


def test_a_secondary_capture_has_the_photograph_and_its_scale(project, tmp_path):
    record = next(one for one in project.images() if one.source == "one.jpg")
    keep_calibration(project.root, record.id, Calibration(0.05, "ruler"))
    folder = run(project, tmp_path, "dicom-seg").output
    assert np.array_equal(read_dicom(folder / "one.dcm"), project.image(record.id))
    assert dcmread(folder / "one.dcm").PixelSpacing == [0.05, 0.05]
    assert "PixelSpacing" not in dcmread(folder / "two.dcm")


def test_dicom_seg_belongs_to_the_dermoscopic_photograph(project, tmp_path):
    """Patient and study are those of the source, which is found by its pixels."""
    sources = tmp_path / "dicom" / "below"
    sources.mkdir(parents=True)
    (sources / "notes.txt").write_text("no image")
    for record in project.images()[:2]:
        write_dicom(sources / f"{record.id}.dcm", project.image(record.id))
    (sources / "one.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"damaged")
    image = next(one for one in project.images()[:2] if project.is_annotated(one.id))
    written = run(project, tmp_path, "dicom-seg", sources=sources.parent)
    stem = Path(image.source).stem
    source = dcmread(sources / f"{image.id}.dcm")
    segmentation = segread(written.output / f"{stem}_segmentation.dcm")
    assert segmentation.PatientName == PATIENT
    assert segmentation.StudyInstanceUID == source.StudyInstanceUID
    found = segmentation.get_pixels_by_source_instance(
        [source.SOPInstanceUID], combine_segments=True
    )[0]
    assert np.array_equal(found > 0, project.mask(image.id))
    assert not (written.output / f"{stem}.dcm").exists()
    assert "of 3 photographs had no DICOM file" in written.remark


def test_sources_that_are_no_folder_are_told(project, tmp_path):
    with pytest.raises(ImageFormatError, match="There is no folder"):
        run(project, tmp_path, "dicom-seg", sources=tmp_path / "nowhere")


def test_the_table_has_measurements_and_where_each_lesion_came_from(project, tmp_path):
    record = next(one for one in project.images() if one.source == "one.jpg")
    keep_calibration(project.root, record.id, Calibration(0.05, "dicom"))
    run(project, tmp_path, "csv")
    with where(tmp_path, "csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 1 + 2 + 300
    row = next(row for row in rows if row["image"] == "one.jpg")
    area = int(project.mask(record.id).sum())
    assert int(row["area_px2"]) == area
    assert float(row["area_mm2"]) == pytest.approx(area * 0.05**2, rel=1e-5)
    assert (row["scale_from"], row["annotator"]) == ("dicom", "Ada")
    assert (row["lesion_clicks"], row["background_clicks"]) == ("1", "1")
    assert (row["hand_edited"], row["box"]) == ("yes", "1 2 30 40")
    assert row["split"] == project.splits()[record.id]
    assert row["accepted"] == BY_HAND.created
    two = [row for row in rows if row["image"] == "two.png"]
    assert [row["label"] for row in two] == ["1", "3"]
    assert [row["origin"] for row in two] == ["clicks", "import"]
    assert two[0]["area_mm2"] == ""


def test_overlays_show_every_outline_on_the_photograph(project, tmp_path):
    run(project, tmp_path, "overlay")
    record = next(one for one in project.images() if one.source == "two.png")
    with Image.open(where(tmp_path, "overlay") / "two_overlay.png") as drawn:
        changed = (np.asarray(drawn) != project.image(record.id)).any(axis=2)
    assert changed[5:30, 29:31].all()  # also between objects that touch
    assert not changed[45:, :50].any()


def test_photographs_of_one_name_do_not_overwrite_each_other(project, tmp_path):
    other = project.add_image(draw_lesion(20, (48, 64)).image, source="ONE.png")
    project.save_annotation(other, draw_lesion(20, (48, 64)).mask, [Provenance()])
    folder = run(project, tmp_path, "isic-png").output
    names = files_below(folder)
    assert len(names) == 4 + 1
    assert f"ONE-{other}_segmentation.png" in names
    mean = project.add_image(draw_lesion(21, (48, 64)).image, source="ONE_Segmentation")
    project.save_annotation(mean, draw_lesion(21, (48, 64)).mask, [Provenance()])
    files = files_below(run(project, tmp_path, "dicom-seg").output)
    assert len(files) == 2 * 5 + 1
    assert f"ONE_Segmentation-{mean}.dcm" in files
    run(project, tmp_path, "coco")
    images = json.loads(where(tmp_path, "coco").read_text())["images"]
    assert len({image["file_name"].casefold() for image in images}) == 5


def test_a_split_alone_can_be_exported(project, tmp_path):
    splits = project.splits()
    written = run(project, tmp_path, "isic-png", split="train")
    assert written.n_images == list(splits.values()).count("train") > 0


def test_a_project_without_masks_has_nothing_to_export(tmp_path):
    empty = AnnotationProject.create(tmp_path / "empty")
    for name in FORMAT_NAMES:
        with pytest.raises(ProjectError, match="no accepted mask"):
            run(empty, tmp_path, name)
    assert files_below(tmp_path / "out") == []
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_an_export_is_replaced_only_when_asked(project, tmp_path, name):
    run(project, tmp_path, name)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("out/**/*")}
    with pytest.raises(OutputError, match="already"):
        run(project, tmp_path, name)
    assert before == {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("out/**/*")
    }
    run(project, tmp_path, name, overwrite=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [
        where(tmp_path, name).name
    ]


def test_a_folder_with_anything_else_in_it_is_never_replaced(project, tmp_path):
    folder = run(project, tmp_path, "isic-png").output
    (folder / "mine.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"holds other files.*mine\.txt"):
            run(project, tmp_path, "isic-png", overwrite=overwrite)
    assert (folder / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_an_export_never_goes_into_its_project(project, tmp_path, name):
    before = files_below(project.root)
    (tmp_path / "link").symlink_to(project.root / "masks")
    for place in ("project.json", "masks", "runs/new", "", "../link/new"):
        request = Request(name, project.root / place, overwrite=True)
        with pytest.raises(OutputError, match=r"is inside the project moles; name"):
            export(project, request)
    assert files_below(project.root) == before
    assert project.check() == []


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_names_that_are_no_text_or_too_long_do_not_stop_an_export(
    project, tmp_path, name
):
    stems = ("ü" * 120, "new\nline", "b\udcffd", "=cmd()", "-o")
    for seed, stem in enumerate(stems, start=10):
        lesion = draw_lesion(seed, (48, 64))
        image = project.add_image(lesion.image, source=f"{stem}.png")
        project.save_annotation(image, lesion.mask, [Provenance()])
    assert run(project, tmp_path, name).n_images == 3 + len(stems)


def test_an_empty_folder_may_be_filled(project, tmp_path):
    where(tmp_path, "isic-png").mkdir(parents=True)
    assert run(project, tmp_path, "isic-png").n_images == 3


def test_the_folder_that_one_is_in_is_not_replaced(project, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for place in (Path(), tmp_path / "here"):
        with pytest.raises(OutputError, match="the folder that you are in"):
            export(project, Request("isic-png", place))
    assert list(tmp_path.rglob("here/*")) == list(tmp_path.glob(".*")) == []


def test_a_link_to_a_former_export_stays_a_link(project, tmp_path):
    former = run(project, tmp_path, "isic-png").output
    link = tmp_path / "link"
    link.symlink_to(former)
    for _ in range(2):
        export(project, Request("tiff", link, overwrite=True))
        assert link.is_symlink()
        assert json.loads((former / "export.json").read_text())["format"] == "tiff"
    assert list(tmp_path.glob(".*")) == list(former.parent.glob(".*")) == []


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_links_in_a_circle_are_one_sentence(project, tmp_path, name):
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    with pytest.raises(OutputError, match="circle/out cannot be written"):
        export(project, Request(name, circle / "out"))
    assert list(tmp_path.glob(".*")) == []


def test_files_and_folders_are_not_taken_for_each_other(project, tmp_path):
    where(tmp_path, "coco").mkdir(parents=True)
    where(tmp_path, "isic-png").write_text("a file")
    with pytest.raises(OutputError, match="is a folder; name a file"):
        run(project, tmp_path, "coco", overwrite=True)
    with pytest.raises(OutputError, match="is a file; name a new folder"):
        run(project, tmp_path, "isic-png", overwrite=True)


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_a_full_disk_leaves_nothing_behind(project, tmp_path, name):
    def step(done, total):
        if done == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match=r"No space left.*make room"):
        export(project, Request(name, where(tmp_path, name)), step=step)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_cut_off_by_the_system_leaves_nothing_behind(project, tmp_path):
    """No file may become larger than a few bytes, which is a full disk to a writer."""
    program = (
        "import resource\n"
        "from pathlib import Path\n"
        "from napari_glmedsa.errors import OutputError\n"
        "from napari_glmedsa.export import FORMAT_NAMES, FORMATS, Request, export\n"
        "from napari_glmedsa.project import AnnotationProject\n"
        f"project = AnnotationProject.open(Path({str(project.root)!r}))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n"
        "for name in FORMAT_NAMES:\n"
        f"    place = Path({str(tmp_path / 'out')!r}) / f'a{{FORMATS[name].suffix}}'\n"
        "    try: export(project, Request(name, place))\n"
        "    except OutputError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    sentences = done.stdout.splitlines()
    assert len(sentences) == len(FORMAT_NAMES)
    for name, said in zip(FORMAT_NAMES, sentences, strict=True):
        place = tmp_path / "out" / f"a{FORMATS[name].suffix}"
        assert said.startswith(f"{place} cannot be written (File too large); choose")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_is_read_only_is_one_sentence(project, tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OutputError, match=r"Read-only file system.*choose a place"):
        run(project, tmp_path, "isic-png")


@pytest.mark.parametrize("name", ["isic-png", "coco", "csv", "dicom-seg"])
def test_a_place_that_may_not_be_written_to_is_one_sentence(project, tmp_path, name):
    (tmp_path / "out").write_text("where a folder should be")
    with pytest.raises(OutputError, match="choose a place") as caught:
        run(project, tmp_path, name)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_a_called_off_export_leaves_the_former_one(project, tmp_path, name):
    run(project, tmp_path, name)
    target = where(tmp_path, name)
    kept = target.read_bytes() if target.is_file() else files_below(target)

    def step(done, total):
        assert total == 3
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        export(project, Request(name, target, overwrite=True), step=step)
    assert kept == (target.read_bytes() if target.is_file() else files_below(target))
    assert list((tmp_path / "out").iterdir()) == [target]


@pytest.mark.parametrize("name", ["isic-png", "coco"])
def test_a_killed_export_is_whole_or_absent(project, tmp_path, name):
    """The process is killed at once, after one image, and after the last one."""
    for image in range(4):
        target = tmp_path / f"killed {image}" / name
        program = (
            "import os, signal\n"
            "from pathlib import Path\n"
            "from napari_glmedsa.export import Request, export\n"
            "from napari_glmedsa.project import AnnotationProject\n"
            "def step(done, total):\n"
            f"    if done == {image}: os.kill(os.getpid(), signal.SIGKILL)\n"
            f"project = AnnotationProject.open(Path({str(project.root)!r}))\n"
            f"export(project, Request({name!r}, Path({str(target)!r})), step=step)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], check=False)
        assert done.returncode == -signal.SIGKILL
        assert not target.exists()
        assert export(project, Request(name, target)).n_images == 3


def test_what_is_moved_last_names_all_files(project, tmp_path):
    """So that a folder is known to be ours, and whole."""
    folder = run(project, tmp_path, "overlay").output
    document = json.loads((folder / "export.json").read_text())
    assert document["format"] == "overlay"
    assert sorted([*document["files"], "export.json"]) == files_below(folder)


def test_a_folder_that_somebody_fills_meanwhile_is_left_alone(tmp_path):
    target = tmp_path / "out"

    def fill_it_twice():
        with whole_folder(target, format_name="isic-png", overwrite=True) as partial:
            (partial / "a.png").write_text("ours")
            target.mkdir()
            (target / "theirs.png").write_text("theirs")

    with pytest.raises(OutputError, match="holds other files"):
        fill_it_twice()
    assert files_below(tmp_path) == ["out/theirs.png"]


@pytest.mark.parametrize(
    ("name", "package"), [("coco", "pycocotools"), ("dicom-seg", "highdicom")]
)
def test_a_missing_package_is_named_before_the_work(
    project, tmp_path, name, package, monkeypatch
):
    monkeypatch.setattr("napari_glmedsa.extras.find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=rf"{package}; install it with"):
        run(project, tmp_path, name)
    assert not where(tmp_path, name).exists()


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((4, 4), 70000, dtype=np.uint32), "label 70000"),
        (np.full((4, 4), -1, dtype=np.int16), "label -1"),
        (np.zeros((4, 4), dtype=np.float32), "no label map"),
        (np.zeros((4, 4, 3), dtype=np.uint8), "no label map"),
    ],
)
def test_what_is_no_label_map_is_told(tmp_path, pixels, words):
    with pytest.raises(ImageFormatError, match=words):
        label_maps.checked(pixels, named="a.tif")


def test_black_and_white_is_one_object(tmp_path):
    white = np.array([[0, 255]], dtype=np.uint8)
    assert label_maps.checked(white, named="a.png").tolist() == [[0, 1]]
    labels = np.array([[0, 7, 255]], dtype=np.uint8)
    assert label_maps.checked(labels, named="a.png").tolist() == [[0, 7, 255]]


def test_a_photograph_in_the_project_is_the_one_exported(project, tmp_path):
    """The secondary capture is read by everything that reads photographs."""
    folder = run(project, tmp_path, "dicom-seg").output
    record = next(one for one in project.images() if one.source == "two.png")
    assert np.array_equal(read_image(folder / "two.dcm"), project.image(record.id))
    assert replace(record, source="two.dcm").size == (48, 64)


def test_packages_of_the_extra_are_only_imported_when_they_are_used():
    """So that everything else works, and starts fast, without them."""
    program = (
        "import sys\n"
        "import napari_glmedsa.cli.app, napari_glmedsa.export.incoming\n"
        "import napari_glmedsa.project.arrivals, napari_glmedsa.worklist\n"
        "wanted = {'pydicom', 'highdicom', 'pycocotools', 'tifffile', 'torch'}\n"
        "print(*sorted(wanted & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"
