"""Metrics by hand, clicks where the protocol says, scores that are reproducible.

P15: the click simulator is in (x, y), deterministic per image, and asks in the missed
lesion. P16: pooled metrics and the Jensen bound; single ones are in `test_metrics`.
"""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_glmedsa.evaluation import (
    Case,
    ImageScore,
    dice,
    evaluate_clicks,
    evaluate_seeds,
    iou,
    jensen_bound,
    replay_clicks,
    summarise,
    threshold_jaccard,
)
from napari_glmedsa.inference import Prompts
from napari_glmedsa.metrics import accuracy, hd95, sensitivity, specificity
from napari_glmedsa.simulation import ClickSimulator, inmost

FURTHER = (accuracy, sensitivity, specificity, hd95)
MASKS = arrays(np.bool_, (5, 7))


def test_metrics_agree_with_counting_by_hand():
    mask = np.array([[1, 1, 0, 0]], bool)
    target = np.array([[0, 1, 1, 1]], bool)
    assert dice(mask, target) == pytest.approx(2 / 5)
    assert iou(mask, target) == pytest.approx(1 / 4)
    empty = np.zeros((1, 4), bool)
    assert dice(empty, empty) == iou(empty, empty) == 1
    assert dice(mask, empty) == iou(mask, empty) == 0


def test_the_threshold_of_the_jaccard_index_is_inclusive():
    target = np.arange(100) < 100
    assert threshold_jaccard(np.arange(100) < 65, target) == pytest.approx(0.65)
    assert threshold_jaccard(np.arange(100) < 64, target) == 0
    assert threshold_jaccard(np.arange(100) < 50, target, 0.5) == pytest.approx(0.5)


@settings(deadline=None)
@given(MASKS, MASKS)
def test_dice_and_iou_are_symmetric_bounded_and_bound_to_each_other(mask, target):
    jaccard = iou(mask, target)
    assert 0 <= jaccard <= 1
    assert jaccard == iou(target, mask)
    assert dice(mask, target) == dice(target, mask)
    assert dice(mask, target) == pytest.approx(2 * jaccard / (1 + jaccard))


def test_masks_of_two_sizes_are_not_compared():
    with pytest.raises(ValueError, match="differ"):
        dice(np.zeros((2, 3), bool), np.zeros((3, 2), bool))


@settings(max_examples=60, deadline=None)
@given(MASKS, MASKS, st.integers(0, 99))
def test_clicks_fall_where_the_protocol_says(mask, predicted, seed):
    rng = np.random.default_rng(seed)
    for policy in ("positive", "corrective", "center"):
        simulator = ClickSimulator(policy)
        first = simulator.first(mask, rng)
        prompts = simulator.refine(first, mask, predicted, rng)
        (x, y), label = prompts.point_coords[0].astype(int), prompts.point_labels[0]
        assert mask[y, x] == label
        (x, y), label = prompts.point_coords[1].astype(int), prompts.point_labels[1]
        assert mask[y, x] == label
        missed = mask & ~predicted
        wrong = mask ^ predicted if policy == "corrective" else missed
        if wrong.any():
            assert wrong[y, x]
        elif mask.any():
            assert mask[y, x]


def test_clicks_are_x_then_y():
    mask = np.zeros((20, 50), bool)
    mask[3, 41] = True
    prompts = ClickSimulator().first(mask, np.random.default_rng(0))
    assert prompts.point_coords.tolist() == [[41, 3]]


def test_clicks_in_the_center_are_the_inmost_pixel_of_what_is_missed():
    mask = np.zeros((20, 50), bool)
    mask[3:8, 30:45] = True
    mask[12:19, 2:9] = True  # as wide, and higher
    simulator, rng = ClickSimulator("center"), np.random.default_rng(0)
    first = simulator.first(mask, rng)
    assert first.point_coords.tolist() == [[5, 15]]  # (x, y)
    predicted = np.zeros_like(mask)
    predicted[12:19, 2:9] = True
    second = simulator.refine(first, mask, predicted, rng)
    assert second.point_coords[1].tolist() == [32, 5]  # the first of equal ones
    assert second.point_labels.tolist() == [1, 1]
    third = simulator.refine(second, mask, mask, rng)  # nothing is missed
    assert third.point_coords[2].tolist() == [5, 15]
    assert rng.random() == np.random.default_rng(0).random()  # nothing was drawn


def test_the_center_of_a_lesion_cut_by_the_edge_is_not_on_the_edge():
    mask = np.ones((9, 9), bool)
    first = ClickSimulator("center").first(mask, np.random.default_rng(0))
    assert first.point_coords.tolist() == [[4, 4]]


@settings(max_examples=60, deadline=None)
@given(MASKS.filter(np.any))
def test_the_inmost_pixel_is_as_far_from_outside_as_any(mask):
    outside = np.argwhere(~np.pad(mask, 1)) - 1
    depths = {
        (x, y): np.hypot(*(outside - (y, x)).T).min() for y, x in np.argwhere(mask)
    }
    x, y = inmost(mask)
    assert depths[x, y] == pytest.approx(max(depths.values()))


def test_every_seed_clicks_the_same_center(predictor, cases):
    one, other = evaluate_seeds(
        predictor, cases[1], n_clicks=2, seeds=(0, 1), policy="center"
    )
    assert one == other
    (drawn,) = evaluate_seeds(predictor, cases[1], n_clicks=2)
    assert drawn != one


def test_every_score_of_an_image_is_that_of_its_masks(predictor, cases):
    case = cases[1]
    (score,) = evaluate_seeds(predictor, case, n_clicks=2, outlines=True)
    masks = [answer.mask for answer in replay_clicks(predictor, case, n_clicks=2)]
    for metric in (dice, iou, threshold_jaccard, *FURTHER):
        found = getattr(score, metric.__name__)
        assert found == pytest.approx([metric(mask, case.mask) for mask in masks])
    (plain,) = evaluate_clicks(predictor, [case], n_clicks=2)
    assert plain.hd95 == ()
    assert "hd95" not in summarise([plain, score])
    assert summarise([score])["hd95"] == list(score.hd95)
    assert summarise([plain])["specificity"] == list(plain.specificity)


@pytest.fixture
def cases(image, lesion):
    blob = np.zeros(image.shape[:2], bool)
    blob[10:30, 40:64] = True
    return [Case("a", image, blob), Case("b", lesion.image, lesion.mask)]


def test_scores_depend_on_the_image_and_the_seed_only(predictor, cases):
    both = list(evaluate_clicks(predictor, cases, n_clicks=3))
    assert list(evaluate_clicks(predictor, cases[::-1], n_clicks=3)) == both[::-1]
    assert list(evaluate_clicks(predictor, cases[1:], n_clicks=3)) == both[1:]
    assert [len(score.dice) for score in both] == [3, 3]
    fewer = list(evaluate_clicks(predictor, cases, n_clicks=1))
    assert [score.dice for score in fewer] == [score.dice[:1] for score in both]


def test_another_seed_clicks_elsewhere_and_clicks_stay_on_the_lesion(predictor, cases):
    seen: list[Prompts] = []
    answer = predictor.predict

    def record(embedding, prompts):
        seen.append(prompts)
        return answer(embedding, prompts)

    predictor.predict = record
    for seed in (0, 1):
        list(evaluate_clicks(predictor, cases[1:], n_clicks=3, seed=seed))
    first, other = seen[2].point_coords, seen[5].point_coords
    assert len(first) == len(other) == 3
    assert not np.array_equal(first, other)
    for x, y in [*first, *other]:
        row, column = round(float(y)), round(float(x))
        assert cases[1].mask[row - 1 : row + 2, column - 1 : column + 2].any()


def test_means_are_over_images_and_pooled_figures_over_pixels(predictor, cases):
    scores = list(evaluate_clicks(predictor, cases, n_clicks=2))
    mean = summarise(scores)
    assert mean["dice"][1] == pytest.approx((scores[0].dice[1] + scores[1].dice[1]) / 2)
    both = sum(score.pixels[1][0] for score in scores)
    either = sum(score.pixels[1][1] for score in scores)
    assert mean["pooled_iou"][1] == pytest.approx(both / either)
    assert mean["pooled_dice"][1] == pytest.approx(2 * both / (both + either))
    for score in scores:
        both, either = score.pixels[0]
        assert score.iou[0] == pytest.approx(both / either)


def test_the_mean_iou_is_never_below_the_bound_of_the_mean_dice():
    """P16: and a table that says otherwise is refused."""
    assert jensen_bound(0.929) == pytest.approx(
        0.867, abs=1e-3
    )  # the paper prints .845
    assert (jensen_bound(0), jensen_bound(1)) == (0, 1)
    rng = np.random.default_rng(0)
    jaccards = rng.random(50)
    images = [
        ImageScore(str(n), (2 * j / (1 + j),), (j,), (0.0,), ((0, 0),))
        for n, j in enumerate(jaccards)
    ]
    mean = summarise(images)
    assert mean["iou"][0] > jensen_bound(mean["dice"][0])
    impossible = ImageScore("table one", (0.929,), (0.845,), (0.0,), ((0, 0),))
    with pytest.raises(ArithmeticError, match="not of the same masks"):
        summarise([impossible])


def test_the_bound_is_kept_by_an_interpreter_that_drops_assertions():
    code = (
        "from napari_glmedsa.evaluation import ImageScore, summarise\n"
        "summarise([ImageScore('a', (0.929,), (0.845,), (0.0,), ((0, 0),))])"
    )
    done = subprocess.run(
        [sys.executable, "-O", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ArithmeticError: A mean IoU of 0.8450" in done.stderr


def test_means_that_are_no_numbers_are_refused():
    unknown = ImageScore("a", (math.nan,), (math.nan,), (0.0,), ((0, 0),))
    with pytest.raises(ArithmeticError, match="not of the same masks"):
        summarise([unknown])


def test_pooled_figures_of_empty_masks_are_perfect():
    empty = ImageScore("a", (1.0,), (1.0,), (1.0,), ((0, 0),))
    mean = summarise([empty])
    assert mean["pooled_dice"] == mean["pooled_iou"] == [1.0]


def test_a_mask_of_another_size_is_refused(predictor, image):
    wrong = Case("a", image, np.ones((3, 3), bool))
    with pytest.raises(ValueError, match="differ"):
        list(evaluate_clicks(predictor, [wrong]))


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (12, 3)])
def test_images_much_smaller_than_the_models_input_are_scored(predictor, size):
    """A click on the last pixel of the input is still on the image."""
    case = Case("tiny", np.zeros((*size, 3), np.uint8), np.ones(size, bool))
    for seed in range(30):
        (score,) = evaluate_clicks(predictor, [case], n_clicks=2, seed=seed)
        assert len(score.dice) == 2
