"""P16: every metric by hand, by definition, and against MONAI, which others use."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics.confusion_matrix import (
    compute_confusion_matrix_metric,
    get_confusion_matrix,
)
from monai.metrics.hausdorff_distance import compute_hausdorff_distance

from napari_glmedsa.metrics import (
    accuracy,
    dice,
    hd95,
    iou,
    sensitivity,
    specificity,
    threshold_jaccard,
)
from napari_glmedsa.samples import draw_lesion

MASKS = arrays(np.bool_, (9, 13))
EMPTY, FULL = np.zeros((3, 4), bool), np.ones((3, 4), bool)


def monai_name(metric):
    return {dice: "f1 score", iou: "threat score"}.get(metric, metric.__name__)


@settings(max_examples=60, deadline=None)
@given(MASKS, MASKS)
@pytest.mark.parametrize("metric", [dice, iou, accuracy, sensitivity, specificity])
def test_counts_of_pixels_agree_with_monai(metric, mask, target):
    one, other = (torch.as_tensor(array)[None, None] for array in (mask, target))
    matrix = get_confusion_matrix(one.int(), other.int())
    expected = float(compute_confusion_matrix_metric(monai_name(metric), matrix))
    if math.isfinite(expected):  # where nothing is to be counted, there is no figure
        assert metric(mask, target) == pytest.approx(expected)
    else:
        assert metric(mask, target) == 1


def test_counts_of_pixels_agree_with_counting_by_hand():
    mask = np.array([[1, 1, 0, 0, 0]], bool)
    target = np.array([[0, 1, 1, 1, 0]], bool)
    assert accuracy(mask, target) == pytest.approx(2 / 5)
    assert sensitivity(mask, target) == pytest.approx(1 / 3)
    assert specificity(mask, target) == pytest.approx(1 / 2)


def test_where_there_is_nothing_to_find_or_to_leave_out_all_is_right():
    assert sensitivity(FULL, EMPTY) == specificity(EMPTY, FULL) == 1
    assert specificity(FULL, EMPTY) == sensitivity(EMPTY, FULL) == 0
    assert accuracy(EMPTY, EMPTY) == 1


def distance_by_monai(mask, target):
    one, other = (torch.as_tensor(m)[None, None].float() for m in (mask, target))
    return float(
        compute_hausdorff_distance(one, other, include_background=True, percentile=95)
    )


@pytest.mark.filterwarnings("ignore::FutureWarning")  # MONAI's about itself
@settings(max_examples=60, deadline=None)
@given(MASKS.filter(np.any), MASKS.filter(np.any))
def test_the_distance_of_outlines_agrees_with_monai(mask, target):
    expected = distance_by_monai(mask, target)
    assert hd95(mask, target) == pytest.approx(expected, rel=1e-4)  # it has float32


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_distance_of_drawn_lesions_agrees_with_monai():
    one, other = (draw_lesion(seed, (96, 128)).mask for seed in (0, 1))
    expected = distance_by_monai(one, other)
    assert hd95(one, other) == pytest.approx(expected, rel=1e-4)
    assert hd95(one, np.roll(one, 3, axis=1)) <= 3


@settings(max_examples=40, deadline=None)
@given(MASKS.filter(np.any), st.integers(0, 5))
def test_the_distance_of_an_outline_to_itself_is_none(mask, shift):
    wide = np.pad(mask, ((0, 0), (0, 6)))
    assert hd95(wide, wide) == 0
    assert hd95(wide, np.roll(wide, shift, axis=1)) <= shift


def test_the_distance_to_an_empty_mask_is_the_diagonal():
    assert hd95(EMPTY, EMPTY) == 0
    assert hd95(FULL, EMPTY) == hd95(EMPTY, FULL) == 5


@pytest.mark.parametrize(
    "metric",
    [dice, iou, threshold_jaccard, accuracy, sensitivity, specificity, hd95],
)
def test_masks_of_two_sizes_are_not_compared(metric):
    with pytest.raises(ValueError, match="differ"):
        metric(np.zeros((2, 3), bool), np.zeros((3, 2), bool))
