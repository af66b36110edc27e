"""`glmedsa models download|add|verify|remove|path` in words and exit codes."""

import hashlib
import io
import json

import numpy as np
import pytest
import torch
from command import glmedsa, is_one_sentence
from segment_anything import SamPredictor
from serving import Answer, serving
from tiny import TINY, randomise

from napari_glmedsa.files import write_json
from napari_glmedsa.images import read_mask, write_image
from napari_glmedsa.inference import build_sam


@pytest.fixture
def root(tmp_path):
    return tmp_path / "my models"


@pytest.fixture
def models(capsys, root):
    """Runs `glmedsa models COMMAND --root ROOT`."""
    return lambda command, *arguments: glmedsa(
        capsys, "models", command, *arguments, "--root", root
    )


@pytest.fixture
def checkpoint(tmp_path, tiny_sam):
    path = tmp_path / "sam.pth"
    torch.save(tiny_sam.state_dict(), path)
    return path


def test_a_checkpoint_taken_in_predicts_as_segment_anything_does(
    models, root, checkpoint, tiny_sam, lesion, tmp_path, capsys, monkeypatch
):
    outcome = models("add", checkpoint, "--type", "other", "--name", "mine")
    assert outcome.code == 0
    assert outcome.out == f"Added mine in {root / 'base' / 'mine'}\n"
    assert models("path", "mine").out.strip().endswith("model.safetensors")
    assert models("verify").out == "mine: verified\nsam_vit_mini: verified\n"
    photo = tmp_path / "photo.png"
    write_image(photo, lesion.image)
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(root))
    said = glmedsa(
        capsys,
        "predict",
        photo,
        "--model",
        "mine",
        "--precision",
        "fp32",
        "--point",
        "60,40",
        "--output",
        tmp_path / "masks",
    )
    assert said.code == 0, said.err
    official = SamPredictor(tiny_sam)
    official.set_image(lesion.image)
    masks, _, _ = official.predict(
        np.array([[60.0, 40.0]]), np.array([1]), multimask_output=False
    )
    written = read_mask(tmp_path / "masks" / "photo_segmentation.png")
    assert 0 < masks[0].mean() < 1
    np.testing.assert_array_equal(written, masks[0])


def test_mistakes_are_one_sentence(models, checkpoint, tmp_path):
    for arguments, words in (
        (("add", checkpoint), "--type"),
        (("add", checkpoint, "--type", "vit_b"), "vit_b"),
        (("add", checkpoint, "--type", "sam_vit_b"), "not sam_vit_b"),
        (("add", tmp_path / "nothing.pth"), "no file"),
        (("download", "sam_vit_x"), "known are"),
        (("remove", "sam_vit_b", "--yes"), "nothing of a base model"),
        (("path", "sam_vit_b"), "models download sam_vit_b"),
    ):
        outcome = models(*arguments)
        assert outcome.code == 2, arguments
        assert outcome.out == ""
        assert words in outcome.err
        *_, last = outcome.err.splitlines(keepends=True)  # a bar may come before
        assert is_one_sentence(last), outcome.err


def test_a_model_is_downloaded_checked_and_removed(models, root, monkeypatch):
    stream = io.BytesIO()
    torch.save(randomise(build_sam(TINY)).state_dict(), stream)
    content = stream.getvalue()
    with serving(content) as server:
        folder = root / "base" / "small"
        folder.mkdir(parents=True)
        write_json(
            folder / "card.json",
            {
                "file": "small.pth",
                "url": server.url,
                "bytes": len(content),
                "file_sha256": hashlib.sha256(content).hexdigest(),
            },
        )
        assert "available, 1 MB" in models("list").out
        server.answer(Answer(status=404))
        outcome = models("download", "small")
        assert (outcome.code, outcome.out) == (2, "")
        assert "404 Not Found" in outcome.err
        server.answer()
        assert models("download", "small").out == f"Installed small in {folder}\n"
        assert "installed already" in models("download", "small").out
    bases = {b["name"]: b for b in json.loads(models("list", "--json").out)["bases"]}
    assert bases["small"]["state"] == "installed"
    assert bases["sam_vit_h"]["state"] == "available"
    assert bases["sam_vit_h"]["full_bytes"] == 2564550879
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    outcome = models("verify", "small")
    assert outcome.code == 1
    assert "small is broken" in outcome.err
    path.write_bytes(data[:-1])
    assert "Base model small cannot be used" in models("list").err
    assert "small" in json.loads(models("list", "--json").out)["broken"]
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert models("remove", "small").code == 130  # it asked
    assert path.exists()
    assert models("remove", "small", "--yes").out == "Removed small\n"
    assert not folder.exists()
    assert models("path").out == f"{root}\n"


def test_an_adapter_is_added_by_its_file(models, registry, root, tmp_path):
    path = registry.adapter_path("tiny_adapter")
    assert models("add", path).out == "Added sam_tiny+tiny_adapter\n"
    assert models("path", "tiny_adapter").out.strip() == str(
        root / "adapters" / "tiny_adapter" / "adapter.safetensors"
    )
    assert models("add", path, "--name", "other").out == "Added sam_tiny+other\n"


def test_another_root_has_its_own_model_in_use(models, registry, capsys):
    outcome = glmedsa(capsys, "models", "activate", "sam_tiny", "--root", registry.root)
    assert outcome.out == "sam_tiny is now in use.\n"
    assert (
        "* sam_tiny" in glmedsa(capsys, "models", "list", "--root", registry.root).out
    )
    assert "* sam_tiny" not in models("list").out
    assert glmedsa(capsys, "models", "rollback", "--root", registry.root).code == 0
