"""Hashes of pixels that are remembered are those of the pixels that are there now."""

import numpy as np
import pytest

from napari_glmedsa.inference import pixel_hashes, to_rgb_uint8
from napari_glmedsa.inference.pixel_hashes import PixelHashes, sha256_pixels


@pytest.fixture(params=[1 << 20, 700], ids=["in one part", "in parts"], autouse=True)
def parts(request, monkeypatch) -> None:
    monkeypatch.setattr(pixel_hashes, "_PART", request.param)


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """Count the images that are hashed in full."""
    calls: list[int] = []

    def hash_and_count(image):
        calls.append(1)
        return sha256_pixels(image)

    monkeypatch.setattr(pixel_hashes, "sha256_pixels", hash_and_count)
    return calls


def photograph(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_an_open_photograph_is_hashed_once_however_often_it_is_looked_at(counted):
    hashes, images = PixelHashes(), [photograph(0), photograph(1)]
    for image in images * 3:
        assert hashes.sha256(to_rgb_uint8(image)) == sha256_pixels(image)
    assert len(counted) == 2


def test_every_change_of_pixels_where_they_are_is_noticed(counted):
    hashes, image = PixelHashes(), photograph()
    before = hashes.sha256(image)
    for place in np.ndindex(image.shape):
        old = image[place]
        image[place] = old ^ 1
        assert hashes.sha256(image) == sha256_pixels(image) != before
        image[place] = old
    assert hashes.sha256(image) == before


def test_no_two_images_of_different_pixels_or_shapes_have_one_hash():
    image = photograph()
    others = [
        image.reshape(30, 20, 3),
        image[:-1],
        np.roll(image.reshape(-1), 700).reshape(image.shape),  # parts in another order
        image.view(np.int8),
    ]
    assert len({sha256_pixels(other) for other in [image, *others]}) == 5
    assert sha256_pixels(image) == sha256_pixels(image.copy())
    assert sha256_pixels(image[::-1][::-1]) == sha256_pixels(image)


def test_two_pixels_that_change_places_are_noticed():
    hashes, image = PixelHashes(), photograph()
    hashes.sha256(image)
    image[[3, 7]] = image[[7, 3]]
    assert hashes.sha256(image) == sha256_pixels(image)


@pytest.mark.parametrize(
    "look",
    [
        lambda image: image[:10],
        lambda image: image[10:],
        lambda image: image.reshape(30, 20, 3),
        lambda image: image[::-1],
        lambda image: image[:, 5:],
    ],
)
def test_other_views_of_the_same_memory_have_hashes_of_their_own(look):
    hashes, image = PixelHashes(), np.full((20, 30, 3), 7, np.uint8)
    hashes.sha256(image)
    assert hashes.sha256(look(image)) == sha256_pixels(look(image))
    assert hashes.sha256(image) == sha256_pixels(image)


def test_nothing_is_kept_of_images_that_are_gone():
    hashes = PixelHashes()
    for seed in range(50):
        hashes.sha256(photograph(seed))
    assert len(hashes._known) <= 2
