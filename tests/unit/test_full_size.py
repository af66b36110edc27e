"""A mask at the image's size is, pixel by pixel, the one of SAM's own two steps."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_glmedsa.inference import full_size
from napari_glmedsa.inference.full_size import full_size_mask


def stock_mask(logits, image_size, input_size, size):
    """Do what ``Sam.postprocess_masks`` does."""
    frame = functional.interpolate(
        logits[None, None], (image_size,) * 2, mode="bilinear", align_corners=False
    )
    frame = frame[..., : input_size[0], : input_size[1]]
    full = functional.interpolate(frame, size, mode="bilinear", align_corners=False)
    return (full[0, 0] > 0).numpy()


def input_size_of(size, image_size):
    scale = image_size / max(size)
    return tuple(max(1, int(side * scale + 0.5)) for side in size)


def check(logits, image_size, size):
    logits = torch.as_tensor(logits, dtype=torch.float32)
    input_size = input_size_of(size, image_size)
    mask, box = full_size_mask(
        logits, image_size=image_size, input_size=input_size, original_size=size
    )
    assert mask.shape == size
    assert mask.dtype == bool
    assert np.array_equal(mask, stock_mask(logits, image_size, input_size, size))
    outside = mask.copy()
    outside[box] = False
    assert not outside.any()
    return mask, box


def noise(side, rng):
    return rng.normal(size=(side, side))


def signs(side, rng):
    """Neighbours cancel out exactly: all is a matter of rounding."""
    return np.sign(rng.normal(size=(side, side)))


def chessboard(side, rng):
    return (-1.0) ** np.add.outer(np.arange(side), np.arange(side))


def steps(side, rng):
    return rng.integers(-2, 3, (side, side))


def tiny_numbers(side, rng):
    return 1e-9 * rng.normal(size=(side, side))


def lesion(side, rng):
    row, column = np.mgrid[:side, :side] / side
    radius = 0.25 + 0.03 * np.sin(rng.uniform(5, 30) * row) * np.sin(20 * column)
    return 40 * (radius - np.hypot(row - 0.35, column - 0.4))


KINDS = [noise, signs, chessboard, steps, tiny_numbers, lesion]
SIZES = [
    (200, 301),
    (301, 200),
    (97, 1001),
    (64, 65),
    (1, 400),
    (400, 1),
    (3, 777),
    (777, 2),
    (128, 128),
    (31, 98),
    (512, 384),
]


@pytest.fixture
def everything_is_large(monkeypatch):
    monkeypatch.setattr(full_size, "_SMALL", 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("image_size", [64, 128])
def test_masks_are_equal_at_all_sizes(everything_is_large, kind, size, image_size):
    rng = np.random.default_rng([*size, image_size])
    check(kind(image_size // 4, rng), image_size, size)


@pytest.mark.parametrize("size", [(200, 301), (1, 400), (400, 1), (700, 350)])
def test_where_nothing_or_everything_is_lesion_the_mask_says_so(
    everything_is_large, size
):
    some = np.abs(noise(16, np.random.default_rng(0))) + 1e-6
    mask, _ = check(some, 64, size)
    assert mask.all()
    for nothing in (-some, np.zeros((16, 16))):
        mask, box = check(nothing, 64, size)
        assert not mask.any()
        assert box == (slice(0, 0), slice(0, 0))


@pytest.mark.parametrize("place", [(0, 0), (0, 15), (9, 0), (5, 7), (2, 15)])
def test_a_single_positive_logit_is_found_wherever_it_is(everything_is_large, place):
    logits = np.full((16, 16), -1.0)
    logits[place] = 5
    for size in ((200, 301), (333, 202), (90, 64)):
        mask, box = check(logits, 64, size)
        if mask.any():  # else the logit is in the padding
            assert mask[box].mean() > 0.1  # the box is no larger than it need be


@pytest.mark.parametrize("kind", [noise, lesion, signs])
def test_a_real_photograph_gets_the_mask_of_sam(kind):
    """Without any switch: 4 megapixels, which is beyond the small ones."""
    rng = np.random.default_rng(3)
    check(kind(64, rng), 256, (1603, 2501))


def test_small_images_and_very_thin_ones_are_equal_too():
    rng = np.random.default_rng(4)
    for size in ((1, 1), (48, 70), (1, 5000), (600, 800)):
        check(lesion(16, rng), 64, size)
