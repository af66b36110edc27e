"""What can be mended in a project is mended on request alone, and nothing is lost."""

import json

import numpy as np
import pytest
from command import glmedsa
from PIL import Image

from napari_glmedsa.calibration import calibration_file
from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.project.repairs import repair
from napari_glmedsa.samples import draw_lesion

CLICKED = Provenance(
    point_coords=((3.0, 4.0),), point_labels=(1,), annotator="Ada", model="m"
)


@pytest.fixture
def project(tmp_path):
    project = AnnotationProject.create(tmp_path / "moles")
    for seed in range(3):
        lesion = draw_lesion(seed, (48, 64))
        image = project.add_image(lesion.image, source=f"{seed}.png", group="patient")
        project.save_annotation(image, lesion.mask, [CLICKED])
    project.assign_splits()
    return project


@pytest.fixture
def image_id(project):
    return project.images()[0].id


def aside(project):
    return sorted(path.read_bytes() for path in (project.root / "aside").iterdir())


def test_a_mask_edited_in_another_program_is_taken_as_edited_by_hand(project, image_id):
    file = project.root / "masks" / f"{image_id}.png"
    edited = np.zeros((48, 64), dtype=np.uint8)
    edited[5:20, 5:20], edited[30:40, 30:40] = 1, 2
    Image.fromarray(edited).save(file)
    before = sorted([file.read_bytes(), *prompts_of(project, image_id)])
    assert not project.is_annotated(image_id)
    (sentence,) = repair(project.root)
    assert image_id in sentence
    assert np.array_equal(project.label_map(image_id), edited)
    first, second = project.objects(image_id)
    assert (first.annotator, first.hand_edited) == ("Ada", True)
    assert (second.origin, second.hand_edited) == ("import", True)
    assert aside(project) == before
    assert project.check() == []


def prompts_of(project, image_id):
    return [(project.root / "prompts" / f"{image_id}.json").read_bytes()]


def test_a_mask_without_its_prompts_is_kept(project, image_id):
    mask = project.label_map(image_id)
    (project.root / "prompts" / f"{image_id}.json").write_text("{")
    assert len(repair(project.root)) == 1
    assert np.array_equal(project.label_map(image_id), mask)
    assert project.check() == []


@pytest.mark.parametrize("size", [[1, 2], [0, -3]])
def test_a_record_of_another_size_is_corrected_and_keeps_the_rest(
    project, image_id, size
):
    file = project.root / "images" / f"{image_id}.json"
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "size": size}))
    assert len(repair(project.root)) == 1
    assert json.loads(file.read_text()) == document
    assert project.check() == []


def test_a_damaged_record_is_made_anew_from_the_pixels(project, image_id):
    (project.root / "images" / f"{image_id}.json").write_text("[]")
    (sentence,) = repair(project.root)
    assert "is not known any more" in sentence
    assert image_id in project.annotated()
    assert project.check() == []


def test_damaged_splits_and_scales_are_put_aside(project, image_id):
    (project.root / "splits.json").write_text("nonsense")
    calibration_file(project.root, image_id).write_text("worse")
    assert len(repair(project.root)) == 2
    assert aside(project) == [b"nonsense", b"worse"]
    assert len(project.splits()) == 3
    assert project.check() == []


def test_what_needs_the_original_stays_as_it_is(project, image_id):
    (project.root / "images" / f"{image_id}.png").write_bytes(b"no picture")
    (project.root / "masks" / f"{project.images()[0].id}.png").write_bytes(b"nor this")
    assert repair(project.root) == []
    assert len(project.check()) >= 2
    assert not (project.root / "aside").exists()


def test_the_check_mends_only_when_asked(project, image_id, capsys):
    (project.root / "splits.json").write_text("nonsense")
    said = glmedsa(capsys, "project", "check", project.root)
    assert (said.code, "splits.json is damaged" in said.out) == (1, True)
    assert (project.root / "splits.json").read_text() == "nonsense"
    said = glmedsa(capsys, "project", "check", project.root, "--repair")
    assert said.code == 0
    assert said.out.startswith("Mended: splits.json was damaged")
    assert "All is well" in said.out
    assert glmedsa(capsys, "project", "check", project.root, "--repair").code == 0
