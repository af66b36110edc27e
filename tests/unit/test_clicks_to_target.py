"""The simulated annotator of ``benchmarks/clicks_to_target.py``."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_glmedsa.evaluation import Case, dice
from napari_glmedsa.images import write_image, write_mask
from napari_glmedsa.inference import Prompts
from napari_glmedsa.samples import draw_lesion

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import clicks_to_target

    return clicks_to_target


def square(*box: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((40, 60), dtype=bool)
    for top, left, bottom, right in box:
        mask[top:bottom, left:right] = True
    return mask


def clicks(*points: tuple[int, int]) -> Prompts:
    return Prompts(np.array(points, dtype=float).reshape(-1, 2), [1] * len(points))


def test_the_first_click_is_on_the_middle_of_the_lesion(program):
    mask = square((10, 20, 21, 31))
    point, label = program.next_click(mask, np.zeros_like(mask), clicks())
    assert (point.tolist(), label) == ([25, 15], 1)


def test_a_click_goes_to_the_largest_region_that_is_wrong(program):
    mask = square((0, 0, 20, 20))
    too_much = square((0, 0, 20, 20), (30, 40, 39, 49))
    point, label = program.next_click(mask, too_much, clicks())
    assert (point.tolist(), label) == ([44, 34], 0)
    too_little = mask & ~square((0, 0, 11, 11))
    point, label = program.next_click(mask, too_little | too_much & ~mask, clicks())
    assert (point.tolist(), label) == ([5, 5], 1)


def test_missed_lesion_and_marked_skin_that_touch_are_two_regions(program):
    mask, answer = square((0, 0, 20, 10)), square((0, 10, 20, 19))
    point, label = program.next_click(mask, answer, clicks())
    assert label == 1
    assert mask[int(point[1]), int(point[0])]


def test_nobody_clicks_twice_on_one_pixel_or_on_an_answer_that_is_right(program):
    mask = square((10, 20, 21, 31))
    first, _ = program.next_click(mask, np.zeros_like(mask), clicks())
    second, _ = program.next_click(mask, np.zeros_like(mask), clicks(first))
    assert second.tolist() != first.tolist()
    assert program.next_click(mask, mask, clicks()) is None


def test_every_answer_is_that_of_the_model_to_all_clicks_so_far(program, predictor):
    lesion = draw_lesion(seed=3, size=(48, 64))
    case = Case("a", lesion.image, lesion.mask)
    found = program.click_until_done(predictor, case, most=4)
    embedding, answer, prompts = (
        predictor.encode(case.image),
        np.zeros_like(case.mask),
        Prompts.empty(),
    )
    for score in found.dice:
        point, label = program.next_click(case.mask, answer, prompts)
        prompts = Prompts(
            np.vstack([prompts.point_coords, point]), [*prompts.point_labels, label]
        )
        answer = predictor.predict(embedding, prompts).mask
        assert score == dice(answer, case.mask)
    assert len(found.dice) == 4


def test_the_logits_of_the_answer_before_are_a_prompt_only_if_that_is_wanted(
    program, predictor
):
    lesion = draw_lesion(seed=3, size=(48, 64))
    case = Case("a", lesion.image, lesion.mask)
    plain = program.click_until_done(predictor, case, most=3)
    fed = program.click_until_done(predictor, case, most=3, mask_input="previous")
    assert plain.dice[0] == fed.dice[0]
    assert plain.dice[1:] != fed.dice[1:]


def test_who_fails_counts_as_all_clicks_and_is_counted(program):
    clicked = [
        program.Clicked("at once", (0.95, 0.80, 0.95)),
        program.Clicked("slowly", (0.10, 0.86, 0.87)),
        program.Clicked("never", (0.10, 0.20, 0.30)),
    ]
    result = program.conclude(clicked)
    easy, hard = result["targets"]["0.85"], result["targets"]["0.90"]
    assert (easy["clicks"], easy["median"]) == (2.0, 2.0)
    assert (easy["after_one"], easy["failed"]) == (1, 1)
    assert hard["clicks"] == pytest.approx((1 + 3 + 3) / 3)
    assert hard["failed"] == 2
    assert easy["interval"][0] <= easy["clicks"] <= easy["interval"][1]
    assert result["dice"] == pytest.approx([1.15 / 3, 1.86 / 3, 2.12 / 3])


def test_one_command_prints_both_tables_and_writes_every_figure(registry, tmp_path):
    lines = [["id", "image", "mask", "protocol"]]
    for seed in range(3):
        lesion = draw_lesion(seed, (48, 64))
        write_image(tmp_path / f"{seed}.png", lesion.image)
        write_mask(tmp_path / f"{seed}_mask.png", lesion.mask)
        lines.append([f"l{seed}", f"{seed}.png", f"{seed}_mask.png", "ph2_test"])
    with (tmp_path / "index.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(lines)
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [
            *(sys.executable, BENCHMARKS / "clicks_to_target.py"),
            *("--data", tmp_path, "--limit", "2", "--json", figures),
            *("--model", "sam_tiny", "--models", registry.root),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())
    assert [one["id"] for one in found["by_image"]] == ["l0", "l1"]
    assert all(len(one["dice"]) == 10 for one in found["by_image"])
    row = found["targets"]["0.90"]
    assert f"| 0.90 | {row['clicks']:.2f} (" in done.stdout
    assert f"| 10 | {found['dice'][9]:.3f} |" in done.stdout
