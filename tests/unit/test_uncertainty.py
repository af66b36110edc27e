"""How unsure a model is: stability, agreement of flipped views, its own guess."""

import numpy as np
import pytest

from napari_glmedsa.errors import Cancelled
from napari_glmedsa.inference import Predictor
from napari_glmedsa.worklist import Uncertainty, estimate_uncertainty
from napari_glmedsa.worklist.uncertainty import compare_views, stability_score


def test_stability_is_the_iou_of_a_stricter_and_a_laxer_mask():
    logits = np.array([[2.0, 0.5, -0.5, -2.0]])  # 1 above +1, 3 above -1
    assert stability_score(logits) == pytest.approx(1 / 3)
    assert stability_score(logits, offset=0) == 1
    assert stability_score(10 * logits) == 1  # nothing near the threshold


def test_an_answer_without_any_lesion_is_not_stable():
    assert stability_score(np.full((4, 4), -9.0)) == 0


def test_the_score_is_high_if_any_part_is_low():
    good = Uncertainty(1.0, 1.0, 1.0)
    assert good.score == 0
    for part in ("stability", "agreement", "predicted_iou"):
        values = {**good.to_json(), part: 0.25}
        assert Uncertainty.from_json(values).score == pytest.approx(0.75)


def test_parts_from_a_file_are_kept_between_0_and_1():
    wild = {"stability": 7, "agreement": -1, "predicted_iou": 0.5}
    assert Uncertainty.from_json(wild) == Uncertainty(1.0, 0.0, 0.5)


def test_a_photograph_is_seen_as_it_is_and_flipped_twice(
    predictor, lesion, monkeypatch
):
    seen, encode = [], Predictor.encode

    def watch(self, pixels, **options):
        seen.append(pixels.copy())
        return encode(self, pixels, **options)

    monkeypatch.setattr(Predictor, "encode", watch)
    found = estimate_uncertainty(predictor, lesion.image)
    assert 0 <= found.score <= 1
    plain, mirrored, upside_down = seen
    np.testing.assert_array_equal(plain, lesion.image)
    np.testing.assert_array_equal(mirrored[:, ::-1], lesion.image)
    np.testing.assert_array_equal(upside_down[::-1], lesion.image)

    seen.clear()
    known = encode(predictor, lesion.image)
    assert estimate_uncertainty(predictor, lesion.image, embedding=known) == found
    assert len(seen) == 2


def test_masks_of_flipped_views_are_flipped_back_before_they_are_compared(
    predictor, lesion
):
    """Flipping the photograph along both axes in turn leaves the comparison as it was.

    The views of a mirrored photograph are the mirrored views, so mask by mask the
    overlap with the plain answer changes its order and nothing else.
    """
    image = lesion.image
    views = [predictor.encode(np.ascontiguousarray(v)) for v in (image, image[:, ::-1])]
    there = compare_views(predictor, views).agreement
    back = compare_views(predictor, views[::-1]).agreement
    assert there == pytest.approx(back)
    assert there < 1  # this model is not symmetric, so there is something to see


def test_it_can_be_called_off_between_blocks(predictor, lesion):
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 3:
            raise Cancelled("uncertainty")

    with pytest.raises(Cancelled):
        estimate_uncertainty(predictor, lesion.image, check=check)
