"""`glmedsa models` lists origins and figures, and chooses the model in use."""

import json

import pytest
from command import glmedsa, is_one_sentence

from napari_glmedsa.activation import ActiveModel
from napari_glmedsa.adapters import AdapterCard, read_card
from napari_glmedsa.adapters.card import card_header
from napari_glmedsa.errors import RegistryError
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.tensors import read_safetensors, write_safetensors

GATE = {
    "before": {"dice": [0.8, 0.85]},
    "after": {"dice": [0.9, 0.91]},
    "n": 12,
    "verdict": "not_worse",
}


@pytest.fixture
def models(registry: ModelRegistry, monkeypatch, capsys):
    """Runs `glmedsa models` on the tiny registry."""
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(registry.root))
    return lambda *arguments: glmedsa(capsys, "models", *arguments)


@pytest.fixture
def child(registry: ModelRegistry, tmp_path) -> AdapterCard:
    """An adapter in the registry as a run would leave it."""
    path = registry.adapter_path("tiny_adapter")
    card = read_card(path)
    facts = {
        **card.to_json(),
        "training": {
            "project": "moles",
            "parent": {"name": "tiny_adapter", "sha256": "ab"},
            "data": {"counts": {"train": 40}},
        },
        "metrics": {"gate": GATE},
    }
    file = tmp_path / "child.safetensors"
    header = card_header(AdapterCard.from_json(facts))
    write_safetensors(file, read_safetensors(path), metadata=header)
    return registry.add_adapter(file, name="child")


def test_the_list_shows_origin_figures_and_the_model_in_use(models, child, registry):
    ActiveModel(registry).activate(ModelSpec("sam_tiny", "child"))
    outcome = models("list")
    assert outcome.code == 0
    (line,) = [line for line in outcome.out.splitlines() if "+child" in line]
    assert line.strip().startswith("* sam_tiny+child")
    assert "40 images of moles, from tiny_adapter" in line
    assert "Dice 0.800 -> 0.900 on 12 images: not worse" in line
    assert outcome.out.count("* sam") == 1
    assert "sam_vit_mini+glmedsa_vit_mini_isic" in outcome.out


def test_the_json_is_the_whole_lineage(models, child, registry):
    document = json.loads(models("list", "--json").out)
    assert document["active"] == "sam_vit_mini+glmedsa_vit_mini_isic"
    found = {adapter["name"]: adapter for adapter in document["adapters"]}
    assert found["child"]["training"]["parent"]["name"] == "tiny_adapter"
    assert found["child"]["metrics"]["gate"]["n"] == 12
    assert found["child"]["code_version"]
    bases = {base["name"]: base for base in document["bases"]}
    assert bases["sam_tiny"]["sha256"] == found["child"]["base_sha256"]
    assert bases["sam_tiny"]["licence"] == "BSD-3"
    assert document["broken"] == {}


def test_a_broken_adapter_is_named(models, registry):
    folder = registry.root / "adapters" / "torn"
    folder.mkdir()
    (folder / "adapter.safetensors").write_bytes(b"half")
    assert "Adapter torn cannot be used" in models("list").err
    assert "torn" in json.loads(models("list", "--json").out)["broken"]


def test_a_model_is_put_into_use_and_the_former_one_comes_back(models, registry):
    outcome = models("activate", "sam_tiny+tiny_adapter")
    assert outcome.out == "sam_tiny+tiny_adapter is now in use.\n"
    assert ActiveModel(registry).current().adapter == "tiny_adapter"
    assert "is in use again" in models("rollback").out
    for arguments in (("rollback",), ("activate", "nothing"), ("activate", "a+")):
        outcome = models(*arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert is_one_sentence(outcome.err)


def test_an_adapter_is_taken_in_under_a_name_that_is_free(registry, child):
    path = registry.adapter_path("tiny_adapter")
    assert registry.adapters("sam_tiny")[0] == child
    assert read_safetensors(registry.adapter_path("child")).keys()
    for name in ("child", "glmedsa_vit_mini_isic", "../child", "a b", ".child"):
        with pytest.raises(RegistryError):
            registry.add_adapter(path, name=name)
    assert registry.new_name("tiny") == "tiny-1"
    registry.add_adapter(path, name="tiny-1")
    assert registry.new_name("tiny") == "tiny-2"
