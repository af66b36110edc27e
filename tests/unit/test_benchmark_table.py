import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from command import Outcome, glmedsa, is_one_sentence
from PIL import Image

from napari_glmedsa.benchmark.answers import ANSWERS, read_answers
from napari_glmedsa.benchmark.cases import choose_cases, write_cases
from napari_glmedsa.benchmark.index import DataIndex
from napari_glmedsa.benchmark.made import OnProgress
from napari_glmedsa.benchmark.methods import GROUPS, METHODS, NOT_RUN
from napari_glmedsa.benchmark.parts import Parts, choose_parts
from napari_glmedsa.benchmark.report import write_report
from napari_glmedsa.benchmark.result import Row, RowResult
from napari_glmedsa.benchmark.row import run_row
from napari_glmedsa.benchmark.summary import compare_lines, summarise_rows
from napari_glmedsa.benchmark.table import TablePlan, run_table
from napari_glmedsa.benchmark.tiles import Tile
from napari_glmedsa.errors import ProjectError, TrainingError
from napari_glmedsa.images import write_image, write_mask
from napari_glmedsa.metrics import iou
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.training.checkpoint import CHECKPOINT

OF_THE_MOMENT = ("training_seconds", "milliseconds", "peak_memory")
PROTOCOLS = [("learn", "0")] * 2 + [("learn", "1")] * 3 + [("judge", "")] * 3


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Eight drawn lesions: 2 judge epochs, 3 are learnt from, 3 are measured on."""
    folder = tmp_path / "data"
    folder.mkdir()
    lines = [["id", "image", "mask", "protocol", "fold"]]
    for seed, (protocol, fold) in enumerate(PROTOCOLS):
        lesion = draw_lesion(seed, (48, 64))
        write_image(folder / f"{seed}.png", lesion.image)
        write_mask(folder / f"{seed}_mask.png", lesion.mask)
        lines.append([f"l{seed}", f"{seed}.png", f"{seed}_mask.png", protocol, fold])
    with (folder / "index.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(lines)
    return folder


@pytest.fixture
def parts(data):
    return choose_parts(DataIndex.read(data), train=["learn"], tests=["judge"])


@pytest.fixture
def run(parts, registry, tmp_path):
    """Runs a row on the tiny base."""

    def run(row: Row, **options: object) -> RowResult:
        folder = tmp_path / "rows" / row.name
        return run_row(
            row, parts, base="sam_tiny", registry=registry, folder=folder, **options
        )

    return run


def plan(*methods: str, seeds: tuple[int, ...] = (0,), epochs: int = 1) -> TablePlan:
    return TablePlan(methods, (1,), seeds, "paper", "sam_tiny", epochs)


def kill_this_process(what: str, done: int, count: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def shows(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    """Whether some pixel of a JPEG is about of this colour."""
    return bool((np.abs(picture - colour).max(axis=-1) < 60).any())


def without_time(result: RowResult) -> tuple:
    return result.row, result.trainable, result.scores, result.config, result.curve


def test_the_parts_follow_protocol_and_fold(parts):
    assert [row.id for row in parts.val] == ["l0", "l1"]
    assert [row.id for row in parts.train] == ["l2", "l3", "l4"]
    assert [row.id for row in parts.tests["judge"]] == ["l5", "l6", "l7"]


def test_nothing_is_learnt_from_that_is_measured_on(data):
    index = DataIndex.read(data)
    with pytest.raises(ProjectError, match="measured on"):
        choose_parts(index, train=["learn", "judge"], tests=["judge"])


@pytest.mark.parametrize("how", ["one lesion", "one file"])
def test_another_picture_of_what_is_measured_on_is_not_learnt_from(data, how):
    """Nor one of a lesion that judges epochs."""
    rows = list(DataIndex.read(data).rows)  # learnt from are 2 to 4, judges 0 and 1
    for learnt, other in ((2, 5), (3, 0)):
        if how == "one lesion":
            rows[learnt] = replace(rows[learnt], group=f"g{other}")
            rows[other] = replace(rows[other], group=f"g{other}")
        else:
            rows[learnt] = replace(rows[learnt], image=rows[other].image)
    rows[1] = replace(rows[1], group="g6")
    rows[6] = replace(rows[6], group="g6")
    parts = choose_parts(DataIndex(tuple(rows)), train=["learn"], tests=["judge"])
    assert [row.id for row in parts.train] == ["l4"]
    assert [row.id for row in parts.val] == ["l0"]
    assert [row.id for row in parts.tests["judge"]] == ["l5", "l6", "l7"]


def test_a_protocol_without_images_is_named(data):
    with pytest.raises(ProjectError, match="'nothing'"):
        DataIndex.read(data).of(["nothing"])


def test_an_index_without_a_column_says_which(tmp_path):
    path = tmp_path / "index.csv"
    path.write_text("id,image\n")
    with pytest.raises(ProjectError, match="mask, protocol"):
        DataIndex.read(path)


def test_an_index_line_without_a_value_is_named(tmp_path):
    path = tmp_path / "index.csv"
    path.write_text("id,image,mask,protocol\na,a.png,a_mask.png,x\nb,b.png\n")
    with pytest.raises(ProjectError, match=r"Line 3 .* has no mask, protocol"):
        DataIndex.read(path)


def test_an_index_that_excel_saved_is_read(data):
    path = data / "index.csv"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(DataIndex.read(path).rows) == len(PROTOCOLS)


def test_a_missing_file_is_told_before_anything_is_trained(data):
    (data / "6_mask.png").unlink()
    index = DataIndex.read(data)
    with pytest.raises(ProjectError, match=r"1 of the 6 files .*6_mask\.png"):
        choose_parts(index, train=["learn"], tests=["judge"])


def test_a_mask_of_another_size_is_named(data):
    write_mask(data / "5_mask.png", np.ones((10, 10), bool))
    row = DataIndex.read(data).of(["judge"])[0]
    with pytest.raises(ProjectError, match=r"48 x 64 pixels .* 10 x 10"):
        row.case()


def test_zero_shot_trains_nothing_and_measures_every_image(run):
    result = run(Row("sam", "paper", 3, 0))
    assert result.trainable == 0
    assert set(result.scores["judge"]) == {"l5", "l6", "l7"}
    assert all(0 <= s["iou"] <= s["dice"] <= 1 for s in result.scores["judge"].values())


@pytest.mark.parametrize("method", ["med_sa", "gmed_sa", "gl_med_sa"])
def test_adapter_rows_train_the_adapters_of_their_sites_alone(run, method):
    result = run(Row(method, "paper", 1, 0, epochs=1))
    assert result.config["adapter"]["sites"] == list(METHODS[method].adapter["sites"])
    assert 0 < result.trainable < result.frozen


def test_a_fully_fine_tuned_row_trains_more_than_adapters(run):
    full = run(Row("sam_full", "paper", 1, 0, epochs=1))
    assert full.trainable > run(Row("gl_med_sa", "paper", 1, 0, epochs=1)).trainable


def test_the_same_row_gives_the_same_figures(run, parts, registry, tmp_path):
    row = Row("gl_med_sa", "paper", 1, 0, epochs=1)
    again = run_row(
        row, parts, base="sam_tiny", registry=registry, folder=tmp_path / "again"
    )
    assert without_time(run(row)) == without_time(again)


def test_a_row_keeps_the_masks_it_was_measured_by_and_the_clicks(run, parts, tmp_path):
    row = Row("sam", "paper", 3, 0)
    result = run(row)
    folder, names = tmp_path / "rows" / row.name, ["l5", "l6", "l7"]
    answers = read_answers(folder, "judge", names)
    for image in parts.tests["judge"]:
        mask, score = answers[image.id].mask, result.scores["judge"][image.id]
        assert iou(mask, image.case().mask) == score["iou"]
        assert answers[image.id].point_coords.shape == (3, 2)


def test_a_row_without_kept_masks_has_none_to_show(tmp_path):
    assert read_answers(tmp_path, "judge", ["l5"]) == {}


def test_damaged_masks_are_told_in_a_sentence(run, tmp_path):
    row = Row("sam", "paper", 1, 0)
    run(row)
    folder = tmp_path / "rows" / row.name
    kept = (folder / ANSWERS).read_bytes()
    (folder / ANSWERS).write_bytes(kept[: len(kept) // 2])
    with pytest.raises(TrainingError, match="damaged"):
        read_answers(folder, "judge", ["l5"])


def test_a_finished_row_is_read_back_and_not_run_again(run):
    row = Row("med_sa", "paper", 1, 0, epochs=1)
    first = run(row)
    told = []
    second = run(row, on_progress=lambda *what: told.append(what))
    assert without_time(first) == without_time(second)
    assert not told


def test_a_row_that_was_stopped_goes_on_and_ends_the_same(
    run, parts, registry, tmp_path
):
    row = Row("gl_med_sa", "paper", 1, 0, epochs=2)
    whole = run(row)
    folder = tmp_path / "stopped"

    def stop(what: str, done: int, count: int) -> None:
        if what == "training" and done == 3:
            raise KeyboardInterrupt

    arguments = {"base": "sam_tiny", "registry": registry, "folder": folder}
    with pytest.raises(KeyboardInterrupt):
        run_row(row, parts, on_progress=stop, **arguments)
    assert (folder / CHECKPOINT).exists()
    assert [point["epoch"] for point in whole.curve] == [0, 1, 2]
    steps = []
    resumed = run_row(
        row, parts, on_progress=lambda what, done, _: steps.append(done), **arguments
    )
    assert steps[0] == 4
    assert without_time(resumed) == without_time(whole)
    assert not (folder / CHECKPOINT).exists()


@pytest.fixture
def begun(request, parts, registry, tmp_path) -> Callable[..., RowResult]:
    """A row that was stopped after its first epoch; runs it with other arguments."""
    method = getattr(request, "param", "gl_med_sa")
    row = Row(method, "paper", int(method == "gl_med_sa"), 0, epochs=2)
    arguments = {"base": "sam_tiny", "registry": registry, "folder": tmp_path / "row"}
    steps = []

    def stop(what: str, done: int, count: int) -> None:
        steps.append((what, done))
        if done > count // 2:
            raise KeyboardInterrupt

    def run(parts: Parts = parts, *, epochs: int = 2, **changed: object) -> RowResult:
        return run_row(replace(row, epochs=epochs), parts, **{**arguments, **changed})

    with pytest.raises(KeyboardInterrupt):
        run(on_progress=stop)
    assert (tmp_path / "row" / CHECKPOINT).exists()
    return run


@pytest.mark.parametrize("begun", ["gl_med_sa", "unet_resnet34"], indirect=True)
def test_a_training_of_other_images_is_not_gone_on_with(begun, parts):
    """It may have learnt what it would be measured on now."""
    (first, *others), (judged, *rest) = parts.train, parts.tests["judge"]
    swapped = replace(parts, train=(judged, *others), tests={"judge": (first, *rest)})
    with pytest.raises(TrainingError, match=r"other images .* remove the folder"):
        begun(swapped)
    assert begun().scores


def test_a_training_with_another_number_of_epochs_is_not_gone_on_with(begun):
    """Its rate was that of another schedule."""
    with pytest.raises(TrainingError, match="other settings"):
        begun(epochs=1)


def test_a_training_of_another_base_is_not_gone_on_with(begun, registry):
    class Other:
        def load_base(self, name: str, **options: object) -> tuple[object, str]:
            return registry.load_base(name, **options)[0], "0" * 64

    with pytest.raises(TrainingError, match="another base"):
        begun(registry=Other())


@pytest.mark.parametrize("content", [b"", b"no checkpoint", {"epoch": 1}])
def test_a_damaged_training_says_which_folder_to_remove(begun, tmp_path, content):
    path = tmp_path / "row" / CHECKPOINT
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(TrainingError, match="remove the folder"):
        begun()


def test_figures_of_other_images_are_not_taken_for_these(
    run, parts, registry, tmp_path
):
    row = Row("sam", "paper", 1, 0)
    run(row)
    others = choose_parts(
        DataIndex((*parts.train, *parts.val, *parts.tests["judge"][:2])),
        train=["learn"],
        tests=["judge"],
    )
    with pytest.raises(TrainingError, match="other images"):
        run_row(
            row,
            others,
            base="sam_tiny",
            registry=registry,
            folder=tmp_path / "rows" / row.name,
        )


def test_seeds_are_put_together_with_mean_deviation_and_interval(run):
    results = [run(Row("sam", "paper", 1, seed)) for seed in (0, 1)]
    (line,) = summarise_rows(results)
    means = [np.mean([s["dice"] for s in r.scores["judge"].values()]) for r in results]
    assert line.seeds == (0, 1)
    assert line.mean["dice"] == pytest.approx(np.mean(means))
    assert line.sd["dice"] == pytest.approx(np.std(means, ddof=1))
    low, high = line.interval["dice"]
    assert low <= line.mean["dice"] <= high
    assert line.mean["iou"] >= line.bound


def test_pooled_figures_count_the_pixels_of_all_images(run):
    result = run(Row("sam", "paper", 1, 0))
    (line,) = summarise_rows([result])
    both = sum(score["both"] for score in result.scores["judge"].values())
    either = sum(score["either"] for score in result.scores["judge"].values())
    assert line.pooled_iou == pytest.approx(both / either)
    assert line.pooled_dice == pytest.approx(2 * both / (both + either))


def test_a_method_compared_with_itself_does_not_differ(run):
    (line,) = summarise_rows([run(Row("sam", "paper", 1, 0))])
    comparison = compare_lines(line, line)
    assert comparison.difference == 0
    assert comparison.p_value == 1


def test_the_table_names_what_was_not_run_and_what_cannot_be_matched(
    parts, registry, tmp_path
):
    results = list(
        run_table(
            plan("sam", "gl_med_sa", seeds=(0, 1)),
            parts,
            registry=registry,
            folder=tmp_path / "table",
            in_processes=False,
        )
    )
    assert len(results) == 4
    write_report(tmp_path, summarise_rows(results), commands=["glmedsa x"], facts={})
    text = (tmp_path / "table.md").read_text()
    assert all(f"| {title} |" in text for title in NOT_RUN)
    assert "84.5 below 86.7" in text
    assert "glmedsa x" in text
    with (tmp_path / "table.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["method"] for row in rows] == ["sam", "gl_med_sa"]
    document = json.loads((tmp_path / "table.json").read_text())
    (comparison,) = document["comparisons"]
    difference = float(rows[1]["dice"]) - float(rows[0]["dice"])
    assert comparison["difference"] == pytest.approx(difference)


@pytest.fixture
def table1(data, registry: ModelRegistry, tmp_path, monkeypatch, capsys):
    """Runs `glmedsa benchmark table1` on the drawn lesions and the tiny base.

    All rows in this process, as starting one takes longer than all the rest.
    """
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(registry.root))
    monkeypatch.setattr("napari_glmedsa.benchmark.table._in_a_process", run_row)

    def run(*options: object, output: str = "out") -> Outcome:
        arguments = ("--data", data, "--base", "sam_tiny", "--train", "learn")
        arguments += ("--test", "judge", "--seeds", "0", "--clicks", "1")
        arguments += ("--epochs", "1", "--output", tmp_path / output, *options)
        return glmedsa(capsys, "benchmark", "table1", *arguments)

    return run


def test_the_command_fills_a_table_and_goes_on_where_it_was(table1, tmp_path):
    assert table1("--methods", "sam").code == 0
    result = tmp_path / "out/sam-1p-seed0/result.json"
    written = result.stat().st_mtime_ns
    again = table1("--methods", "sam,gmed_sa")
    assert again.code == 0
    assert "2/2 paper-gmed_sa-1p-seed0" in again.err
    assert result.stat().st_mtime_ns == written
    table = (tmp_path / "out/table.md").read_text()
    assert "SAM, zero-shot" in table
    assert "GMed-SA" in table


def test_a_second_run_with_the_same_seed_gives_the_same_figures(table1, tmp_path):
    for output in ("first", "second"):
        assert table1("--methods", "sam,gl_med_sa", output=output).code == 0

    def figures(output: str) -> tuple:
        document = json.loads((tmp_path / output / "table.json").read_text())
        lines = [
            {k: v for k, v in line.items() if k not in OF_THE_MOMENT}
            for line in document["lines"]
        ]
        picture = (tmp_path / output / "cases-judge-1p.jpg").read_bytes()
        return lines, document["comparisons"], picture

    assert figures("first") == figures("second")


def test_a_finished_table_is_drawn_anew_without_running_anything(
    table1, tmp_path, monkeypatch
):
    assert table1("--methods", "sam").code == 0
    drawn = ["table.md", "table.csv", "table.json", "cases-judge-1p.jpg"]
    for name in drawn:
        (tmp_path / "out" / name).unlink()
    monkeypatch.setattr("napari_glmedsa.benchmark.table._in_a_process", None)
    assert table1("--methods", "sam").code == 0
    assert all((tmp_path / "out" / name).exists() for name in drawn)


def test_the_table_keeps_the_finished_rows_that_a_command_does_not_name(
    table1, tmp_path
):
    assert table1("--methods", "sam").code == 0
    assert table1("--methods", "otsu").code == 0
    document = json.loads((tmp_path / "out/table.json").read_text())
    assert [line["method"] for line in document["lines"]] == ["otsu", "sam"]


def test_the_table_names_every_command_that_filled_it(table1, tmp_path, monkeypatch):
    def commands(*options: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["glmedsa", *options])
        assert table1(*options).code == 0
        document = json.loads((tmp_path / "out/table.json").read_text())
        text = (tmp_path / "out/table.md").read_text()
        assert all(command in text for command in document["commands"])
        return document["commands"]

    sam, otsu = "glmedsa --methods sam", "glmedsa --methods otsu"
    assert commands("--methods", "sam") == [sam]
    assert commands("--methods", "otsu") == [sam, otsu]
    assert commands("--methods", "sam,otsu") == [sam, otsu]  # nothing was left to do


def test_what_nobody_clicks_is_compared_with_the_tables_own_method(table1, tmp_path):
    assert table1("--methods", "sam,gl_med_sa,otsu,random_walker").code == 0
    document = json.loads((tmp_path / "out/table.json").read_text())
    pairs = {(c["better"], c["worse"], c["clicks"]) for c in document["comparisons"]}
    assert pairs == {
        ("gl_med_sa", "sam", 1),
        ("gl_med_sa", "otsu", 1),
        ("gl_med_sa", "random_walker", 1),
        ("random_walker", "otsu", 0),
    }


def test_lines_of_other_clicks_are_not_compared(run):
    once, twice = (run(Row("sam", "paper", clicks, 0)) for clicks in (1, 2))
    with pytest.raises(ValueError, match="cannot be compared"):
        compare_lines(*summarise_rows([once, twice]))


def test_a_seed_that_is_named_twice_is_run_once(table1):
    assert "1/1 sam-1p-seed0" in table1("--methods", "sam", "--seeds", "0,0").err


def test_what_learns_nothing_is_the_same_row_in_every_recipe(table1):
    assert table1("--methods", "sam").code == 0
    other = table1("--methods", "sam", "--recipe", "tuned", "--epochs", "2")
    assert other.code == 0
    assert "1/1" not in other.err


def test_a_row_of_other_epochs_is_refused(table1):
    assert table1("--methods", "gmed_sa").code == 0
    other = table1("--methods", "gmed_sa", "--epochs", "2")
    assert other.code == 2
    assert is_one_sentence(other.err)
    assert "number of epochs" in other.err


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"either"', '"neither"'),
        lambda text: text.replace('"scores"', '"marks"'),
        lambda text: text.replace('"dice"', '"die"'),
    ],
)
def test_a_damaged_row_is_named_with_what_to_do(table1, tmp_path, damage):
    assert table1("--methods", "sam").code == 0
    result = tmp_path / "out/sam-1p-seed0/result.json"
    result.write_text(damage(result.read_text()))
    outcome = table1("--methods", "sam")
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
    assert str(result) in outcome.err
    assert "sam-1p-seed0 to run that row again" in outcome.err


def test_a_damaged_row_is_told_before_anything_is_trained_or_written(table1, tmp_path):
    assert table1("--methods", "sam").code == 0
    out = tmp_path / "out"
    (out / "sam-1p-seed0/result.json").write_text("{}")
    written = (out / "table.md").stat().st_mtime_ns
    outcome = table1("--methods", "otsu,sam")
    assert is_one_sentence(outcome.err)
    assert not (out / "otsu-seed0").exists()
    assert (out / "table.md").stat().st_mtime_ns == written


def test_figures_that_break_the_bound_are_refused(run):
    result = run(Row("sam", "paper", 1, 0))
    for score in result.scores["judge"].values():
        score["dice"], score["iou"] = 0.9, 0.8
    with pytest.raises(TrainingError, match=r"result\.json was changed"):
        summarise_rows([result])


def test_a_row_whose_process_is_killed_is_told_and_goes_on_later(
    parts, registry, tmp_path
):
    def table(on_progress: OnProgress | None) -> list[RowResult]:
        places = {"registry": registry, "folder": tmp_path / "out"}
        rows = run_table(plan("gmed_sa"), parts, on_progress=on_progress, **places)
        return list(rows)

    with pytest.raises(TrainingError, match="goes on where it was"):
        table(kill_this_process)
    assert not (tmp_path / "out/paper-gmed_sa-1p-seed0/result.json").exists()
    assert len(table(None)) == 1


def test_a_row_ends_with_the_command_that_was_killed(data, registry, tmp_path):
    command = [sys.executable, "-m", "napari_glmedsa", "benchmark", "table1"]
    command += ["--data", str(data), "--base", "sam_tiny", "--train", "learn"]
    command += ["--test", "judge", "--methods", "gmed_sa", "--epochs", "100000"]
    command += ["--seeds", "0", "--clicks", "1", "--output", str(tmp_path / "out")]
    environment = {**os.environ, "NAPARI_GLMEDSA_HOME": str(registry.root)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as started:
        parent = psutil.Process(started.pid)
        row = tmp_path / "out/paper-gmed_sa-1p-seed0"
        wait_until(row.exists)
        children = parent.children(recursive=True)
        parent.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert children
    assert not alive
    assert (row / CHECKPOINT).exists()


def test_an_output_that_is_no_folder_is_told_in_a_sentence(table1, tmp_path):
    (tmp_path / "out").write_text("a file")
    outcome = table1("--methods", "sam")
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)


def test_rows_that_kept_no_masks_are_left_out_of_the_figure(table1, tmp_path):
    assert table1("--methods", "sam,otsu").code == 0
    out = tmp_path / "out"
    (out / "sam-1p-seed0" / ANSWERS).unlink()
    (out / "cases-judge-1p.jpg").unlink()
    again = table1("--methods", "sam,otsu")
    assert again.code == 0
    assert "sam-1p-seed0 kept no masks" in again.err
    assert not (out / "cases-judge-1p.jpg").exists()
    assert (out / "cases-judge.jpg").exists()


def test_the_cases_are_the_best_the_middle_and_the_worst():
    dice = dict(zip("abcdefgh", (0.1, 0.9, 0.5, 0.5, 0.8, 0.2, 0.4, 0.6), strict=True))
    assert choose_cases(dice, each=2) == {
        "b": "best",
        "e": "best",
        "c": "middle",
        "d": "middle",
        "f": "worst",
        "a": "worst",
    }


def test_few_images_are_each_chosen_once():
    assert choose_cases({"a": 0.1, "b": 0.9, "c": 0.5}, each=2) == {
        "b": "best",
        "c": "best",
        "a": "worst",
    }


def test_the_figure_shows_every_method_with_click_and_outlines(table1, tmp_path):
    assert table1("--methods", "sam,gmed_sa").code == 0
    figure = Image.open(tmp_path / "out/cases-judge-1p.jpg")
    # photograph, ground truth and two methods; three images below the headings
    assert figure.size == (4 * 180, 18 + 3 * (135 + 18))
    first = np.asarray(figure)[18 : 18 + 135].astype(int)
    click, truth, answer = (0, 114, 255), (255, 255, 255), (0, 229, 255)
    photograph, ground_truth, *methods = np.split(first, 4, axis=1)
    assert shows(photograph, click)
    assert not shows(photograph, answer)
    assert shows(ground_truth, truth)
    assert not shows(ground_truth, click)
    assert all(shows(method, click) for method in methods)


def test_what_nobody_clicks_is_shown_on_the_cases_of_the_tables_own_method(
    run, parts, tmp_path, monkeypatch
):
    own, otsu = run(Row("gl_med_sa", "paper", 1, 0, 1)), run(Row("otsu", "paper", 0, 0))
    reverse = {
        name: {**score, "dice": 1 - score["dice"]}
        for name, score in own.scores["judge"].items()
    }
    sheets: list[list[str]] = []

    def draw(rows: list[list[Tile]], **options: object) -> Image.Image:
        sheets.append([first.caption for first, *_ in rows])
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr("napari_glmedsa.benchmark.cases.draw_sheet", draw)
    results = [replace(otsu, scores={"judge": reverse}), own]
    write_cases(tmp_path / "rows", results, parts)
    automatic, clicked = sheets
    assert automatic == clicked


def test_a_file_that_is_no_image_is_told_in_one_sentence(table1, data):
    (data / "5.png").write_text("no image")
    outcome = table1("--methods", "sam")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("glmedsa: ")
    assert "5.png" in outcome.err
    assert "Traceback" not in outcome.err


def no_image(data: Path) -> None:
    (data / "7.png").write_text("no image")


def a_mask_of_another_size(data: Path) -> None:
    write_mask(data / "6_mask.png", draw_lesion(0, (48, 60)).mask)


def nothing_to_learn(data: Path) -> None:
    write_mask(data / "3_mask.png", np.zeros((48, 64), bool))


@pytest.mark.parametrize("damage", [no_image, a_mask_of_another_size, nothing_to_learn])
def test_what_cannot_be_used_is_told_before_anything_is_trained(
    table1, data, tmp_path, damage
):
    damage(data)
    outcome = table1("--methods", "med_sa,otsu")
    assert outcome.code == 2
    assert is_one_sentence(outcome.err.splitlines(keepends=True)[-1])
    assert not list((tmp_path / "out").iterdir())


def test_all_that_cannot_be_used_is_counted_at_once(table1, data):
    for damage in (no_image, a_mask_of_another_size, nothing_to_learn):
        damage(data)
    outcome = table1("--methods", "otsu")
    assert "3_mask.png marks no lesion" in outcome.err
    assert "2 more of the 8" in outcome.err


def test_a_photograph_without_a_lesion_may_be_measured_on(table1, data):
    write_mask(data / "6_mask.png", np.zeros((48, 64), bool))
    assert table1("--methods", "otsu").code == 0


@pytest.mark.parametrize(
    "wrong",
    [
        ("--methods", "sam,magic"),
        ("--clicks", "one"),
        ("--seeds", ""),
        ("--seeds", "-1"),
        ("--seeds", "99999999999999999999"),
        ("--seeds", str(2**32)),
        ("--methods", ""),
        ("--test", "nothing"),
        ("--test", ""),
        ("--train", ""),
        ("--train", "judge"),
        ("--fold", "7"),
        ("--data", "nowhere"),
        ("--device", "quantum"),
        ("--base", "nowhere"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(data, tmp_path, capsys, wrong):
    arguments = ("benchmark", "table1", "--data", data, "--output", tmp_path / "out")
    outcome = glmedsa(capsys, *arguments, "--train", "learn", "--test", "judge", *wrong)
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
    assert not (tmp_path / "out").exists()


def test_automatic_methods_are_measured_without_clicks(run):
    result = run(Row("otsu", "paper", 0, 0))
    assert result.trainable == 0
    assert result.row.name == "otsu-seed0"
    assert set(result.scores["judge"]) == {"l5", "l6", "l7"}


def test_a_network_is_trained_on_the_same_images_and_goes_on_where_it_was(
    run, monkeypatch
):
    class Pixelwise(torch.nn.Conv2d):
        def __init__(self, size: int) -> None:
            super().__init__(3, 1, 1)

    monkeypatch.setattr(
        "napari_glmedsa.benchmark.automatic.build_network",
        lambda name, *, size, seed: Pixelwise(size),
    )
    told = []
    row = Row("dynunet", "paper", 0, 0, epochs=2)
    result = run(row, on_progress=lambda *what: told.append(what))
    assert ("training", 4, 4) in told  # two epochs of three images in pairs
    assert result.trainable == 4
    assert result.config["epochs"] == 2
    assert [point["epoch"] for point in result.curve] == [1, 2]


def test_groups_stand_for_their_methods_and_classics_have_one_seed():
    rows = plan(*GROUPS["automatic"], "sam", seeds=(0, 1)).rows()
    names = [(row.method, row.clicks, row.seed) for row in rows]
    assert ("otsu", 0, 0) in names
    assert ("otsu", 0, 1) not in names
    assert ("unetr", 0, 1) in names
    assert ("sam", 1, 1) in names


def test_the_ablation_differs_from_the_method_in_one_thing_each():
    method = METHODS["gl_med_sa"].config("paper", n_points=1, seed=0).to_json()
    for name in GROUPS["ablation"][1:]:
        other = METHODS[name].config("paper", n_points=1, seed=0).to_json()
        flat = [{**one, **one["adapter"], "adapter": None} for one in (method, other)]
        assert len([k for k in flat[0] if flat[0][k] != flat[1][k]]) == 1, name
