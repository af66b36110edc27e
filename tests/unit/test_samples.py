"""The drawn photographs: repeatable, lesion-like, with an exact mask."""

import numpy as np
import pytest
from skimage.measure import euler_number, label

from napari_glmedsa.samples import draw_lesion, sample_lesion, sample_lesion_dark

SEEDS = range(6)


@pytest.mark.parametrize("pigment", ["brown", "dark"])
@pytest.mark.parametrize("size", [(480, 640), (64, 48), (16, 16)])
def test_the_picture_is_rgb_bytes_with_a_mask_of_its_size(size, pigment):
    sample = draw_lesion(seed=1, size=size, pigment=pigment)
    assert sample.image.shape == (*size, 3)
    assert sample.image.dtype == np.uint8
    assert sample.mask.shape == size
    assert sample.mask.dtype == np.bool_


def test_equal_seeds_draw_equal_pictures_and_other_seeds_do_not():
    first, again, other = (draw_lesion(seed, (96, 128)) for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.image, other.image)
    assert not np.array_equal(first.mask, other.mask)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mask_is_one_region_without_holes_that_leaves_skin_around(seed):
    mask = draw_lesion(seed, (240, 320)).mask
    assert label(mask, connectivity=1).max() == 1
    assert euler_number(mask, connectivity=1) == 1
    assert 0.05 < mask.mean() < 0.35
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert not border.any()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_lesion_is_browner_and_darker_than_the_skin_around_it(seed):
    sample = draw_lesion(seed, (240, 320))
    lesion = sample.image[sample.mask].mean(axis=0)
    skin = sample.image[~sample.mask].mean(axis=0)
    assert np.all(lesion < skin)
    assert lesion[0] > lesion[1] > lesion[2]
    assert lesion[2] / skin[2] < lesion[0] / skin[0]


def test_the_mask_is_where_the_picture_is_dark():
    sample = draw_lesion(2, (240, 320))
    brightness = sample.image.mean(axis=-1)
    lesion = brightness[sample.mask].mean()
    skin = np.median(brightness[~sample.mask])
    # The lens darkens the corners too, so only its middle counts.
    rows, columns = np.indices(sample.mask.shape)
    middle = np.hypot(rows - 120, columns - 160) < 140
    dark = middle & (brightness < (lesion + skin) / 2)
    overlap = 2 * (dark & sample.mask).sum() / (dark.sum() + sample.mask.sum())
    assert overlap > 0.9


def test_a_dark_lesion_is_darker_than_a_brown_one():
    brown, dark = draw_lesion(5, (240, 320)), draw_lesion(5, (240, 320), pigment="dark")
    assert np.array_equal(brown.mask, dark.mask)
    assert dark.image[dark.mask].mean() < 0.8 * brown.image[brown.mask].mean()


def test_a_picture_too_small_for_a_lesion_is_refused():
    with pytest.raises(ValueError, match="at least 16 pixels"):
        draw_lesion(size=(15, 640))


@pytest.mark.parametrize("sample", [sample_lesion, sample_lesion_dark])
def test_napari_gets_one_named_rgb_image_layer(sample):
    ((data, options, kind),) = sample()
    assert kind == "image"
    assert data.shape == (480, 640, 3)
    assert options["rgb"]
    assert options["name"].startswith("Sample lesion")


def test_the_two_napari_samples_differ():
    assert not np.array_equal(sample_lesion()[0][0], sample_lesion_dark()[0][0])
