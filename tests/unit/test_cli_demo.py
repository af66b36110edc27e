import os
import sys
from pathlib import Path

import pytest
from command import glmedsa, is_one_sentence

from napari_glmedsa.evaluation import dice
from napari_glmedsa.images import read_image, read_mask
from napari_glmedsa.samples import draw_lesion

FILES = {
    "sample_lesion.png",
    "sample_lesion_segmentation.png",
    "sample_lesion_overlay.png",
}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(tmp_path / "registry"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def display(monkeypatch) -> None:
    monkeypatch.setenv("DISPLAY", ":77")


def stand_in_for_napari(folder: Path, monkeypatch, *, exit_code: int) -> Path:
    """A napari that keeps the photograph it is to show, and ends as it is imported.

    The real one stays open until a person closes it.
    """
    program = folder / "stand-in" / "napari" / "__init__.py"
    program.parent.mkdir(parents=True)
    seen = folder / "seen"
    program.write_text(
        "import pathlib, shutil, sys\n"
        f"folder = pathlib.Path({str(seen)!r})\n"
        "folder.mkdir()\n"
        "shutil.copy(sys.argv[1], folder / 'photograph.png')\n"
        f"sys.exit({exit_code})\n"
    )
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{program.parents[1]}{os.pathsep}{root}")
    return seen


def test_without_a_window_it_writes_the_files_and_says_where(capsys, tmp_path):
    outcome = glmedsa(capsys, "demo", "--no-window")
    assert (outcome.code, outcome.err) == (0, "")
    folder = tmp_path / "glmedsa-demo"
    assert {path.name for path in folder.iterdir()} == FILES
    for name in FILES:
        assert str(Path("glmedsa-demo") / name) in outcome.out
    truth = draw_lesion()
    assert (read_image(folder / "sample_lesion.png") == truth.image).all()
    score = dice(read_mask(folder / "sample_lesion_segmentation.png"), truth.mask)
    assert score > 0.8
    assert f"{score:.3f}" in outcome.out


def test_without_a_display_it_says_so_and_writes_the_files(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    outcome = glmedsa(capsys, "demo", "--output", tmp_path / "here")
    assert outcome.code == 0
    assert is_one_sentence(outcome.err)
    assert "no display" in outcome.err
    assert {path.name for path in (tmp_path / "here").iterdir()} == FILES


@pytest.mark.usefixtures("display")
def test_with_a_display_napari_opens_the_sample_and_the_dock(
    capsys, tmp_path, monkeypatch
):
    seen = stand_in_for_napari(tmp_path, monkeypatch, exit_code=0)
    outcome = glmedsa(capsys, "demo")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert (read_image(seen / "photograph.png") == draw_lesion().image).all()
    assert not (tmp_path / "glmedsa-demo").exists()


@pytest.mark.usefixtures("display")
def test_when_napari_cannot_open_a_window_the_files_are_written(
    capsys, tmp_path, monkeypatch
):
    stand_in_for_napari(tmp_path, monkeypatch, exit_code=3)
    outcome = glmedsa(capsys, "demo")
    assert outcome.code == 0
    assert "napari ended with an error (exit code 3" in outcome.err
    assert {path.name for path in (tmp_path / "glmedsa-demo").iterdir()} == FILES


def test_an_unwritable_folder_is_refused_in_one_sentence(capsys, tmp_path):
    (tmp_path / "file").touch()
    outcome = glmedsa(capsys, "demo", "--no-window", "--output", "file")
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
