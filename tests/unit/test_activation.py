"""One model is in use; others were before it, and are a step back away."""

import shutil

import pytest

from napari_glmedsa.activation import ActiveModel
from napari_glmedsa.errors import ModelNotFoundError, RegistryError
from napari_glmedsa.registry import DEFAULT_MODEL, ModelRegistry, ModelSpec

BASE = ModelSpec("sam_tiny")
ADAPTED = ModelSpec("sam_tiny", "tiny_adapter")


def test_the_built_in_model_is_in_use_until_another_is_chosen(registry):
    active = ActiveModel(registry)
    assert active.current() == DEFAULT_MODEL
    assert not active.can_roll_back
    with pytest.raises(RegistryError, match="nothing to roll back"):
        active.roll_back()
    assert not active.path.exists()


def test_a_choice_is_seen_by_everybody_and_taken_back_step_by_step(registry):
    ActiveModel(registry).activate(BASE)
    ActiveModel(registry).activate(ADAPTED)
    other = ActiveModel(ModelRegistry(registry.root))
    assert other.current() == ADAPTED
    assert other.can_roll_back
    assert other.roll_back() == BASE
    assert other.roll_back() == DEFAULT_MODEL
    assert not other.can_roll_back


def test_choosing_the_model_in_use_again_is_no_step(registry):
    active = ActiveModel(registry)
    for _ in range(3):
        active.activate(BASE)
    assert active.roll_back() == DEFAULT_MODEL


def test_a_model_that_cannot_be_loaded_is_refused(registry):
    active = ActiveModel(registry)
    for spec in (ModelSpec("none"), ModelSpec("sam_vit_mini", "tiny_adapter")):
        with pytest.raises(ModelNotFoundError, match="sam_tiny"):
            active.activate(spec)
    assert active.current() == DEFAULT_MODEL


def test_files_can_be_in_use_as_well_as_names(registry):
    base = registry.root / "base" / "sam_tiny" / "model.safetensors"
    adapter = registry.adapter_path("tiny_adapter")
    active = ActiveModel(registry)
    for spec in (
        ModelSpec(str(base)),
        ModelSpec(str(base), str(adapter)),
        ModelSpec("sam_tiny", str(adapter)),
    ):
        active.activate(spec)
        assert active.current() == spec


def test_a_model_that_was_deleted_gives_way_to_the_one_before(registry):
    active = ActiveModel(registry)
    active.activate(BASE)
    active.activate(ADAPTED)
    shutil.rmtree(registry.root / "adapters" / "tiny_adapter")
    assert active.current() == BASE


def test_a_damaged_choice_falls_back_to_the_built_in_model(registry):
    active = ActiveModel(registry)
    active.activate(BASE)
    for text in ("{", "[]", '{"history": [1]}', '{"history": ["+"]}'):
        active.path.write_text(text)
        assert active.current() == DEFAULT_MODEL


def test_a_choice_that_cannot_be_written_is_one_sentence(registry):
    active = ActiveModel(registry)
    active.path.mkdir()
    with pytest.raises(RegistryError, match=r"active\.json"):
        active.activate(BASE)
