"""`glmedsa project rank`: the order, what is kept, and bad input."""

import json

import pytest
from command import glmedsa, is_one_sentence

from napari_glmedsa.activation import ActiveModel
from napari_glmedsa.images import write_image
from napari_glmedsa.inference import (
    EmbeddingCache,
    Predictor,
    default_cache_folder,
    resolve_device,
)
from napari_glmedsa.registry import ModelSpec
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.worklist import Order, Worklist, ordered


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "moles"
    folder.mkdir()
    for seed in range(3):
        write_image(folder / f"mole{seed}.png", draw_lesion(seed, (48, 64)).image)
    return folder


@pytest.fixture
def rank(capsys, folder, registry, monkeypatch):
    """Runs the command on the folder, with the tiny model."""
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(registry.root))

    def run(*arguments, model="sam_tiny"):
        options = ("--model", model) if model else ()
        return glmedsa(capsys, "project", "rank", folder, *options, *arguments)

    return run


def photographs(said):
    return json.loads(said.out)["photographs"]


def test_the_most_uncertain_comes_first_with_all_parts(rank, folder):
    said = rank("--json")
    assert said.code == 0
    document = json.loads(said.out)
    assert document["by"] == "uncertainty"
    assert document["project"] == str(folder / "glmedsa_project")
    scores = [row["uncertainty"] for row in document["photographs"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3
    for row in document["photographs"]:
        product = 1.0
        for part in row["parts"].values():
            assert 0 <= part <= 1
            product *= part
        assert row["uncertainty"] == pytest.approx(1 - product)


def test_what_is_known_is_not_computed_again(rank, monkeypatch):
    first = photographs(rank("--json"))

    def never(*_, **__):
        raise AssertionError("a known photograph was encoded")

    monkeypatch.setattr(Predictor, "encode", never)
    assert photographs(rank("--json")) == first


def test_the_embedding_is_kept_for_whoever_opens_the_photograph(
    rank, folder, registry, tmp_path
):
    rank()
    worklist = Worklist.open(folder, spare=tmp_path)
    predictor = registry.load(
        ModelSpec("sam_tiny"), device=resolve_device("auto"), precision="auto"
    )
    cache = EmbeddingCache(default_cache_folder())
    for entry in worklist.entries():
        assert predictor.embedding_key(worklist.read(entry)) in cache


def test_by_name_and_date_no_model_is_needed(rank):
    for by in ("name", "date"):
        rows = photographs(rank("--json", "--by", by, model="no_such_model"))
        assert [row["name"] for row in rows] == ["mole0.png", "mole1.png", "mole2.png"]
        assert {row["uncertainty"] for row in rows} == {None}


def test_what_is_done_is_left_out_unless_asked_for(rank, folder, tmp_path):
    worklist = Worklist.open(folder, spare=tmp_path)
    worklist.mark(ordered(worklist.entries(), Order.NAME)[0], "skipped")
    assert len(photographs(rank("--json", "--by", "name"))) == 2
    rows = photographs(rank("--json", "--by", "name", "--all"))
    assert [row["status"] for row in rows] == ["skipped", "new", "new"]


def test_when_all_is_done_it_is_said(rank, folder, tmp_path):
    worklist = Worklist.open(folder, spare=tmp_path)
    for entry in worklist.entries():
        worklist.mark(entry, "skipped")
    said = rank("--by", "name")
    assert said.code == 0
    assert "No photograph is still to be done" in said.out


def test_the_table_names_every_photograph(rank):
    said = rank()
    assert said.code == 0
    for name in ("mole0.png", "mole1.png", "mole2.png", "Stability"):
        assert name in said.out


def test_the_active_model_can_be_asked(rank, registry):
    ActiveModel(registry).activate(ModelSpec("sam_tiny", "tiny_adapter"))
    active = photographs(rank("--json", model="active"))
    assert active == photographs(rank("--json", model="sam_tiny+tiny_adapter"))
    assert active != photographs(rank("--json"))


def test_an_unreadable_photograph_comes_last_and_is_named(rank, folder):
    (folder / "broken.png").write_bytes(b"no image")
    said = rank("--json")
    assert said.code == 1
    assert "broken.png" in said.err
    assert photographs(said)[-1]["name"] == "broken.png"
    assert photographs(said)[0]["uncertainty"] is not None


def test_a_copy_of_a_photograph_is_asked_about_once(rank, folder):
    (folder / "copy.png").write_bytes((folder / "mole0.png").read_bytes())
    rows = {row["name"]: row["uncertainty"] for row in photographs(rank("--json"))}
    assert rows["copy.png"] == rows["mole0.png"] is not None
    lines = next((folder / "glmedsa_project/worklist/uncertainty").iterdir())
    assert len(lines.read_text().splitlines()) == 3


def test_mistakes_are_one_sentence(rank, capsys, tmp_path):
    gone = glmedsa(capsys, "project", "rank", tmp_path / "gone")
    assert (gone.code, is_one_sentence(gone.err)) == (2, True)
    unknown = rank(model="no_such_model")
    assert (unknown.code, is_one_sentence(unknown.err)) == (2, True)
