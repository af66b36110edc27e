"""Images are read once, lose no lesion, and are drawn the same way always."""

import numpy as np
import pytest
from training import lesions

from napari_glmedsa.errors import TrainingError
from napari_glmedsa.evaluation import Case
from napari_glmedsa.inference.preprocess import resize_to_input
from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.training.augmentation import augment
from napari_glmedsa.training.dataset import SegmentationDataset


def two_objects() -> tuple[np.ndarray, np.ndarray]:
    """A landscape image whose objects are red (7) and blue (9)."""
    image, labels = np.zeros((60, 90, 3), np.uint8), np.zeros((60, 90), np.uint16)
    labels[10:30, 10:40], labels[40:55, 60:80] = 7, 9
    image[labels == 7], image[labels == 9] = (255, 0, 0), (0, 0, 255)
    return image, labels


def test_without_augmentation_a_sample_is_what_inference_sees():
    lesion = draw_lesion(seed=3, size=(90, 120))
    data = SegmentationDataset.from_cases([Case("x", lesion.image, lesion.mask)])
    sample = data.sample("x", size=64, seed=0, epoch=5)
    expected, size = resize_to_input(lesion.image, 64)
    assert sample.image.shape[:2] == sample.mask.shape == size == (48, 64)
    assert np.array_equal(sample.image, expected)
    assert abs(sample.mask.mean() - lesion.mask.mean()) < 0.01


@pytest.mark.parametrize("augmentation", ["none", "standard"])
def test_a_model_that_wants_squares_gets_squares(augmentation):
    data = SegmentationDataset(["a"], lambda name: two_objects())
    options = {"size": 48, "seed": 0, "epoch": 1, "augmentation": augmentation}
    sample = data.sample("a", how="square", **options)
    assert sample.image.shape == (48, 48, 3)
    assert sample.mask.shape == (48, 48)
    assert 0 < sample.mask.mean() < 0.4
    assert data.sample("a", **options).image.shape != (48, 48, 3)


def test_each_image_is_read_once_unless_the_cache_is_full():
    reads = []

    def read(name):
        reads.append(name)
        return two_objects()

    data = SegmentationDataset(["a", "b"], read)
    for epoch in range(3):
        for name in data.ids:
            data.sample(name, size=32, seed=0, epoch=epoch, augmentation="standard")
    assert reads == ["a", "b"]
    reads.clear()
    one = 22 * 32 * (3 + 2)  # bytes of an image and its labels at that size
    data = SegmentationDataset(["a", "b"], read, cache_bytes=one)
    for _ in range(3):
        for name in data.ids:
            data.sample(name, size=32, seed=0, epoch=0)
    assert reads == ["a", "b", "b", "b"]


def test_over_the_epochs_every_object_has_its_turn():
    data = SegmentationDataset(["a"], lambda name: two_objects())
    samples = [data.sample("a", size=90, seed=0, epoch=e) for e in range(12)]
    seen = {tuple(s.image[s.mask].mean(0).round() > 128) for s in samples}
    assert seen == {(True, False, False), (False, False, True)}
    again = [data.sample("a", size=90, seed=0, epoch=e) for e in range(12)]
    pairs = zip(samples, again, strict=True)
    assert all(np.array_equal(s.mask, a.mask) for s, a in pairs)


def test_validation_looks_at_the_same_object_every_time():
    data = SegmentationDataset(["a"], lambda name: two_objects())
    first, again = (data.case("a", size=45, seed=0) for _ in range(2))
    assert np.array_equal(first.mask, again.mask)
    assert first.image.shape == (30, 45, 3)


def test_an_object_thinner_than_a_pixel_is_not_lost():
    mask = np.zeros((400, 400), bool)
    mask[200, 100] = True
    image = np.zeros((400, 400, 3), np.uint8)
    data = SegmentationDataset.from_cases([Case("hair", image, mask)])
    sample = data.sample("hair", size=32, seed=0, epoch=0)
    assert np.argwhere(sample.mask).tolist() == [[16, 8]]


@pytest.mark.parametrize("seed", range(12))
def test_augmentation_moves_image_and_mask_together(seed):
    image, labels = two_objects()
    mask = labels == 7
    changed, truth = augment(image, mask, np.random.default_rng(seed), size=64)
    assert max(changed.shape[:2]) <= 64
    assert changed.shape[:2] == truth.shape
    assert changed.dtype == np.uint8
    assert truth.dtype == bool
    inside = changed[truth].astype(int)
    assert (inside[:, 0] > inside[:, 2] + 60).mean() > 0.85  # red, never blue


def test_augmentation_turns_flips_frames_and_lights_in_many_ways():
    lesion = draw_lesion(seed=0, size=(64, 64))
    drawn = [
        augment(lesion.image, lesion.mask, np.random.default_rng(seed), size=64)
        for seed in range(10)
    ]
    assert len({image.shape for image, _ in drawn}) > 4
    assert len({round(float(image.mean())) for image, _ in drawn}) > 6
    shares = [float(mask.mean()) for _, mask in drawn]
    assert max(shares) > 1.5 * min(shares)


def test_a_small_lesion_in_the_corner_is_never_framed_away():
    mask = np.zeros((64, 64), bool)
    mask[:4, :4] = True
    image = np.zeros((64, 64, 3), np.uint8)
    for seed in range(40):
        _, truth = augment(image, mask, np.random.default_rng(seed), size=64)
        assert truth.any()


def test_images_without_a_lesion_are_left_out():
    image = np.zeros((20, 20, 3), np.uint8)
    empty, full = np.zeros((20, 20), bool), np.ones((20, 20), bool)
    cases = [Case("empty", image, empty), Case("full", image, full)]
    data = SegmentationDataset.from_cases(cases)
    assert data.ids == ["full"]
    assert len(SegmentationDataset.from_cases(cases[:1])) == 0


def gone(name):
    raise FileNotFoundError(2, "No such file", f"/somewhere/{name}.png")


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (gone, "Image a cannot be read any more .*No such file"),
        (
            lambda name: (np.zeros((9, 12, 3), np.uint8), np.ones((12, 9), np.uint8)),
            "Image a is 12 x 9 pixels and its mask 9 x 12",
        ),
        (
            lambda name: (np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8)),
            "Image a has no object in its mask",
        ),
    ],
)
def test_an_image_that_went_bad_is_named_in_one_sentence(read, message):
    data = SegmentationDataset(["a"], read)
    with pytest.raises(TrainingError, match=message) as caught:
        data.sample("a", size=16, seed=0, epoch=0)
    assert "\n" not in str(caught.value)


def test_the_same_id_twice_is_refused():
    with pytest.raises(ValueError, match="same id"):
        SegmentationDataset(["a", "a"], lambda name: two_objects())


def test_a_split_of_a_project_is_a_dataset(tmp_path):
    project = AnnotationProject.create(tmp_path / "project", name="moles")
    for seed in range(2):
        lesion = draw_lesion(seed=seed, size=(48, 64))
        name = project.add_image(
            lesion.image, source=f"{seed}.png", split=("train", "val")[seed]
        )
        project.save_annotation(name, lesion.mask, [Provenance()])
    project.assign_splits()
    data = SegmentationDataset.from_project(project, "train")
    assert data.ids == project.annotated("train")
    sample = data.sample(data.ids[0], size=64, seed=0, epoch=0)
    assert np.array_equal(sample.image, draw_lesion(seed=0, size=(48, 64)).image)


def test_the_digest_names_the_images_and_not_their_order():
    data = lesions(range(3))
    digest = data.digest
    data.ids.reverse()
    assert data.digest == digest
    assert lesions(range(4)).digest != digest
