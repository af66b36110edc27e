"""Rows of a table as they are read back, and what is made of them; nothing is run."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_glmedsa.benchmark.report import write_report
from napari_glmedsa.benchmark.result import Row, RowResult, finished_rows
from napari_glmedsa.benchmark.summary import summarise_rows
from napari_glmedsa.errors import TrainingError

QUESTION = {"base": "sam_tiny", "train": ["a"], "tests": {"judge": ["b", "c"]}}


def score(both: int, either: int) -> dict[str, float]:
    jaccard = both / either if either else 1.0
    shares = {"dice": 2 * jaccard / (1 + jaccard), "iou": jaccard}
    return {**shares, "threshold_jaccard": jaccard, "both": both, "either": either}


def result(row: Row, *scores: dict[str, float]) -> RowResult:
    b, c = scores or (score(70, 100), score(90, 100))
    return RowResult(
        row,
        frozen=90,
        trainable=10,
        scores={"judge": {"b": b, "c": c}},
        training_seconds=1.0,
        milliseconds=2.0,
        peak_memory=3,
        config={"epochs": 35},
        question=QUESTION,
        machine={"threads": 1},
        curve=[{"epoch": 1, "loss": 0.5}],
    )


def write(folder: Path, row: Row) -> Path:
    place = folder / row.name
    place.mkdir(parents=True)
    result(row).write(place)
    return place


def test_a_whole_row_is_read_back_as_it_was_written(tmp_path):
    row = Row("med_sa", "paper", 1, 0)
    known = RowResult.read(write(tmp_path, row))
    assert known is not None
    assert known.row == row
    assert known.scores == result(row).scores


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document["scores"]["judge"]["b"].pop("dice"),
        lambda document: document["scores"]["judge"]["b"].update(dice="x"),
        lambda document: document["scores"]["judge"]["b"].update(iou=2),
        lambda document: document["scores"]["judge"]["b"].update(both=float("nan")),
        lambda document: document["scores"]["judge"].pop("b"),
        lambda document: document["scores"]["judge"].update(d=score(1, 1)),
        lambda document: document["scores"].clear(),
        lambda document: document["row"].update(method="magic"),
        lambda document: document["row"].update(recipe=["paper"]),
        lambda document: document["row"].update(seed="0"),
        lambda document: document["question"].pop("tests"),
        lambda document: document.update(milliseconds=None),
        lambda document: document.update(peak_memory="much"),
        lambda document: document.update(machine=["fast"]),
        lambda document: document.update(config={"epochs": []}),
        lambda document: document.update(curve=3),
    ],
)
def test_a_row_that_is_not_whole_is_damaged(tmp_path, damage: Callable[[dict], object]):
    place = write(tmp_path, Row("med_sa", "paper", 1, 0))
    path = place / "result.json"
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))
    with pytest.raises(TrainingError) as caught:
        RowResult.read(place)
    message = f"{path} is damaged; remove the folder {place} to run that row again."
    assert str(caught.value) == message


def test_empty_answers_to_photographs_without_a_lesion_are_perfect(tmp_path):
    empty = [score(0, 0)] * 2
    lines = summarise_rows([result(Row("otsu", "paper", 0, 0), *empty)])
    assert lines[0].pooled_dice == lines[0].pooled_iou == 1
    write_report(tmp_path, lines, commands=["glmedsa x"], facts={})
    assert "100.0 / 100.0" in (tmp_path / "table.md").read_text()
    assert "NaN" not in (tmp_path / "table.json").read_text()


def test_every_finished_row_of_a_folder_is_found(tmp_path):
    rows = [Row("sam", "tuned", 1, 0), Row("med_sa", "paper", 3, 1)]
    for row in rows:
        write(tmp_path, row)
    found = finished_rows("paper", None, QUESTION, tmp_path)
    # what learns nothing is the same in every recipe
    assert set(found) == {Row("sam", "paper", 1, 0), rows[1]}


def test_a_copy_of_a_row_is_not_a_second_row(tmp_path):
    place = write(tmp_path, Row("med_sa", "paper", 1, 0))
    place.rename(tmp_path / "copy")
    assert not finished_rows("paper", None, QUESTION, tmp_path)


def test_a_folder_with_rows_of_another_recipe_is_refused(tmp_path):
    write(tmp_path, Row("med_sa", "tuned", 1, 0))
    with pytest.raises(TrainingError, match=r"recipe tuned.* choose another --output"):
        finished_rows("paper", None, QUESTION, tmp_path)


def test_a_folder_with_rows_of_other_images_is_refused(tmp_path):
    write(tmp_path, Row("med_sa", "paper", 1, 0))
    with pytest.raises(TrainingError, match="other images"):
        finished_rows("paper", None, {**QUESTION, "train": ["z"]}, tmp_path)


def test_rows_have_one_order_whichever_command_made_them():
    rows = [Row("otsu", "paper", 0, 0), Row("sam", "paper", 1, 0)]
    rows += [Row("sam", "paper", 1, 1), Row("med_sa", "paper", 1, 0)]
    rows += [Row("sam", "paper", 3, 0)]
    mixed = [rows[index] for index in (3, 0, 4, 2, 1)]
    assert sorted(mixed, key=lambda row: row.place) == rows
