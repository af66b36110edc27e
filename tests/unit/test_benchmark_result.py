"""Rows of a table as they are read back, and what is made of them; nothing is run."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from napari_glmedsa.benchmark.begun import BegunTraining
from napari_glmedsa.benchmark.report import facts, known_commands, write_report
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


def test_a_network_row_that_does_not_tell_its_input_size_is_not_taken(tmp_path):
    place = write(tmp_path, Row("unetr", "paper", 0, 0))
    with pytest.raises(TrainingError, match="remove the folder"):
        RowResult.read(place)


def test_a_network_that_was_begun_at_another_size_is_not_gone_on_with(
    tmp_path, monkeypatch
):
    row = Row("unetr", "paper", 0, 0)
    BegunTraining(tmp_path, {"learnt": list(row.learnt)}).write({"epoch": 1})
    monkeypatch.setattr("napari_glmedsa.benchmark.result.INPUT_SIZE", 128)
    with pytest.raises(TrainingError, match="other settings"):
        BegunTraining(tmp_path, {"learnt": list(row.learnt)}).read()


def test_a_table_of_an_earlier_version_keeps_its_command(tmp_path):
    (tmp_path / "table.json").write_text('{"command": "glmedsa x"}')
    assert known_commands(tmp_path) == ["glmedsa x"]


def test_a_fact_that_some_rows_do_not_tell_says_so():
    silent, telling = (result(Row("med_sa", "paper", 1, seed)) for seed in (0, 1))
    telling = replace(telling, machine={"threads": 1, "training precision": "fp32"})
    found = facts([silent, telling])
    assert found["training precision"] == "fp32 (1 of 2 rows do not tell)"
    assert found["threads"] == "1"


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
