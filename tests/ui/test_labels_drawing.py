"""An object drawn into a label map changes the pixels that it must, and no others."""

import numpy as np
import pytest

from napari_glmedsa.ui import labels
from napari_glmedsa.ui.boxes import NOWHERE
from napari_glmedsa.ui.labels import draw_object

SIZE = (23, 31)


@pytest.fixture(params=[1 << 17, 100], ids=["in one band", "in bands"], autouse=True)
def bands(request, monkeypatch) -> None:
    monkeypatch.setattr(labels, "_BAND", request.param)


@pytest.mark.parametrize("keep_others", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_the_object_is_what_the_mask_says_and_the_box_is_where_it_changed(
    keep_others, seed
):
    rng = np.random.default_rng(seed)
    label_map = rng.integers(0, 4, SIZE).astype(np.uint16)
    label_map[:6], label_map[:, 20:] = 0, 3
    mask = rng.random(SIZE) < 0.4
    mask[:4] = mask[:, 26:] = False
    before, part = label_map.copy(), label_map[2:, 1:]
    drawn, box = draw_object(part, 2, mask[2:, 1:], keep_others=keep_others)
    expected = before.copy()
    expected[before == 2] = 0
    free = (before == 0) | (before == 2) if keep_others else np.ones(SIZE, bool)
    expected[2:, 1:][(mask & free)[2:, 1:]] = 2
    expected[:2], expected[:, :1] = before[:2], before[:, :1]  # not in the part
    assert np.array_equal(label_map, expected)
    assert np.array_equal(drawn, part == 2)
    rows, columns = np.nonzero(label_map[2:, 1:] != before[2:, 1:])
    assert box == (
        slice(rows.min(), rows.max() + 1),
        slice(columns.min(), columns.max() + 1),
    )


def test_what_is_there_already_changes_nothing():
    label_map = np.zeros(SIZE, np.uint16)
    mask = np.random.default_rng(0).random(SIZE) < 0.5
    for expected in (False, True):
        drawn, box = draw_object(label_map, 300, mask, keep_others=True)
        assert (box == NOWHERE) is expected
        assert np.array_equal(drawn, mask)
        assert np.array_equal(label_map, np.where(mask, 300, 0))
    drawn[:] = False  # it is the caller's own
    assert mask.any()
