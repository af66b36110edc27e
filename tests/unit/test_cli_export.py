"""`glmedsa export` writes what it says, whole, and never over anything unasked."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from command import glmedsa, is_one_sentence
from dicoms import PATIENT, write_dicom
from pydicom import dcmread

from napari_glmedsa.export import FORMAT_NAMES, FORMATS
from napari_glmedsa.images import read_mask
from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.samples import draw_lesion


@pytest.fixture
def project(tmp_path):
    project = AnnotationProject.create(tmp_path / "moles")
    for seed in range(2):
        sample = draw_lesion(seed, (48, 64))
        image = project.add_image(sample.image, source=f"mole{seed}.jpg")
        project.save_annotation(image, sample.mask, [Provenance(annotator="Ada")])
    return project


@pytest.fixture
def run(capsys, project):
    def export(name, output, *options):
        return glmedsa(
            capsys,
            *("export", project.root, "--format", name, "--output", output),
            *options,
        )

    return export


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_every_format_is_written_and_said(run, tmp_path, name):
    output = tmp_path / f"out{FORMATS[name].suffix}"
    said = run(name, output)
    assert said.code == 0
    assert said.out == f"Exported 2 images as {FORMATS[name].title} -> {output}\n"
    assert output.exists()
    again = run(name, output)
    assert again.code == 2
    assert is_one_sentence(again.err.replace("Exporting", "").lstrip(" \n━0/2:-╺"))
    assert "already" in again.err
    assert run(name, output, "--overwrite").code == 0


def test_masks_keep_their_pixels(run, tmp_path):
    run("isic-png", tmp_path / "out")
    for seed in range(2):
        mask = read_mask(tmp_path / "out" / f"mole{seed}_segmentation.png")
        assert np.array_equal(mask, draw_lesion(seed, (48, 64)).mask)


def test_options_reach_their_format_and_no_other(run, tmp_path, project):
    assert run("coco", tmp_path / "a.json", "--outline", "polygons").code == 0
    coco = json.loads((tmp_path / "a.json").read_text())
    assert isinstance(coco["annotations"][0]["segmentation"], list)
    sources = tmp_path / "dicom"
    sources.mkdir()
    for record in project.images():
        write_dicom(sources / f"{record.id}.dcm", project.image(record.id))
    said = run("dicom-seg", tmp_path / "seg", "--sources", sources)
    assert said.code == 0
    assert "secondary capture" not in said.err
    found = dcmread(tmp_path / "seg" / "mole0_segmentation.dcm")
    assert found.PatientName == PATIENT
    assert run("isic-png", tmp_path / "one", "--pieces", "largest").code == 0
    for option, value in (("pieces", "all"), ("outline", "rle"), ("sources", sources)):
        said = run("csv", tmp_path / "a.csv", f"--{option}", value)
        assert said.code == 2
        assert f"--{option} belongs to --format" in said.err
    assert not (tmp_path / "a.csv").exists()


def test_photographs_without_dicom_are_remarked_on(run, tmp_path):
    said = run("dicom-seg", tmp_path / "seg")
    assert said.code == 0
    assert "secondary captures of them are in the folder" in said.err


def test_one_split_alone(run, tmp_path, project):
    splits = list(project.splits().values())
    run("csv", tmp_path / "a.csv", "--split", splits[0])
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == splits.count(splits[0])


def test_mistakes_are_one_sentence(capsys, run, tmp_path):
    nowhere = glmedsa(
        capsys,
        *("export", tmp_path / "none", "--format", "coco", "--output", "a.json"),
    )
    assert nowhere.code == 2
    assert is_one_sentence(nowhere.err)
    assert run("jpeg", tmp_path / "out").code == 2
    (tmp_path / "file").write_text("in the way")
    assert run("isic-png", tmp_path / "file" / "out").code == 2
    assert not (tmp_path / "out").exists()


def test_a_killed_command_leaves_nothing_that_looks_like_an_export(project, tmp_path):
    """Killed as soon as something appears beside the output; then it goes through."""
    place = tmp_path / "out" / "masks"
    command = [sys.executable, "-m", "napari_glmedsa", "export", str(project.root)]
    command += ["--format", "isic-png", "--output", str(place)]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while child.poll() is None and not list(tmp_path.glob("out/.*")):
        pass
    child.kill()
    child.wait()
    assert not place.exists() or (place / "export.json").exists()
    if not place.exists():
        subprocess.run(command, check=True, capture_output=True)
    assert len(list(place.glob("*.png"))) == 2
