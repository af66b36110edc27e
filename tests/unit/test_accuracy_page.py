"""The page of figures is written from runs, and says what they say."""

import csv
import importlib.util
import json
import shlex
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from PIL import Image

from napari_glmedsa.benchmark.report import facts, write_report
from napari_glmedsa.benchmark.result import Row, RowResult
from napari_glmedsa.benchmark.summary import summarise_rows
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.gate import GateResult
from napari_glmedsa.training.status import RunStatus

ROOT = Path(__file__).parents[2]
PAGE = """# Accuracy

Words that stay.

<!-- table1-tuned -->
<!-- end -->

<!-- groups-ph2_test -->

of an earlier run

<!-- end -->
"""


@pytest.fixture
def script(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("accuracy")


@pytest.fixture
def built_in(script) -> ModuleType:
    return script.built_in


def result(method: str, seed: int, iou: float) -> RowResult:
    scores = {
        name: {
            "dice": 2 * iou / (1 + iou),
            "iou": iou,
            "threshold_jaccard": iou,
            "both": 100 * iou,
            "either": 100,
        }
        for name in ("a", "b")
    }
    return RowResult(
        Row(method, "tuned", 1, seed),
        frozen=90,
        trainable=10,
        scores={"isic2016_test": scores},
        training_seconds=1.0,
        milliseconds=2.0,
        peak_memory=3,
        config={"epochs": 4},
        question={
            "base": "sam_tiny",
            "train": ["c"],
            "tests": {"isic2016_test": ["a", "b"]},
        },
        machine={"threads": 1},
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two methods with one seed each, and a second seed that only one has."""
    folder = tmp_path / "runs/table1-tuned"
    results = [result("sam_full", 0, 0.5), result("gl_med_sa", 0, 0.75)]
    for one in (*results, result("gl_med_sa", 1, 0.25)):
        (folder / one.row.name).mkdir(parents=True)
        one.write(folder / one.row.name)
    command = ["glmedsa", "benchmark", "table1", "--data", str(tmp_path / "my data")]
    command += ["--output", str(folder), "--recipe", "tuned"]
    lines = summarise_rows(results)
    write_report(folder, lines, commands=[shlex.join(command)], facts=facts(results))
    return tmp_path / "runs"


def test_a_part_is_written_from_its_run_and_everything_else_stays(
    script, runs, tmp_path
):
    page = script.fill(PAGE, runs, tmp_path / "images")
    assert page.startswith("# Accuracy\n\nWords that stay.\n")
    assert page.endswith(PAGE[PAGE.index("<!-- groups") :])
    assert "### isic2016_test, 2 images" in page
    assert "| GL-Med-SA (attn + mlp + block) | 1 | 0.00 / 0.00 | 85.7 |" in page
    assert "| +19.05 |" in page  # 0.857 - 0.667 of the seed that both have
    assert script.fill(page, runs, tmp_path / "images") == page


def test_the_page_tells_the_command_without_this_computers_paths(
    script, runs, tmp_path
):
    page = script.fill(PAGE, runs, tmp_path / "images")
    command = "glmedsa benchmark table1 --data DIR --output table1-tuned --recipe tuned"
    assert command in page
    assert str(tmp_path) not in page


def test_the_short_table_has_a_line_per_method(script, runs):
    short = script.table_short(runs)
    assert (
        "| GL-Med-SA (attn + mlp + block) | 0.00 | 85.7 (85.7 to 85.7) | - |" in short
    )
    assert short.endswith("| 92.9 / 93.8 |")
    assert short.count("\n") == 3


def test_what_adapters_add_is_counted_image_by_image(built_in, tmp_path):
    for kind, gain in (("base", 0.0), ("fairness", 0.2)):
        for protocol in ("isic2016_test", "ph2_test"):
            folder = tmp_path / f"{kind}-{protocol}"
            folder.mkdir()
            with (folder / "images.csv").open("w", newline="") as stream:
                writer = csv.writer(stream)
                writer.writerow(["id", "dice"])
                writer.writerows([["a", 0.5 + gain], ["b", 0.7 + gain]])
    table = built_in.against_base(tmp_path)
    assert table.count("| 2 | 60.0 | 80.0 | +20.0 | +20.0 to +20.0 |") == 2


def test_two_ways_to_click_stand_side_by_side(built_in, tmp_path):
    (tmp_path / "clicks").mkdir()
    for name in ("isic", "ph2"):
        dice = [0.125 + n / 16 for n in range(10)]
        (tmp_path / f"clicks/{name}.json").write_text(json.dumps({"dice": dice}))
    table = built_in.clicks(tmp_path).splitlines()
    own = built_in.read_card(built_in.ADAPTER).metrics
    random = [own[protocol]["dice"][2] for protocol in ("isic2016_test", "ph2_test")]
    assert table[4] == f"| 3 | {random[0]:.3f} | 0.250 | {random[1]:.3f} | 0.250 |"
    assert table[-1] == "| 10 | - | 0.688 | - | 0.688 |"


def test_what_a_hundred_photographs_taught_is_told_from_the_run(built_in, monkeypatch):
    before, after = {"dice": (0.25, 0.5)}, {"dice": (0.75, 0.875)}
    for values in (before, after):
        values.update(iou=values["dice"], threshold_jaccard=values["dice"])
    gate = GateResult(
        n=12,
        clicks=(1, 3),
        before=before,
        after=after,
        difference=0.5,
        interval=(0.4, 0.6),
        margin=0.01,
        verdict="better",
        activate=True,
        sentence="",
    )
    status = RunStatus(n_epochs=20, seconds=900)
    run = SimpleNamespace(status=lambda: status)
    monkeypatch.setattr(built_in, "_hundred", lambda runs: (run, gate))
    table = built_in.fine_tuning(Path())
    assert "| on 12 held-out photographs | clicks |" in table
    assert "| Dice | 1 | 0.250 | 0.750 | +0.500 (95 % interval +0.400 to +0.6" in table
    assert "|  | 3 | 0.500 | 0.875 | +0.375 |" in table
    assert "took 15 minutes" in table
    sentence = built_in.fine_tuning_short(Path())
    words = " ".join(sentence.split())
    assert "0.250 to 0.750 after one click (12 held-out images" in words


def test_only_free_photographs_are_taken_over(script, tmp_path):
    source = tmp_path / "fairness-isic2016_test/worst.jpg"
    source.parent.mkdir()
    Image.new("RGB", (4, 4)).save(source)
    found = tmp_path / "images"
    name = "fairness-isic2016_test/worst.jpg"
    text = script.picture("worst", name, "The worst", tmp_path, found)
    assert text == "![The worst](../images/accuracy-worst.jpg)"
    assert (found / "accuracy-worst.jpg").read_bytes() == source.read_bytes()
    with pytest.raises(ValueError, match="may not be shown"):
        script.picture("worst", "fairness-ph2_test/worst.jpg", "", tmp_path, found)


@pytest.mark.parametrize(
    ("page", "part"),
    [("README.md", "shipped-short"), ("docs/explanation/accuracy.md", "shipped")],
)
def test_the_pages_tell_what_the_kept_scores_say(script, tmp_path, page, part):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert f"<!-- {part} -->" in text
    assert script.fill(text, ROOT / "benchmarks/results", tmp_path) == text


def test_the_shipped_adapter_was_trained_as_its_recipe_says(built_in):
    folder = ROOT / "models/adapters/glmedsa_vit_mini_isic"
    spec = importlib.util.spec_from_file_location("recipe", folder / "recipe.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    card = built_in.read_card(folder / "adapter.safetensors")
    assert TrainingConfig.from_json(card.training["config"]) == recipe.CONFIG
    assert card.training["protocols"] == list(recipe.TRAINING)
    assert not set(recipe.TRAINING) & set(recipe.TESTS)
