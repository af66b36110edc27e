"""What belongs to no project, and where somebody was, is kept for the next start."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_glmedsa.errors import OutputError, ProjectError
from napari_glmedsa.project import AnnotationProject, image_id
from napari_glmedsa.project.shelf import LastPhotograph, Shelf


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "account" / "unfinished")


@pytest.fixture
def last(lesion):
    return LastPhotograph(image_id(lesion.image), "mole.png")


def test_the_photograph_that_was_open_last_is_known_after_a_restart(shelf, last):
    assert shelf.last() is None
    for one in (
        last,
        replace(last, file=Path("/photos/mole.png"), reader="napari"),
        replace(last, project=Path("/projects/clinic")),
    ):
        shelf.remember(one)
        assert Shelf(shelf.root).last() == one


def test_work_goes_where_its_photograph_belongs(shelf, last, tmp_path):
    assert shelf.work_on(last) is shelf
    project = AnnotationProject.create(tmp_path / "clinic")
    found = shelf.work_on(replace(last, project=project.root))
    assert found.journal(last.image).path == project.journal(last.image).path


def test_a_photograph_is_found_in_its_file_its_project_or_on_the_shelf(
    shelf, last, lesion, tmp_path
):
    file = tmp_path / "mole.png"
    Image.fromarray(lesion.image).save(file)
    project = AnnotationProject.create(tmp_path / "clinic")
    project.add_image(lesion.image, source="mole.png")
    shelf.remember(last, lesion.image)
    for one in (
        last,
        replace(last, file=file),
        replace(last, project=project.root),
        replace(last, file=tmp_path / "gone.png"),
    ):
        assert np.array_equal(shelf.pixels(one), lesion.image)


def test_another_picture_in_the_file_is_not_taken_for_the_photograph(
    shelf, last, lesion, tmp_path
):
    file = tmp_path / "mole.png"
    Image.fromarray(lesion.image[::-1]).save(file)
    shelf.remember(replace(last, file=file))
    with pytest.raises(ProjectError, match=r"mole\.png is not where it was"):
        shelf.pixels(replace(last, file=file))


def test_a_copy_is_kept_of_the_last_photograph_only(shelf, last, lesion):
    shelf.remember(last, lesion.image)
    shelf.remember(replace(last, file=Path("/photos/mole.png")))
    with pytest.raises(ProjectError):
        shelf.pixels(last)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"image": "../x"}', '{"image": 1, "name": 2}', "\0"]
)
def test_a_damaged_note_is_none(shelf, last, text):
    shelf.remember(last)
    (shelf.root / "last.json").write_text(text)
    assert shelf.last() is None


def test_a_shelf_that_cannot_be_written_is_one_sentence(shelf, last):
    shelf.root.parent.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="the next start will not find"):
        shelf.remember(last)
