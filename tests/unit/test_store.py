"""Checkpoints are recognised, taken in, checked and removed, and never trusted."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bomb import Bomb
from segment_anything import SamPredictor
from tiny import TINY, randomise

from napari_glmedsa.adapters import tensors_sha256
from napari_glmedsa.errors import (
    CheckpointError,
    DownloadError,
    ModelNotFoundError,
    RegistryError,
)
from napari_glmedsa.files import read_json, sha256_file, write_json
from napari_glmedsa.inference import Prompts, SamArchitecture, build_sam
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.store import ModelStore, TypeUnknownError
from napari_glmedsa.tensors import read_safetensors, write_safetensors

CPU = torch.device("cpu")
OFFICIAL = {
    "sam_vit_b": (SamArchitecture(768, 12, 12, (2, 5, 8, 11)), 314, 93_735_472),
    "sam_vit_l": (SamArchitecture(1024, 24, 16, (5, 11, 17, 23)), 482, 312_342_832),
    "sam_vit_h": (SamArchitecture(1280, 32, 16, (7, 15, 23, 31)), 594, 641_090_608),
}


@pytest.fixture
def store(tmp_path) -> ModelStore:
    return ModelStore(ModelRegistry(tmp_path / "meine Modelle µ", []))


@pytest.fixture
def checkpoint(tmp_path, tiny_sam) -> Path:
    path = tmp_path / "My SAM (final).pth"
    torch.save(tiny_sam.state_dict(), path)
    return path


def empty_tensors(name: str) -> dict[str, torch.Tensor]:
    """Return an official state dict that costs no memory."""
    with torch.device("meta"):
        return build_sam(OFFICIAL[name][0]).state_dict()


def test_a_file_of_ones_own_needs_its_type(store, checkpoint):
    with pytest.raises(TypeUnknownError, match="sam_vit_b, sam_vit_l, sam_vit_h or"):
        store.add(checkpoint)
    assert not store.registry.root.exists()


def test_a_checkpoint_is_converted_and_its_original_left_alone(
    store, checkpoint, tiny_sam
):
    before = checkpoint.read_bytes()
    card = store.add(checkpoint, model_type="other")
    assert card.name == "My_SAM_final"
    assert card.installed
    assert card.sha256 == tensors_sha256(tiny_sam.state_dict())
    assert card.facts["original"] == {"file": checkpoint.name, "bytes": len(before)}
    assert card.licence == "not stated"
    assert checkpoint.read_bytes() == before
    stored = read_safetensors(card.path)
    assert stored.keys() == tiny_sam.state_dict().keys()
    for name, tensor in tiny_sam.state_dict().items():
        assert torch.equal(stored[name], tensor)
    assert ModelSpec(card.name) in store.registry.specs()


def test_what_was_taken_in_answers_as_segment_anything_does(
    store, checkpoint, tiny_sam, image
):
    card = store.add(checkpoint, model_type="other")
    predictor = store.registry.load(ModelSpec(card.name), device=CPU)
    points, labels = np.array([[30.0, 20.0], [60.0, 40.0]]), np.array([1, 0])
    found = predictor.predict(predictor.encode(image), Prompts(points, labels))
    official = SamPredictor(tiny_sam)
    official.set_image(image)
    masks, quality, low_res = official.predict(points, labels, multimask_output=False)
    assert 0 < masks[0].mean() < 1
    np.testing.assert_array_equal(found.mask, masks[0])
    np.testing.assert_allclose(found.low_res_logits[0, 0], low_res[0], atol=1e-4)
    assert found.iou_prediction == pytest.approx(float(quality[0]), abs=1e-5)


def test_an_official_file_is_known_by_its_hash(store, checkpoint, tmp_path):
    card = {
        "file": "official.pth",
        "url": "http://127.0.0.1/official.pth",
        "bytes": checkpoint.stat().st_size,
        "file_sha256": sha256_file(checkpoint),
        "licence": "free",
        "citation": "Somebody, 2023",
    }
    folder = store.registry.root / "base" / "official"
    folder.mkdir(parents=True)
    write_json(folder / "card.json", card)
    with pytest.raises(RegistryError, match="already"):
        store.add(checkpoint)
    shared = ModelStore(ModelRegistry(tmp_path / "own", [store.registry.root]))
    added = shared.add(checkpoint)
    assert (added.name, added.licence) == ("official", "free")
    assert added.facts["citation"] == "Somebody, 2023"
    assert added.facts["original"]["file_sha256"] == card["file_sha256"]


def test_a_checkpoint_of_another_type_is_told_by_its_tensors(
    store, tmp_path, monkeypatch
):
    path = tmp_path / "sam.pth"
    path.touch()
    monkeypatch.setattr(
        "napari_glmedsa.inference.read_weights", lambda _: empty_tensors("sam_vit_l")
    )
    with pytest.raises(CheckpointError) as raised:
        store.add(path, model_type="sam_vit_b")
    sentence = str(raised.value)
    assert "not sam_vit_b" in sentence
    assert "unexpected: image_encoder.blocks.12" in sentence
    assert "image_encoder.pos_embed (1 x 64 x 64 x 1024 instead of" in sentence
    assert "missing" not in sentence
    assert sentence.endswith("It looks like sam_vit_l.")
    with pytest.raises(CheckpointError, match=r"missing: image_encoder\.blocks\.24"):
        store.add(path, model_type="sam_vit_h")
    assert store.registry.broken_bases() == {}
    assert not (store.registry.root / "base" / "sam").exists()


def test_a_small_model_is_no_official_one(store, checkpoint, tmp_path, tiny_sam):
    with pytest.raises(CheckpointError, match="3 blocks of width 32"):
        store.add(checkpoint, model_type="sam_vit_b")
    tensors = tiny_sam.state_dict()
    del tensors["mask_decoder.iou_token.weight"]
    tensors["extra"] = torch.zeros(1)
    torch.save(tensors, checkpoint)
    with pytest.raises(CheckpointError) as raised:
        store.add(checkpoint, model_type="other")
    assert "missing: mask_decoder.iou_token.weight" in str(raised.value)
    assert "unexpected: extra" in str(raised.value)
    torch.save({"weights": torch.zeros(3)}, checkpoint)
    with pytest.raises(CheckpointError, match="not the weights of a Segment"):
        store.add(checkpoint, model_type="other")
    with pytest.raises(CheckpointError, match="no type of model"):
        store.add(checkpoint, model_type="vit_b")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_checkpoints_have_the_known_number_of_tensors(name):
    from napari_glmedsa.store.official import check_type

    tensors = empty_tensors(name)
    _, count, parameters = OFFICIAL[name]
    assert len(tensors) == count
    frequencies = 256  # of the prompt encoder: drawn once, stored, never trained
    stored = sum(tensor.numel() for tensor in tensors.values())
    assert stored == parameters + frequencies
    check_type(tensors, name)
    card = next(c for c in ModelRegistry(Path("x"), []).bases() if c.name == name)
    assert card.facts["parameters"] == parameters
    assert card.facts["architecture"] == name
    assert 0 < card.full_bytes - 4 * parameters < 300_000


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "bomb"])
def test_damaged_and_malicious_files_are_refused(store, checkpoint, tmp_path, damage):
    data = bytearray(checkpoint.read_bytes())
    witness = tmp_path / "witness"
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data[-40] ^= 0xFF  # in the table of contents
        data[5] ^= 0xFF
        data[:200] = bytes(200)
    elif damage == "empty":
        data = bytearray()
    elif damage == "text":
        data = bytearray(b"<html>not found</html>")
    else:
        data = bytearray(pickle.dumps(Bomb(witness), protocol=2))
    checkpoint.write_bytes(data)
    with pytest.raises(CheckpointError, match="not a plain weights file"):
        store.add(checkpoint, model_type="other")
    torch.save({"image_encoder.pos_embed": Bomb(witness)}, checkpoint)
    with pytest.raises(CheckpointError, match="never run"):
        store.add(checkpoint, model_type="other")
    assert not witness.exists()
    assert not list(store.registry.root.rglob("*.safetensors"))
    with pytest.raises(CheckpointError, match="no file"):
        store.add(tmp_path / "nothing.pth", model_type="other")


def test_a_file_of_an_old_pytorch_is_read_too(store, checkpoint, tiny_sam):
    torch.save(tiny_sam.state_dict(), checkpoint, _use_new_zipfile_serialization=False)
    card = store.add(checkpoint, model_type="other")
    assert card.sha256 == tensors_sha256(tiny_sam.state_dict())


def test_names_are_names_and_those_of_official_models_are_kept_for_them(
    store, checkpoint
):
    for name in ("../x", "a b", ".x", "sam_vit_b", "sam_vit_mini"):
        with pytest.raises(RegistryError, match="name"):
            store.add(checkpoint, model_type="other", name=name)
    store.add(checkpoint, model_type="other", name="mine")
    with pytest.raises(RegistryError, match="already"):
        store.add(checkpoint, model_type="other", name="mine")


def test_a_disk_without_room_is_told(store, checkpoint, monkeypatch):
    monkeypatch.setattr(
        "napari_glmedsa.store.folder.shutil.disk_usage",
        lambda path: type("Usage", (), {"free": 10})(),
    )
    with pytest.raises(DownloadError, match="free some space"):
        store.add(checkpoint, model_type="other")
    assert store.registry.broken_bases() == {}


def test_a_folder_that_cannot_be_written_is_told(store, checkpoint):
    store.registry.root.write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match="cannot be written"):
        store.add(checkpoint, model_type="other")


def test_a_flipped_bit_is_found_by_verifying(store, checkpoint):
    card = store.add(checkpoint, model_type="other", name="mine")
    assert store.verify("mine") == card
    data = bytearray(card.path.read_bytes())
    data[-1000] ^= 1
    card.path.write_bytes(data)
    with pytest.raises(RegistryError, match="damaged"):
        store.verify("mine")
    card.path.write_bytes(data[:-1])
    with pytest.raises(RegistryError, match="bytes instead of"):
        store.verify("mine")
    with pytest.raises(RegistryError, match="not installed"):
        store.verify("sam_vit_b")
    with pytest.raises(ModelNotFoundError):
        store.verify("nothing")


def test_only_ones_own_models_can_be_removed(registry, tmp_path):
    store = ModelStore(ModelRegistry(tmp_path / "own", [registry.root]))
    for name in ("sam_tiny", "sam_vit_mini", "nothing", "../registry/base/sam_tiny"):
        with pytest.raises(ModelNotFoundError, match="never removed"):
            store.remove(name, force=True)
    assert ModelSpec("sam_tiny") in store.registry.specs()


def test_a_base_that_is_needed_stays_unless_forced(registry):
    store = ModelStore(registry)
    with pytest.raises(RegistryError, match="tiny_adapter"):
        store.remove("sam_tiny")
    note = registry.root / "base" / "sam_tiny" / "my notes.txt"
    note.write_text("mine")
    store.remove("sam_tiny", force=True)
    assert "sam_tiny" not in {card.name for card in registry.bases()}
    assert note.read_text() == "mine"
    note.unlink()


def test_a_removed_model_leaves_no_folder(store, checkpoint):
    store.add(checkpoint, model_type="other", name="mine")
    store.remove("mine")
    assert list((store.registry.root / "base").iterdir()) == []


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_a_model_whose_file_is_removed_while_it_is_loaded_still_answers(
    store, checkpoint, tiny_sam, image, kind, tmp_path
):
    prompts = Prompts([[30, 20]], [1])
    if kind == "pth":
        spec, path = ModelSpec(str(checkpoint)), checkpoint
    else:
        card = store.add(checkpoint, model_type="other", name="mine")
        spec, path = ModelSpec("mine"), card.path
    predictor = store.registry.load(spec, device=CPU)
    path.unlink()
    mask = predictor.predict(predictor.encode(image), prompts).mask
    other = tmp_path / "again.pth"
    torch.save(tiny_sam.state_dict(), other)
    again = store.registry.load(ModelSpec(str(other)), device=CPU)
    expected = again.predict(again.encode(image), prompts).mask
    np.testing.assert_array_equal(mask, expected)


def test_changing_a_loaded_model_never_changes_its_file(store, checkpoint):
    card = store.add(checkpoint, model_type="other", name="mine")
    sam = store.registry.load_sam("mine", device=CPU)
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter.add_(1)
    assert store.verify("mine") == card


_LOAD = """
import resource, sys
from pathlib import Path
import torch
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.inference import Predictor
import segment_anything, safetensors.torch

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

registry = ModelRegistry(Path(sys.argv[1]), [])
small, big = sys.argv[2:4]
registry.load(ModelSpec(small), device=torch.device("cpu"))  # what any loading needs
before = peak()
predictor = registry.load(ModelSpec(big), device=torch.device("cpu"))
for parameter in predictor.sam.parameters():
    parameter.detach().sum()
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts otherwise")
@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_loading_holds_the_weights_once(store, checkpoint, tmp_path, kind):
    middling = replace(TINY, embed_dim=512, depth=16, num_heads=8)
    path = tmp_path / "middling.pth"
    torch.save(randomise(build_sam(middling)).state_dict(), path)
    size = path.stat().st_size
    assert size > 150e6
    store.add(checkpoint, model_type="other", name="small")
    if kind == "safetensors":
        store.add(path, model_type="other", name="middling")
    big = "middling" if kind == "safetensors" else str(path)
    arguments = [sys.executable, "-c", _LOAD, str(store.registry.root), "small", big]
    told = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert int(told.stdout) <= 1.2 * size


def test_a_checkpoint_beside_other_things_is_refused(store, checkpoint, tiny_sam):
    torch.save({"model": tiny_sam.state_dict(), "epoch": 3}, checkpoint)
    with pytest.raises(CheckpointError, match="something else"):
        store.add(checkpoint, model_type="other")


def test_a_safetensors_file_can_be_taken_in_too(store, tmp_path, tiny_sam):
    path = tmp_path / "sam.safetensors"
    write_safetensors(path, tiny_sam.state_dict())
    card = store.add(path, model_type="other")
    assert card.name == "sam"
    assert read_json(card.path.parent / "card.json")["sha256"] == card.sha256
