"""A tidied mask is what the eye expects."""

import numpy as np
import pytest

from napari_glmedsa.cleanup import fill_holes, largest_piece, smooth_outline


def disc(size=(90, 120), center=(45, 60), radius=30):
    y, x = np.mgrid[: size[0], : size[1]]
    return (y - center[0]) ** 2 + (x - center[1]) ** 2 <= radius**2


@pytest.mark.parametrize("tidy", [fill_holes, largest_piece, smooth_outline])
def test_nothing_stays_nothing_and_the_mask_given_stays_as_it_was(tidy):
    assert not tidy(np.zeros((5, 6), bool)).any()
    mask = disc()
    mask[45, 60] = mask[0, 0] = False
    before = mask.copy()
    result = tidy(mask)
    assert result.shape == mask.shape
    assert result.dtype == bool
    assert np.array_equal(mask, before)


@pytest.mark.parametrize("tidy", [fill_holes, largest_piece])
def test_a_tidy_mask_stays_as_it_is(tidy):
    for mask in (disc(), np.ones((5, 6), bool), disc(center=(0, 0))):
        assert np.array_equal(tidy(mask), mask)


def test_holes_are_filled_and_bays_are_not():
    mask = disc()
    mask[40:50, 50:60] = False
    assert np.array_equal(fill_holes(mask), disc())
    bay = disc(center=(0, 60))
    bay[:10, 55:65] = False  # open to the image's edge
    assert np.array_equal(fill_holes(bay), bay)


def test_the_largest_piece_is_kept_with_its_holes():
    mask = disc()
    mask[45, 60] = False
    crumbs = mask.copy()
    crumbs[:5, :5] = crumbs[80:, 110:] = True
    assert np.array_equal(largest_piece(crumbs), mask)
    corners = np.eye(9, dtype=bool)
    assert np.array_equal(largest_piece(corners), corners)
    two = np.zeros((5, 9), bool)
    two[1:3, 1:3] = two[1:3, 6:8] = True
    assert largest_piece(two)[:, :4].sum() == largest_piece(two).sum() == 4


def test_a_smooth_outline_has_no_spikes_and_encloses_as_much():
    mask = disc()
    rough = mask.copy()
    rough[44:46, 90:112] = True  # a hair
    rough[45:47, 31:50] = False  # a scratch
    smooth = smooth_outline(rough, radius=3)
    assert not smooth[:, 94:].any()
    assert smooth[46, 40]
    assert abs(int(smooth.sum()) - int(mask.sum())) < 0.02 * mask.sum()
    wrong = smooth ^ mask
    assert wrong.sum() < 0.05 * mask.sum()
    assert (smooth_outline(mask) ^ mask).sum() < 0.02 * mask.sum()


def test_smoothing_follows_the_size_of_the_lesion():
    rough = disc()
    rough[44:46, 90:99] = True
    large = rough.repeat(4, axis=0).repeat(4, axis=1)
    share = smooth_outline(rough).mean()
    assert abs(smooth_outline(large).mean() - share) < 0.01 * share


def test_smoothing_spares_the_edge_of_the_image_and_tiny_masks():
    half = np.zeros((60, 80), bool)
    half[:, :40] = True
    assert np.array_equal(smooth_outline(half), half)
    tiny = np.zeros((60, 80), bool)
    tiny[30, 40] = True
    assert np.array_equal(smooth_outline(tiny), tiny)
