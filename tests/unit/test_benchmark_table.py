import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import glmedsa, is_one_sentence

from napari_glmedsa.benchmark.index import DataIndex
from napari_glmedsa.benchmark.methods import GROUPS, METHODS, NOT_RUN
from napari_glmedsa.benchmark.parts import choose_parts
from napari_glmedsa.benchmark.report import write_report
from napari_glmedsa.benchmark.row import Row, RowResult, run_row
from napari_glmedsa.benchmark.summary import compare_lines, summarise_rows
from napari_glmedsa.benchmark.table import TablePlan, run_table
from napari_glmedsa.errors import ProjectError, TrainingError
from napari_glmedsa.images import write_image, write_mask
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.training.checkpoint import CHECKPOINT

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


def without_time(result: RowResult) -> tuple:
    return result.row, result.trainable, result.scores, result.config


def test_the_parts_follow_protocol_and_fold(parts):
    assert [row.id for row in parts.val] == ["l0", "l1"]
    assert [row.id for row in parts.train] == ["l2", "l3", "l4"]
    assert [row.id for row in parts.tests["judge"]] == ["l5", "l6", "l7"]


def test_nothing_is_learnt_from_that_is_measured_on(data):
    index = DataIndex.read(data)
    with pytest.raises(ProjectError, match="measured on"):
        choose_parts(index, train=["learn", "judge"], tests=["judge"])


def test_a_protocol_without_images_is_named(data):
    with pytest.raises(ProjectError, match="'nothing'"):
        DataIndex.read(data).of(["nothing"])


def test_an_index_without_a_column_says_which(tmp_path):
    path = tmp_path / "index.csv"
    path.write_text("id,image\n")
    with pytest.raises(ProjectError, match="mask, protocol"):
        DataIndex.read(path)


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


def test_a_finished_row_is_read_back_and_not_run_again(run):
    row = Row("med_sa", "paper", 1, 0, epochs=1)
    first = run(row)
    told = []
    second = run(row, on_progress=lambda *what: told.append(what))
    assert without_time(first) == without_time(second)
    assert not told


def test_a_row_that_was_stopped_goes_on_and_ends_the_same(
    run, parts, registry, tmp_path, monkeypatch
):
    monkeypatch.setattr("napari_glmedsa.benchmark.clicked.CHECKPOINT_SECONDS", 0)
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
    steps = []
    resumed = run_row(
        row, parts, on_progress=lambda what, done, _: steps.append(done), **arguments
    )
    assert steps[0] > 1
    assert without_time(resumed) == without_time(whole)
    assert not (folder / CHECKPOINT).exists()


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
    write_report(tmp_path, summarise_rows(results), command="glmedsa x", facts={})
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


def test_the_command_fills_a_table_and_goes_on_where_it_was(
    data, registry: ModelRegistry, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(registry.root))
    arguments = ("benchmark", "table1", "--data", data, "--base", "sam_tiny")
    arguments += ("--train", "learn", "--test", "judge", "--seeds", "0")
    arguments += ("--clicks", "1", "--output", tmp_path / "out")
    first = glmedsa(capsys, *arguments, "--methods", "sam")
    assert first.code == 0
    result = tmp_path / "out/sam-1p-seed0/result.json"
    written = result.stat().st_mtime_ns
    again = glmedsa(capsys, *arguments, "--methods", "sam")
    assert again.code == 0
    assert result.stat().st_mtime_ns == written
    assert "SAM, zero-shot" in (tmp_path / "out/table.md").read_text()


@pytest.mark.parametrize(
    "wrong",
    [
        ("--methods", "sam,magic"),
        ("--clicks", "one"),
        ("--seeds", ""),
        ("--test", "nothing"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(data, tmp_path, capsys, wrong):
    arguments = ("benchmark", "table1", "--data", data, "--output", tmp_path / "out")
    outcome = glmedsa(capsys, *arguments, "--train", "learn", "--test", "judge", *wrong)
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)


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
