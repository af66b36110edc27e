"""`glmedsa measure` over files, folders and a project."""

import csv

import numpy as np
import pytest
from command import glmedsa, is_one_sentence
from dicoms import write_dicom
from PIL import Image

from napari_glmedsa.calibration import Calibration, keep_calibration
from napari_glmedsa.images import write_image, write_mask
from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.samples import draw_lesion

SIZE = (48, 64)


@pytest.fixture
def folders(tmp_path):
    """Two photographs, their masks, and the two samples."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    samples = [draw_lesion(seed, SIZE) for seed in (0, 1)]
    for name, sample in zip("ab", samples, strict=True):
        write_image(images / f"{name}.png", sample.image)
        write_mask(masks / f"{name}_segmentation.png", sample.mask)
    return images, masks, samples


@pytest.fixture
def table(tmp_path):
    """A file to write, and what is in it."""

    class Table:
        path = tmp_path / "x.csv"

        def rows(self):
            with self.path.open(encoding="utf-8", newline="") as stream:
                return list(csv.DictReader(stream))

    return Table()


def test_folders_give_a_row_per_lesion(capsys, folders, table):
    images, masks, samples = folders
    outcome = glmedsa(capsys, "measure", images, masks, "--output", table.path)
    assert outcome.code == 0
    assert "2 lesions" in outcome.out
    assert "in pixels" in outcome.err
    rows = table.rows()
    assert [row["image"] for row in rows] == ["a.png", "b.png"]
    assert [int(row["area_px2"]) for row in rows] == [s.mask.sum() for s in samples]
    assert {row["area_mm2"] for row in rows} == {""}


def test_a_scale_gives_millimetres(capsys, folders, table):
    images, masks, samples = folders
    outcome = glmedsa(
        *(capsys, "measure", images / "a.png", masks / "a_segmentation.png"),
        *("--output", table.path, "--mm-per-pixel", 0.1),
    )
    assert (outcome.code, outcome.err) == (0, "")
    (row,) = table.rows()
    assert float(row["area_mm2"]) == pytest.approx(samples[0].mask.sum() / 100)


@pytest.mark.parametrize(
    ("spacing", "mm", "says"),
    [([0.05, 0.05], "0.05", ""), (None, "0.1", ""), ([0.05, 0.06], "0.1", "square")],
)
def test_a_dicom_photograph_brings_its_scale(
    capsys, folders, table, tmp_path, spacing, mm, says
):
    _, masks, samples = folders
    path = write_dicom(tmp_path / "a.dcm", samples[0].image, PixelSpacing=spacing)
    outcome = glmedsa(
        *(capsys, "measure", path, masks / "a_segmentation.png"),
        *("--output", table.path, "--mm-per-pixel", 0.1),
    )
    assert outcome.code == 0
    assert says in outcome.err
    assert [row["mm_per_pixel"] for row in table.rows()] == [mm]


def test_a_label_map_gives_a_row_per_label_also_beyond_255(capsys, folders, table):
    images, masks, _ = folders
    labels = np.zeros(SIZE, dtype=np.uint16)
    labels[5:15, 5:15], labels[20:30, 30:50] = 3, 300
    Image.fromarray(labels).save(masks / "a_labels.png")
    outcome = glmedsa(
        *(capsys, "measure", images / "a.png", masks / "a_labels.png"),
        *("--label-map", "--output", table.path),
    )
    assert outcome.code == 0
    assert [(row["label"], row["area_px2"]) for row in table.rows()] == [
        ("3", "100"),
        ("300", "200"),
    ]


def test_two_pieces_of_a_black_and_white_mask_are_one_lesion(capsys, folders, table):
    images, masks, _ = folders
    mask = np.zeros(SIZE, dtype=bool)
    mask[5:15, 5:15] = mask[20:30, 30:40] = True
    write_mask(masks / "two.png", mask)
    glmedsa(
        capsys, "measure", images / "a.png", masks / "two.png", "--output", table.path
    )
    (row,) = table.rows()
    assert (row["pieces"], row["area_px2"]) == ("2", "200")


def test_a_colour_picture_is_no_label_map(capsys, folders, table):
    images, _, _ = folders
    outcome = glmedsa(
        *(capsys, "measure", images / "a.png", images / "b.png"),
        *("--label-map", "--output", table.path),
    )
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
    assert "no label map" in outcome.err


@pytest.fixture
def project(tmp_path, folders):
    _, _, samples = folders
    project = AnnotationProject.create(tmp_path / "moles")
    ids = []
    for name, sample in zip("ab", samples, strict=True):
        ids.append(project.add_image(sample.image, source=f"{name}.png"))
        project.save_annotation(ids[-1], sample.mask, [Provenance()])
    return project, ids


def test_a_project_gives_mm_where_an_image_has_a_scale(capsys, project, table):
    opened, ids = project
    ruler = Calibration.from_ruler((0, 0), (40, 0), length_mm=10)
    keep_calibration(opened.root, ids[0], ruler)
    outcome = glmedsa(capsys, "measure", opened.root, "--output", table.path)
    assert outcome.code == 0
    rows = {row["image_id"]: row for row in table.rows()}
    assert rows[ids[0]]["image"] == "a.png"
    assert float(rows[ids[0]]["mm_per_pixel"]) == 0.25
    assert rows[ids[1]]["mm_per_pixel"] == ""
    glmedsa(
        *(capsys, "measure", opened.root, "--output", table.path),
        *("--mm-per-pixel", 0.5, "--overwrite"),
    )
    rows = {row["image_id"]: row["mm_per_pixel"] for row in table.rows()}
    assert rows == {ids[0]: "0.25", ids[1]: "0.5"}


def test_the_files_of_a_project_are_never_replaced_by_a_table(capsys, project):
    root = project[0].root
    before = (root / "project.json").read_bytes()
    for name in ("project.json", "table.csv"):
        outcome = glmedsa(
            *(capsys, "measure", root, "--output", root / name, "--overwrite")
        )
        assert outcome.code == 2
        assert is_one_sentence(outcome.err)
    assert (root / "project.json").read_bytes() == before
    assert not (root / "table.csv").exists()


def test_a_project_without_masks_is_one_sentence(capsys, tmp_path, table):
    project = AnnotationProject.create(tmp_path / "empty")
    outcome = glmedsa(capsys, "measure", project.root, "--output", table.path)
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)


def test_an_empty_and_a_wrong_mask_leave_the_others_measured(capsys, folders, table):
    images, masks, samples = folders
    for name in "cd":
        write_image(images / f"{name}.png", samples[0].image)
    write_mask(masks / "c.png", np.zeros(SIZE, dtype=bool))
    write_mask(masks / "d.png", np.ones((10, 20), dtype=bool))
    outcome = glmedsa(capsys, "measure", images, masks, "--output", table.path)
    assert outcome.code == 1
    assert "is empty" in outcome.err
    assert "20 x 10" in outcome.err
    assert "2 of 4 images failed: c.png, d.png." in outcome.err
    assert [row["image"] for row in table.rows()] == ["a.png", "b.png"]


def test_a_table_is_never_replaced_unasked(capsys, folders, table):
    images, masks, _ = folders
    table.path.write_text("mine")
    outcome = glmedsa(capsys, "measure", images, masks, "--output", table.path)
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
    assert table.path.read_text() == "mine"


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "1000"])
def test_a_scale_that_makes_no_sense_is_refused(capsys, folders, table, scale):
    images, masks, _ = folders
    outcome = glmedsa(
        capsys,
        *("measure", images, masks, "--output", table.path, "--mm-per-pixel", scale),
    )
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
    assert not table.path.exists()
