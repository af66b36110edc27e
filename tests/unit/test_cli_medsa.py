"""`glmedsa models import-medsa` and `export-medsa` guess nothing and lose nothing."""

import json

import numpy as np
import pytest
import torch
from bomb import Bomb
from command import glmedsa, is_one_sentence
from medsa import LAYOUTS, adapters_only, medsa_state, without
from tiny import TINY

from napari_glmedsa.adapters import Compat, read_card
from napari_glmedsa.adapters.compat import RELEASE_2024_06
from napari_glmedsa.inference import Prompts, build_sam
from napari_glmedsa.inference.weights import read_weights
from napari_glmedsa.registry import ModelSpec, write_base

CPU = torch.device("cpu")
PRESET = ("--preset", "medsa-2024-06")
OPTIONS = ("--input-range", "normalised", "--point-order", "xy", "--resize", "square")


@pytest.fixture
def state(tiny_sam):
    return medsa_state(tiny_sam)


@pytest.fixture
def bring(registry, monkeypatch, capsys, tmp_path):
    """Writes a state dict and imports it; keeps the registry and the file."""
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(registry.root))

    def run(tensors, *arguments, base="sam_tiny", name="imported", file=None):
        path = file or tmp_path / "checkpoint.pth"
        if tensors is not None:
            torch.save(tensors, path)
        where = ("models", "import-medsa", path, "--base", base, "--name", name)
        return glmedsa(capsys, *where, *arguments)

    run.registry = registry
    return run


def card_of(bring, name="imported"):
    return read_card(bring.registry.adapter_path(name))


def test_a_checkpoint_is_imported_with_the_presets_switches(bring, state, image):
    outcome = bring(state, *PRESET)
    assert outcome.code == 0, outcome.err
    assert "sam_tiny+imported is installed" in outcome.out
    assert "over depth" in outcome.err
    card = card_of(bring)
    assert card.config.compat == RELEASE_2024_06
    assert card.preprocess["range"] == "0..1"
    assert card.preprocess["point_order"] == "y, x"
    assert card.preprocess["image_size"] == 64
    assert "stretched" in card.preprocess["resize"]
    predictor = bring.registry.load(ModelSpec("sam_tiny", "imported"), device=CPU)
    embedding = predictor.encode(image)
    assert embedding.input_size == (64, 64)
    prompts = Prompts(np.array([[60.0, 10.0]]), np.array([1]))
    assert predictor.predict(embedding, prompts).mask.shape == image.shape[:2]
    name = "mask_decoder.transformer.layers.0.mlp.fc.bias"
    layer = predictor.sam.mask_decoder.transformer.layers[0]
    assert torch.equal(layer.mlp.lin2.bias, state[name])


def test_nothing_is_guessed_about_the_input(bring, state):
    outcome = bring(state, "--resize", "square")
    assert outcome.code == 2
    assert is_one_sentence(outcome.err)
    for word in ("--input-range", "--point-order", "--preset"):
        assert word in outcome.err
    assert "--resize" not in outcome.err
    assert not list((bring.registry.root / "adapters").glob("imported*"))


def test_options_say_it_too_and_override_a_preset(bring, state):
    assert bring(state, *OPTIONS).code == 0
    found = card_of(bring).config.compat
    assert (found.unit_range_input, found.swap_xy, found.square_resize) == (
        *(False, False),
        True,
    )
    assert found.drop_rel_pos  # the file's names tell
    assert bring(state, *PRESET, "--point-order", "xy", name="other").code == 0
    other = card_of(bring, "other").config.compat
    assert not other.swap_xy
    assert other.unit_range_input


def test_adapters_alone_are_imported_with_the_bases_decoder_and_a_warning(bring, state):
    zoo = adapters_only(state)
    refused = bring(zoo, *OPTIONS, "--image-size", 64)
    assert refused.code == 2
    assert "adapters alone" in refused.err
    outcome = bring(zoo, *PRESET)
    assert outcome.code == 0
    assert "do not hold" in outcome.err
    assert "64 pixels" in outcome.err
    config = card_of(bring).config
    assert not config.compat.medsa_decoder
    assert config.compat.drop_rel_pos
    assert config.compat.norm_after_pad
    assert bring(zoo, "--preset", "paper", name="faithful").code == 0
    faithful = card_of(bring, "faithful").config
    assert faithful.compat == Compat()
    assert faithful.activation == "relu"


def test_the_size_of_the_input_is_told_by_the_file_or_asked_for(
    bring, state, tiny_sam, image
):
    """Trained at 32 pixels: position tables of that size, patch positions of SAM's."""
    small = dict(state)
    for axis in "hw":
        name = f"image_encoder.blocks.2.attn.rel_{axis}"
        small[name] = torch.zeros(2 * 2 - 1, state[name].shape[1])
    assert bring(small, *PRESET).code == 0
    assert card_of(bring).preprocess["image_size"] == 32
    predictor = bring.registry.load(ModelSpec("sam_tiny", "imported"), device=CPU)
    assert predictor.encode(image).features.shape[-2:] == (2, 2)
    wrong = bring(small, *PRESET, "--image-size", 64, name="wrong")
    assert wrong.code == 2
    assert "32 pixels" in wrong.err
    odd = bring(adapters_only(state), *PRESET, "--image-size", 40, name="odd")
    assert odd.code == 2
    assert "multiple of 16" in odd.err


def test_another_base_is_noticed(bring, state, registry):
    torch.manual_seed(9)
    write_base(registry.root / "base" / "sam_other", build_sam(TINY).state_dict())
    outcome = bring(state, *PRESET, base="sam_other")
    assert outcome.code == 2
    assert "was not trained from sam_other" in outcome.err
    assert is_one_sentence(outcome.err)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--preset", "mine"), "no preset"),
        ((*PRESET, "--point-order", "zx"), "--point-order must be"),
        ((*PRESET, "--resize", "round"), "--resize must be"),
    ],
)
def test_words_without_meaning_are_one_sentence(bring, state, arguments, sentence):
    outcome = bring(state, *arguments)
    assert outcome.code == 2
    assert sentence in outcome.err
    assert is_one_sentence(outcome.err)


def test_files_that_cannot_be_imported_are_one_sentence(
    bring, state, tiny_sam, tmp_path
):
    for tensors, sentence in (
        (tiny_sam.state_dict(), "no Med-SA adapters"),
        ({7: torch.ones(1)}, "something else than named weights"),
        ({"state_dict": {"a": 1}}, "something else than named weights"),
        (without(state, lambda n: n.endswith("mask_tokens.weight")), "not one of SAM"),
    ):
        outcome = bring(tensors, *PRESET)
        assert outcome.code == 2
        assert sentence in outcome.err
        assert is_one_sentence(outcome.err)
    outcome = bring(None, *PRESET, file=tmp_path / "nothing.pth")
    assert "no file" in outcome.err
    assert not list((bring.registry.root / "adapters").glob("imported*"))


@pytest.mark.parametrize("old", [False, True])
def test_program_code_in_a_training_checkpoint_is_never_run(
    bring, state, tmp_path, old
):
    witness = tmp_path / "witness"
    path = tmp_path / "checkpoint.pth"
    held = {"state_dict": state, "path_helper": Bomb(witness)}
    torch.save(held, path, _use_new_zipfile_serialization=not old)
    outcome = bring(None, *PRESET, file=path)
    assert outcome.code == 2
    assert "never run" in outcome.err
    assert is_one_sentence(outcome.err)
    path.rename(renamed := path.with_suffix(".safetensors"))
    assert bring(None, *PRESET, file=renamed).code == 2
    assert not witness.exists()
    assert not list((bring.registry.root / "adapters").glob("imported*"))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_was_imported_is_exported_bit_equal(
    bring, tiny_sam, tmp_path, capsys, layout, wrapped
):
    """P13, through files: a training checkpoint of several GPUs, and a bare one."""
    state = medsa_state(tiny_sam, layout=layout)
    given = {f"module.{n}": t for n, t in state.items()} if wrapped else state
    file = {"epoch": 3, "state_dict": given, "path_helper": {"prefix": "logs"}}
    assert bring(file if wrapped else given, *PRESET).code == 0
    for ending in ("pth", "safetensors"):
        target = tmp_path / f"back.{ending}"
        outcome = glmedsa(capsys, "models", "export-medsa", "imported", target)
        assert outcome.code == 0, outcome.err
        assert outcome.err == ""
        same(read_weights(target), without(state, lambda n: "Depth_Adapter" in n))


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_adapters_alone_are_exported_alone(bring, state, tmp_path, capsys):
    assert bring(adapters_only(state), *PRESET).code == 0
    target = tmp_path / "zoo.pth"
    assert glmedsa(capsys, "models", "export-medsa", "imported", target).code == 0
    expected = without(adapters_only(state), lambda n: "Depth_Adapter" in n)
    same(read_weights(target), expected)


def test_exporting_what_med_sa_does_not_know_is_said(bring, tmp_path, capsys):
    target = tmp_path / "ours.pth"
    outcome = glmedsa(capsys, "models", "export-medsa", "tiny_adapter", target)
    assert outcome.code == 0
    for word in ("global adapters", "GELU", "before the norm"):
        assert word in outcome.err
    assert "image_encoder.blocks.0.block.up.bias" in read_weights(target)
    refused = glmedsa(
        capsys, "models", "export-medsa", "tiny_adapter", tmp_path / "a.x"
    )
    assert refused.code == 2
    assert "must end in" in refused.err


def test_the_list_of_models_says_where_it_came_from(bring, state, capsys):
    assert bring(state, *PRESET).code == 0
    outcome = glmedsa(capsys, "models", "list", "--json")
    cards = json.loads(outcome.out)["adapters"]
    (card,) = [card for card in cards if card["name"] == "imported"]
    assert card["training"]["imported"]["file"] == "checkpoint.pth"
    assert card["description"] == "Med-SA adapters imported from checkpoint.pth"
    assert "imported from" in glmedsa(capsys, "models", "list").out
