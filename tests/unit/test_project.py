import json

import numpy as np
import pytest

from napari_glmedsa.errors import ProjectError
from napari_glmedsa.project import AnnotationProject, Provenance


@pytest.fixture
def project(tmp_path):
    return AnnotationProject.create(tmp_path / "moles", name="Moles")


def picture(seed, size=(48, 70)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_an_accepted_mask_is_read_back_with_where_it_came_from(project, lesion):
    image = project.add_image(lesion.image, source="/home/patient/mole.jpg")
    clicks = Provenance(
        point_coords=((64.0, 48.5),), point_labels=(1,), model="a+b", annotator="me"
    )
    project.save_annotation(image, lesion.mask, [clicks])
    again = AnnotationProject.open(project.root)
    assert again.name == "Moles"
    assert np.array_equal(again.image(image), lesion.image)
    assert np.array_equal(again.mask(image), lesion.mask)
    assert again.labels(image) == (1,)
    (stored,) = again.objects(image)
    assert stored.point_coords == clicks.point_coords
    assert stored.created.endswith("+00:00")
    assert again.annotated() == [image]
    assert again.splits() == {image: "train"}
    assert again.assign_splits() == {image: "train"}
    (record,) = again.images()
    assert record.source == "mole.jpg"
    assert record.size == lesion.mask.shape


def test_three_images_make_three_splits_that_stay(project):
    for seed in range(3):
        image = project.add_image(picture(seed), source=f"{seed}.png")
        project.save_annotation(image, np.eye(48, 70, dtype=bool), [Provenance()])
    first = project.assign_splits()
    assert sorted(first.values()) == ["test", "train", "val"]
    for seed in range(3, 20):
        image = project.add_image(picture(seed), source=f"{seed}.png")
        project.save_annotation(image, np.eye(48, 70, dtype=bool), [Provenance()])
    assert first.items() <= project.assign_splits(seed=5).items()
    assert json.loads((project.root / "splits.json").read_text())["seed"] == 5


def test_an_empty_mask_is_refused(project):
    image = project.add_image(picture(0), source="0.png")
    with pytest.raises(ProjectError, match="is empty"):
        project.save_annotation(image, np.zeros((48, 70), bool), [])
    assert project.annotated() == []
