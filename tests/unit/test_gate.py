"""The gate compares two models on the same images and clicks, and judges."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_glmedsa import evaluation
from napari_glmedsa.cli.run_display import show_gate
from napari_glmedsa.errors import TrainingError
from napari_glmedsa.evaluation import Case, dice
from napari_glmedsa.training.gate import GateResult, compare, paired_bootstrap


class Painter:
    """Answers every click on an image with the lesion, but for some of its rows."""

    def __init__(self, lost_rows):
        self.lost_rows = lost_rows
        self.sam = SimpleNamespace(postprocess_masks=lambda logits, *_: logits)
        self.asked = []

    def encode(self, image):
        self.truth = image[..., 0] > 0
        self.lost = next(self.lost_rows)
        return SimpleNamespace(input_size=image.shape[:2])

    def predict(self, _, prompts):
        self.asked.append(prompts.point_coords.tolist())
        mask = self.truth.copy()
        mask[: self.lost] = False
        logits = torch.from_numpy(mask).float()[None, None] - 0.5
        return SimpleNamespace(mask=mask, low_res_logits=logits)


def cases(n):
    """A square of 16 rows on each image, which starts at the top."""
    for index in range(n):
        image = np.zeros((32, 32, 3), np.uint8)
        image[:16, index : index + 8] = 255
        yield Case(f"image{index}", image, image[..., 0] > 0)


def judge(before, after, **options):
    n = len(before)
    painters = Painter(iter(before)), Painter(iter(after))
    result = compare(*painters, cases(n), **options)
    assert painters[0].asked[0] == painters[1].asked[0]
    return result


def test_a_model_that_loses_less_is_better_and_activated():
    result = judge([8, 7, 8, 9, 8, 8], [1, 2, 1, 1, 2, 1])
    assert (result.verdict, result.activate, result.n) == ("better", True, 6)
    assert result.interval[0] > 0
    assert result.interval[0] <= result.difference <= result.interval[1]
    assert result.sentence.startswith("The new model is better: on 6 held-out images")
    assert f"{result.difference:+.3f}" in result.sentence


def test_a_model_that_loses_more_is_worse_and_not_activated():
    result = judge([1, 2, 1, 1, 2, 1], [8, 7, 8, 9, 8, 8])
    assert (result.verdict, result.activate) == ("worse", False)
    assert result.interval[1] < 0
    assert result.sentence.startswith("The new model is worse")


def test_a_model_that_may_lose_more_than_the_margin_is_not_activated():
    result = judge([2] * 6, [0, 0, 0, 0, 0, 12])
    assert (result.verdict, result.activate) == ("worse", False)
    assert result.interval[1] > 0
    assert result.sentence.startswith("The new model may be worse")
    assert judge([2] * 6, [0, 0, 0, 0, 0, 12], margin=1.0).verdict == "not_worse"


def test_an_equal_model_is_not_worse():
    result = judge([2] * 5, [2] * 5)
    assert (result.verdict, result.activate) == ("not_worse", True)
    assert result.interval == (0, 0)
    assert "0.01 counts as equal" in result.sentence


def test_few_images_never_activate_however_good_the_model_is():
    result = judge([15] * 4, [0] * 4)
    assert (result.verdict, result.activate) == ("too_few", False)
    assert result.sentence.startswith("Too few images to judge: on 4 held-out images")


def test_without_a_test_part_the_sentence_says_what_was_used_instead():
    result = judge([2] * 5, [2] * 5, split="val")
    assert "validation images" in result.sentence


def test_the_means_are_those_of_the_rows():
    result = judge([8, 4, 0, 0, 2], [0, 1, 2, 3, 4], n_clicks=3)
    assert result.clicks == (1, 3)
    for name in ("dice", "iou", "threshold_jaccard"):
        for side in ("before", "after"):
            rows = [getattr(image, side)[name] for image in result.images]
            assert np.allclose(np.mean(rows, axis=0), getattr(result, side)[name])
    truth = next(cases(1)).mask
    answer = truth.copy()
    answer[:8] = False
    assert result.images[0].before["dice"][0] == pytest.approx(dice(answer, truth))
    gains = [row.after["dice"][0] - row.before["dice"][0] for row in result.images]
    assert result.difference == pytest.approx(np.mean(gains))


def test_objects_of_one_image_are_one_row():
    image = next(cases(1)).image
    both = [Case(f"a#{label}", image, image[..., 0] > 0) for label in (1, 2)]
    result = compare(Painter(iter([8, 0])), Painter(iter([0, 0])), both)
    assert (result.n, [row.id for row in result.images]) == (1, ["a"])
    assert result.images[0].before["iou"][0] == pytest.approx(0.75)


def test_pooled_figures_are_over_the_pixels_of_all_objects_of_all_images():
    image, other = (case.image for case in list(cases(2)))
    other[:16] = 255  # 512 pixels beside 128
    three = [
        Case(name, drawn, drawn[..., 0] > 0)
        for name, drawn in (("a#1", image), ("a#2", image), ("b", other))
    ]
    result = compare(Painter(iter([8, 0, 4])), Painter(iter([0, 0, 0])), three)
    both, either = 64 + 128 + 384, 128 + 128 + 512
    assert result.before["pooled_iou"] == pytest.approx([both / either] * 2)
    assert result.before["pooled_dice"] == pytest.approx(
        [2 * both / (both + either)] * 2
    )
    assert result.before["iou"] == pytest.approx([0.75] * 2)  # of 0.75 and 0.75
    assert result.after["pooled_dice"] == result.after["pooled_iou"] == (1, 1)


def test_means_that_cannot_be_of_the_same_masks_stop_the_comparison(monkeypatch):
    monkeypatch.setattr(evaluation, "jensen_bound", lambda mean_dice: mean_dice)
    with pytest.raises(ArithmeticError, match="not of the same masks"):
        judge([2] * 5, [2] * 5)


def test_a_result_of_before_there_were_pooled_figures_is_read_and_shown(capsys):
    result = judge([2] * 5, [1] * 5)
    show_gate(result)
    assert "Pooled Dice" in capsys.readouterr().out
    document = result.to_json()
    for side in ("before", "after"):
        for name in ("pooled_dice", "pooled_iou"):
            del document[side][name]
    old = GateResult.from_json(document)
    assert old.before["dice"] == result.before["dice"]
    show_gate(old)
    printed = capsys.readouterr().out
    assert "Threshold Jaccard" in printed
    assert "Pooled" not in printed


def test_the_printed_table_gives_pooled_figures_below_the_means(capsys):
    result = judge([8, 4, 0, 0, 2], [0, 1, 2, 3, 4])
    show_gate(result)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for heading, name in (("Dice", "pooled_dice"), ("IoU", "pooled_iou")):
        old, new = result.before[name][0], result.after[name][0]
        row = ["Pooled", heading, "1", f"{old:.3f}", f"{new:.3f}", f"{new - old:+.3f}"]
        assert row in lines


def test_the_result_survives_its_file_and_a_second_time():
    result = judge([8, 4, 0, 0, 2], [0, 1, 2, 3, 4], before_model="a", after_model="b")
    assert GateResult.from_json(result.to_json()) == result
    again = judge([8, 4, 0, 0, 2], [0, 1, 2, 3, 4], before_model="a", after_model="b")
    assert again == result


def test_nothing_to_compare_on_is_one_sentence():
    with pytest.raises(TrainingError, match="no held-out image"):
        compare(Painter(iter([])), Painter(iter([])), [])


def test_the_comparison_can_be_called_off():
    def stop(done: int) -> None:
        if done == 2:
            raise KeyError(done)

    with pytest.raises(KeyError):
        judge([0] * 5, [0] * 5, on_case=stop)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        sample = rng.normal(0.3, 1.0, 40)
        low, high = paired_bootstrap(sample, seed=trial, n_resamples=400)
        hits += low <= 0.3 <= high
    assert 0.88 <= hits / 200 <= 0.99
