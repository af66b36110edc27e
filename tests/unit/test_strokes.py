"""What is drawn becomes prompts that stand for it."""

import numpy as np
import pytest
import torch

from napari_glmedsa.errors import PromptError
from napari_glmedsa.inference import ImageEmbedding, Prompts
from napari_glmedsa.inference.strokes import (
    MAX_POINTS,
    LowResFrame,
    deepest_point,
    from_mask,
    mask_logits,
    with_lasso,
    with_scribble,
)

SIZE = (80, 120)
FRAME = LowResFrame((16, 16), (16 * 2 / 3, 16.0))
BEFORE = Prompts(
    np.array([[3.0, 4.0]]),
    np.array([0]),
    box=np.array([0.0, 0.0, 9.0, 9.0]),
    mask_input=np.zeros((16, 16), np.float32),
)


def scribble(path, label=1, prompts=None):
    path = np.array(path, dtype=float)
    return with_scribble(prompts or Prompts.empty(), path, label, size=SIZE)


def test_a_scribble_is_clicked_in_the_middle_of_equal_parts():
    found = scribble([(10, 20), (10, 20), (34, 20), (34, 44)])  # 48 long, with a pause
    assert len(found.point_coords) == MAX_POINTS == 8
    gaps = np.abs(np.diff(found.point_coords, axis=0)).sum(axis=1)
    assert np.allclose(gaps, 6)
    assert np.allclose(found.point_coords[[0, -1]], [(13, 20), (34, 41)])
    assert found.point_labels.tolist() == [1] * 8


def test_a_dot_and_a_short_scribble_are_one_click():
    assert scribble([(10, 20)]).point_coords.tolist() == [[10, 20]]
    assert scribble([(10, 20), (14, 20)]).point_coords.tolist() == [[12, 20]]


def test_a_scribble_keeps_what_there_was_and_its_label():
    found = scribble([(50, 60), (52, 60)], label=0, prompts=BEFORE)
    assert found.point_coords.tolist() == [[3, 4], [51, 60]]
    assert found.point_labels.tolist() == [0, 0]
    assert found.box is not None
    assert found.mask_input is not None


def test_a_scribble_over_the_edge_is_clicked_inside():
    found = scribble([(-60, 40), (60, 40)])
    assert 0 < len(found.point_coords) < MAX_POINTS
    found.check_inside(SIZE)
    with pytest.raises(PromptError, match="outside the image; draw inside"):
        scribble([(-60, 40), (-10, 40)])


def test_a_lasso_becomes_box_click_and_mask():
    path = np.array([(30, 20), (60, 20), (60, 50), (30, 50)], dtype=float)
    found = with_lasso(BEFORE, path, size=SIZE, frame=FRAME)
    assert found.point_coords[0].tolist() == [3, 4]
    assert np.abs(found.point_coords[1] - (45, 35)).max() <= 1
    assert found.point_labels.tolist() == [0, 1]
    assert np.abs(found.box - (29.5, 19.5, 60.5, 50.5)).max() <= 1
    assert found.mask_input.shape == (16, 16)
    assert found.mask_input[4, 6] > 6
    assert found.mask_input[0, 0] < -6
    assert with_lasso(BEFORE, path, size=SIZE, frame=None).mask_input is None


def test_a_lasso_around_nothing_is_refused():
    for path in (
        [(5.5, 5.5)],
        [(-9, -9), (-5, -9), (-5, -5)],
        [(10.2, 10.2), (10.4, 10.3)],
    ):
        with pytest.raises(PromptError, match="surrounds nothing"):
            with_lasso(BEFORE, np.array(path, float), size=SIZE, frame=FRAME)


def test_a_finished_mask_is_boxed_to_the_edges_of_its_pixels():
    mask = np.zeros(SIZE, bool)
    mask[20:50, 30:60] = True
    found = from_mask(mask, frame=FRAME)
    assert found.box.tolist() == [29.5, 19.5, 59.5, 49.5]
    x, y = found.point_coords[0].astype(int)
    assert mask[y, x]
    found.check_inside(SIZE)
    with pytest.raises(PromptError, match="empty"):
        from_mask(np.zeros(SIZE, bool), frame=FRAME)


@pytest.mark.parametrize("factor", [1, 4, 13])
def test_a_mask_prompt_holds_the_share_of_lesion_in_each_cell(factor):
    """Images smaller and larger than the logits, and cells cut through."""
    size = (8 * factor, 12 * factor)
    mask = np.zeros(size, bool)
    mask[: 3 * factor, : 5 * factor] = True
    frame = LowResFrame((24, 24), (16.0, 24.0))  # two cells are one twelfth
    shares = 1 / (1 + np.exp(-mask_logits(mask, frame)))
    expected = np.zeros((24, 24))
    expected[:6, :10] = 1
    assert np.abs(shares - expected).max() < 0.002
    whole = 1 / (1 + np.exp(-mask_logits(np.ones(size, bool), FRAME)))
    assert np.abs(whole[:10] - 1).max() < 0.002
    assert np.abs(whole[10] - 2 / 3).max() < 0.002  # the image ends in this cell
    assert whole[11:].max() < 0.002


def test_a_mask_prompt_of_a_large_image_is_summed_in_parts():
    mask = np.random.default_rng(0).random((2048, 1536)) < 0.5
    frame = LowResFrame((16, 16), (16.0, 12.0))
    shares = 1 / (1 + np.exp(-mask_logits(mask, frame)))
    means = mask.reshape(16, 128, 12, 128).mean(axis=(1, 3))
    assert np.allclose(shares[:, :12], means, atol=1e-5)


def test_the_deepest_place_is_far_from_every_outline():
    mask = np.zeros((60, 60), bool)
    mask[5:15, 5:55] = True
    mask[5:55, 20:50] = True
    x, y = deepest_point(mask)
    assert 33 <= x <= 36
    assert 19 <= y <= 40
    ring = np.ones((30, 30), bool)
    ring[5:25, 5:25] = False
    x, y = deepest_point(ring).astype(int)
    assert ring[y, x]
    large = np.zeros((3000, 2000), bool)
    large[1000:3000, 900:1900] = True
    assert np.abs(deepest_point(large) - (1399, 1999)).max() < 510
    thin = np.zeros((3000, 2000), bool)
    thin[1:2999, 777] = True
    thin[1, 3:1999] = True
    x, y = deepest_point(thin).astype(int)
    assert thin[y, x]


def test_the_frame_follows_the_encoded_image():
    features = torch.zeros(1, 8, 4, 4)
    embedding = ImageEmbedding(features, (50, 100), (32, 64), "key")
    assert embedding.low_res_frame == LowResFrame((16, 16), (8.0, 16.0))
    square = ImageEmbedding(features, (50, 100), (64, 64), "key")
    assert square.low_res_frame == LowResFrame((16, 16), (16.0, 16.0))
