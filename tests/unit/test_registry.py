"""Models are found by name or path, and only safe, fitting files are loaded."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from bomb import Bomb
from tiny import TINY, randomise

from napari_glmedsa.adapters import tensors_sha256
from napari_glmedsa.errors import (
    AdapterMismatchError,
    CheckpointError,
    ModelNotFoundError,
    RegistryError,
)
from napari_glmedsa.files import read_json, sha256_file, write_json
from napari_glmedsa.inference import Prompts, build_sam
from napari_glmedsa.inference.preprocess import model_input
from napari_glmedsa.registry import (
    DEFAULT_MODEL,
    ModelRegistry,
    ModelSpec,
    default_root,
    write_base,
)
from napari_glmedsa.store.recognition import inherited_facts

CPU = torch.device("cpu")


def test_a_spec_is_written_as_base_plus_adapter(tmp_path, monkeypatch):
    assert str(ModelSpec("a", "b")) == "a+b"
    assert ModelSpec.parse("a+b") == ModelSpec("a", "b")
    assert ModelSpec.parse("a") == ModelSpec("a")
    monkeypatch.chdir(tmp_path)
    Path("my+base.pth").touch()
    assert ModelSpec.parse("my+base.pth") == ModelSpec("my+base.pth")
    for text in ("", "+b", "a+"):
        with pytest.raises(ModelNotFoundError, match=r"BASE\+ADAPTER"):
            ModelSpec.parse(text)


def test_the_root_is_the_users_choice_or_the_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.delenv("NAPARI_GLMEDSA_HOME")
    assert default_root().name == "napari-glmedsa"


def test_the_built_in_model_is_there_without_any_root(tmp_path):
    registry = ModelRegistry(tmp_path / "nowhere")
    assert registry.specs()[0] == DEFAULT_MODEL
    assert registry.broken() == {}
    base = next(card for card in registry.bases() if card.name == DEFAULT_MODEL.base)
    adapter = next(c for c in registry.adapters() if c.name == DEFAULT_MODEL.adapter)
    assert base.installed
    assert "research" in base.licence
    assert "research" in adapter.licence
    assert adapter.config.sites == ("attn", "mlp", "block")
    weights = Path(base.path).parents[2].rglob("*.safetensors")
    assert sum(path.stat().st_size for path in weights) <= 40e6


def test_models_of_a_root_are_listed_and_loaded(registry, image):
    specs = registry.specs()
    assert specs[0] == DEFAULT_MODEL
    assert ModelSpec("sam_tiny", "tiny_adapter") in specs
    assert ModelSpec("sam_tiny") in specs
    assert [card.name for card in registry.adapters("sam_tiny")] == ["tiny_adapter"]
    answers = []
    for adapter in (None, "tiny_adapter"):
        predictor = registry.load(ModelSpec("sam_tiny", adapter), device=CPU)
        prompts = Prompts([[30, 20]], [1])
        answers.append(predictor.predict(predictor.encode(image), prompts))
    assert answers[0].embedding_key != answers[1].embedding_key
    assert not torch.equal(answers[0].low_res_logits, answers[1].low_res_logits)


def test_files_work_as_well_as_names(registry, tmp_path, tiny_sam, image):
    checkpoint = tmp_path / "folder with späces" / "sam.pth"
    checkpoint.parent.mkdir()
    torch.save(tiny_sam.state_dict(), checkpoint)
    adapter = registry.root / "adapters" / "tiny_adapter" / "adapter.safetensors"
    by_file = registry.load(ModelSpec(str(checkpoint), str(adapter)), device=CPU)
    by_name = registry.load(ModelSpec("sam_tiny", "tiny_adapter"), device=CPU)
    assert by_file.fingerprint == by_name.fingerprint
    expected = by_name.encode(image).features
    assert torch.equal(by_file.encode(image).features, expected)


def test_unknown_models_are_answered_with_what_there_is(registry):
    with pytest.raises(ModelNotFoundError, match="sam_tiny"):
        registry.load(ModelSpec("sam_vit_x"), device=CPU)
    with pytest.raises(ModelNotFoundError, match="tiny_adapter"):
        registry.load(ModelSpec("sam_tiny", "nothing"), device=CPU)


def test_an_adapter_of_another_base_is_neither_offered_nor_loaded(registry):
    other = randomise(build_sam(TINY), seed=7)
    write_base(registry.root / "base" / "sam_tiny", other.state_dict())
    specs = registry.specs()
    assert ModelSpec("sam_tiny", "tiny_adapter") not in specs
    assert ModelSpec("sam_tiny") in specs
    with pytest.raises(AdapterMismatchError, match="another base model"):
        registry.load(ModelSpec("sam_tiny", "tiny_adapter"), device=CPU)


def test_weights_that_differ_from_their_card_are_refused(registry, tiny_sam):
    path = registry.root / "base" / "sam_tiny" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(RegistryError, match="damaged"):
        registry.load_sam("sam_tiny", device=CPU)


def test_a_base_is_named_by_its_tensors_not_by_its_file(tmp_path, tiny_sam):
    card = write_base(tmp_path / "base" / "x", tiny_sam.state_dict(), licence="free")
    assert card.sha256 == tensors_sha256(tiny_sam.state_dict())
    assert (card.name, card.licence, card.description) == ("x", "free", "")
    assert card.bytes > 0


@pytest.mark.parametrize("name", ["evil.pth", "evil.safetensors"])
def test_a_malicious_pickle_is_refused_and_never_run(registry, tmp_path, name):
    witness, path = tmp_path / "witness", tmp_path / name
    if name.endswith("pth"):
        torch.save({"weights": Bomb(witness)}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb(witness)))
    with pytest.raises(CheckpointError):
        registry.load_sam(str(path), device=CPU)
    assert not witness.exists()


def test_files_that_hold_no_sam_are_one_sentence(registry, tmp_path):
    path = tmp_path / "weights.pth"
    for content in (b"", b"not weights", b"\x80\x02."):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"weights\.pth"):
            registry.load_sam(str(path), device=CPU)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="something else"):
        registry.load_sam(str(path), device=CPU)
    torch.save({"conv": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not the weights"):
        registry.load_sam(str(path), device=CPU)


def test_one_broken_adapter_does_not_hide_the_others(registry):
    folder = registry.root / "adapters"
    (folder / "torn").mkdir()
    (folder / "torn" / "adapter.safetensors").write_bytes(b"half a file")
    (folder / "tiny_adapter").rename(folder / "renamed")
    names = [card.name for card in registry.adapters()]
    assert DEFAULT_MODEL.adapter in names
    assert "torn" not in names
    assert set(registry.broken()) == {"torn", "renamed"}
    assert "rename" in registry.broken()["renamed"]


def test_a_damaged_base_card_says_which_file_and_hides_nothing_else(registry):
    (registry.root / "base" / "sam_tiny" / "card.json").write_text("{")
    assert "card.json" in registry.broken_bases()["sam_tiny"]
    assert registry.specs()[0] == DEFAULT_MODEL
    with pytest.raises(RegistryError, match=r"card\.json"):
        registry.load_sam("sam_tiny", device=CPU)


def test_a_weights_file_of_another_length_is_broken_not_installed(registry):
    path = registry.root / "base" / "sam_tiny" / "model.safetensors"
    whole = path.read_bytes()
    for content in (whole[:-1], b""):
        path.write_bytes(content)
        assert "sam_tiny" in registry.broken_bases()
        assert ModelSpec("sam_tiny") not in registry.specs()
        with pytest.raises(RegistryError, match="install it again"):
            registry.load_sam("sam_tiny", device=CPU)
    path.unlink()
    assert "is missing" in registry.broken_bases()["sam_tiny"]


def test_official_models_are_known_before_they_are_there(registry):
    known = {card.name: card for card in registry.bases()}
    for name, size in (
        ("sam_vit_b", 375042383),
        ("sam_vit_l", 1249524607),
        ("sam_vit_h", 2564550879),
        ("medsam_vit_b", 375049145),
    ):
        card = known[name]
        assert (card.state, card.full_bytes) == ("available", size)
        assert card.url.startswith("https://")
        assert card.url.endswith(card.facts["file"])
        assert len(card.facts["file_sha256"]) == 64
        assert card.licence
        assert card.facts["citation"]
        assert ModelSpec(name) not in registry.specs()
        with pytest.raises(ModelNotFoundError, match=f"models download {name}"):
            registry.load_sam(name, device=CPU)


def test_an_adapter_whose_base_can_be_downloaded_is_offered_for_that(
    registry, tmp_path
):
    base = registry.root / "base" / "sam_tiny"
    (base / "model.safetensors").unlink()
    assert registry.specs_to_download() == []
    card = read_json(base / "card.json")
    source = {"url": "http://127.0.0.1/sam.pth", "file_sha256": "0" * 64}
    write_json(base / "card.json", {**card, **source})
    wanted = ModelSpec("sam_tiny", "tiny_adapter")
    assert registry.specs_to_download() == [wanted]
    assert wanted not in registry.specs()


def test_models_of_a_shared_folder_are_used_where_they_lie(
    registry, tmp_path, monkeypatch, image
):
    own = ModelRegistry(tmp_path / "own", [tmp_path / "nothing", registry.root])
    spec = ModelSpec("sam_tiny", "tiny_adapter")
    assert spec in own.specs()
    assert own.load(spec, device=CPU).encode(image)
    assert not own.root.exists()
    monkeypatch.setenv("NAPARI_GLMEDSA_SHARED", f"{tmp_path / 'x'}{os.pathsep}")
    assert ModelRegistry(tmp_path / "own").shared == (tmp_path / "x",)
    # What cannot be loaded hides nothing that can be.
    (own.root / "base" / "sam_tiny").mkdir(parents=True)
    write_json(own.root / "base" / "sam_tiny" / "card.json", {"file": "x"})
    assert spec in own.specs()


def test_an_official_file_beside_its_card_is_used_if_its_hash_agrees(
    tmp_path, tiny_sam
):
    folder = tmp_path / "base" / "sam_x"
    folder.mkdir(parents=True)
    path = folder / "sam_x.pth"
    torch.save(tiny_sam.state_dict(), path)
    facts = {"file": path.name, "url": "https://x.org/y", "bytes": path.stat().st_size}
    write_json(folder / "card.json", {**facts, "file_sha256": sha256_file(path)})
    registry = ModelRegistry(tmp_path)
    assert registry.load_sam("sam_x", device=CPU)
    write_json(folder / "card.json", {**facts, "file_sha256": "0" * 64})
    with pytest.raises(RegistryError, match="damaged"):
        registry.load_sam("sam_x", device=CPU)


def test_the_built_in_model_finds_a_drawn_lesion(tmp_path):
    from napari_glmedsa.evaluation import dice
    from napari_glmedsa.samples import draw_lesion

    lesion = draw_lesion(seed=0)
    predictor = ModelRegistry(tmp_path).load(DEFAULT_MODEL, device=CPU)
    rows, columns = np.nonzero(lesion.mask)
    prompts = Prompts([[columns.mean(), rows.mean()]], [1])
    prediction = predictor.predict(predictor.encode(lesion.image), prompts)
    assert dice(prediction.mask, lesion.mask) > 0.8


def test_a_base_is_shown_images_as_in_its_own_training(registry, image):
    known = {card.name: card for card in registry.bases()}
    wanted = known["medsam_vit_b"].facts["input"]
    assert set(wanted) == {"minmax_input", "bicubic_resize"}
    assert inherited_facts(known["medsam_vit_b"])["input"] == wanted
    assert "input" not in known["sam_vit_b"].facts
    plain = registry.load(ModelSpec("sam_tiny"), device=CPU)
    path = registry.root / "base" / "sam_tiny" / "card.json"
    card = read_json(path)
    write_json(path, {**card, "input": wanted})
    own = registry.load(ModelSpec("sam_tiny"), device=CPU)
    wide = image[:40]
    tensor, size = model_input(own.sam, wide)
    assert size == (64, 64)
    assert (tensor.min(), tensor.max()) == (0, 1)
    assert model_input(plain.sam, wide)[1] != size
    adapted = registry.load(ModelSpec("sam_tiny", "tiny_adapter"), device=CPU)
    assert model_input(adapted.sam, wide)[1] != size  # its card says nothing of it
    for odd in (["upside_down"], ["minmax_input", "unit_range_input"]):
        write_json(path, {**card, "input": odd})
        with pytest.raises(RegistryError, match=odd[-1]):
            registry.load(ModelSpec("sam_tiny"), device=CPU)
