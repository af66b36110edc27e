"""The method: counts, identity, restoration, Eq. (1), gradients, files.

P7: nothing changes before training. P8: trainable counts. P9: gradients. P10: Eq. (1).
P18: adapter files refuse another base.
"""

import io
import pickle
from pathlib import Path

import pytest
import torch
from bomb import Bomb
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam
from tiny import TINY, randomise, train_a_little
from torch import Tensor

from napari_glmedsa.adapters import (
    AdapterCard,
    GLMedSAConfig,
    adapter_state_dict,
    adapters_disabled,
    freeze_all_but_adapters,
    inject_adapters,
    iter_adapters,
    load_adapter,
    load_adapter_state_dict,
    read_card,
    remove_adapters,
    save_adapter,
    tensors_sha256,
    unwrap,
)
from napari_glmedsa.adapters.layers import AdaptedBlock
from napari_glmedsa.errors import AdapterMismatchError, CheckpointError
from napari_glmedsa.inference import build_sam

SITES = [("attn", "mlp", "block"), ("attn", "mlp"), ("block",)]


@pytest.fixture
def batch() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("sites", "count"),
    [
        (("block",), 6_597_120),
        (("attn", "mlp"), 13_194_240),
        (("attn", "mlp", "block"), 19_791_360),
    ],
)
def test_trainable_counts_on_vit_h_are_those_of_table_one(sites, count):
    with torch.device("meta"):
        sam = sam_model_registry["vit_h"]()
        inject_adapters(sam.image_encoder, GLMedSAConfig(sites=sites))
    trainable = freeze_all_but_adapters(sam)
    assert sum(parameter.numel() for parameter in trainable) == count
    assert sum(p.numel() for p in sam.parameters() if p.requires_grad) == count
    assert sum(p.numel() for p in sam.parameters()) - count == 641_090_608


@pytest.mark.parametrize("sites", SITES)
def test_injecting_adapters_changes_nothing_before_training(tiny_sam, batch, sites):
    before = tiny_sam.image_encoder(batch)
    inject_adapters(tiny_sam.image_encoder, GLMedSAConfig(sites=sites))
    assert torch.equal(tiny_sam.image_encoder(batch), before)


@pytest.mark.parametrize("sites", SITES)
def test_removing_trained_adapters_restores_the_encoder_exactly(tiny_sam, batch, sites):
    encoder = tiny_sam.image_encoder
    before, keys = encoder(batch), list(encoder.state_dict())
    modules = {name: id(module) for name, module in encoder.named_modules()}
    inject_adapters(encoder, GLMedSAConfig(sites=sites))
    train_a_little(tiny_sam)
    assert not torch.allclose(encoder(batch), before)
    remove_adapters(encoder)
    assert torch.equal(encoder(batch), before)
    assert list(encoder.state_dict()) == keys
    assert {name: id(module) for name, module in encoder.named_modules()} == modules


def test_every_block_adds_its_global_adapter_to_the_local_output(tiny_sam, batch):
    """Paper Eq. (1): out - l == g, block by block."""
    encoder = tiny_sam.image_encoder
    inject_adapters(encoder, GLMedSAConfig())
    train_a_little(tiny_sam)
    seen = []

    def keep(block, inputs, output):
        seen.append((block, inputs[0], output))

    for block in encoder.blocks:
        assert isinstance(block, AdaptedBlock)
        block.register_forward_hook(keep)
    encoder(batch)
    assert len(seen) == TINY.depth
    for block, e_input, out in seen:
        local, global_ = block.base_layer(e_input), block.adapter(e_input)
        assert global_.abs().max() > 1e-3
        assert torch.equal(out, local + global_)
        torch.testing.assert_close(out - local, global_, rtol=1e-4, atol=1e-5)


def test_the_local_adapters_follow_the_specification(tiny_sam, batch):
    """The stock block's own steps, with A_mha in series and 0.5 A_mlp in parallel."""
    encoder = tiny_sam.image_encoder
    inject_adapters(encoder, GLMedSAConfig(sites=("attn", "mlp")))
    train_a_little(tiny_sam)
    block = encoder.blocks[TINY.global_attn_indexes[0]]  # no windows
    tokens = torch.randn(1, 4, 4, 32)
    attention = block.attn.base_layer(block.norm1(tokens))
    adapter = block.attn.adapter
    attention = attention + adapter.up(torch.relu(adapter.down(attention)))
    middle = tokens + attention
    normed = block.norm2(middle)
    parallel = block.mlp.adapter.up(torch.relu(block.mlp.adapter.down(normed)))
    expected = middle + block.mlp.base_layer(normed) + 0.5 * parallel
    torch.testing.assert_close(block(tokens), expected)


def test_adapters_can_be_switched_off_for_a_while(tiny_sam, batch):
    encoder = tiny_sam.image_encoder
    before = encoder(batch)
    inject_adapters(encoder, GLMedSAConfig())
    train_a_little(tiny_sam)
    with adapters_disabled(encoder):
        assert torch.equal(encoder(batch), before)
    assert not torch.allclose(encoder(batch), before)


def test_at_the_first_step_only_the_up_projections_get_a_gradient(tiny_sam, batch):
    inject_adapters(tiny_sam.image_encoder, GLMedSAConfig())
    parameters = freeze_all_but_adapters(tiny_sam)
    frozen = {
        name: parameter.clone()
        for name, parameter in tiny_sam.named_parameters()
        if not parameter.requires_grad
    }
    optimiser = torch.optim.SGD(parameters, lr=0.1)
    tiny_sam.image_encoder(batch).square().mean().backward()
    for _, adapter in iter_adapters(tiny_sam.image_encoder):
        assert adapter.up.weight.grad.abs().max() > 0
        assert adapter.down.weight.grad.abs().max() == 0
    optimiser.step()
    optimiser.zero_grad()
    tiny_sam.image_encoder(batch).square().mean().backward()
    for _, adapter in iter_adapters(tiny_sam.image_encoder):
        assert adapter.down.weight.grad.abs().max() > 0
    optimiser.step()
    for name, parameter in tiny_sam.named_parameters():
        if name in frozen:
            assert parameter.grad is None
            assert torch.equal(parameter, frozen[name])


def test_state_dict_keys_name_sites_and_load_back_bit_equal(tiny_sam):
    encoder = tiny_sam.image_encoder
    inject_adapters(encoder, GLMedSAConfig())
    train_a_little(tiny_sam)
    state = {key: tensor.clone() for key, tensor in adapter_state_dict(encoder).items()}
    assert len(state) == TINY.depth * 3 * 4
    assert "blocks.1.mlp.down.weight" in state
    assert "blocks.2.block.up.bias" in state
    remove_adapters(encoder)
    inject_adapters(encoder, GLMedSAConfig())
    load_adapter_state_dict(encoder, state)
    again = adapter_state_dict(encoder)
    assert all(torch.equal(again[key], state[key]) for key in state)


def test_a_state_dict_that_does_not_fit_is_refused_whole(tiny_sam):
    encoder = tiny_sam.image_encoder
    inject_adapters(encoder, GLMedSAConfig())
    own = adapter_state_dict(encoder)
    before = {key: tensor.clone() for key, tensor in own.items()}
    wrong = {key: torch.ones_like(tensor) for key, tensor in own.items()}
    wrong["blocks.1.attn.up.weight"] = torch.ones(3, 3)
    with pytest.raises(AdapterMismatchError, match=r"blocks\.1\.attn\.up\.weight"):
        load_adapter_state_dict(encoder, wrong)
    del wrong["blocks.1.attn.up.weight"]
    with pytest.raises(AdapterMismatchError, match="lacks"):
        load_adapter_state_dict(encoder, wrong)
    with pytest.raises(AdapterMismatchError, match="unexpected"):
        load_adapter_state_dict(encoder, {**own, "blocks.9.mlp.up.bias": own[min(own)]})
    after = adapter_state_dict(encoder)
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_injecting_twice_is_refused(tiny_sam):
    inject_adapters(tiny_sam.image_encoder, GLMedSAConfig())
    with pytest.raises(AdapterMismatchError, match="already"):
        inject_adapters(tiny_sam.image_encoder, GLMedSAConfig())
    assert unwrap(tiny_sam.image_encoder.blocks[0]) is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"sites": ()},
        {"sites": ("attn", "attn")},
        {"sites": ("head",)},
        {"bottleneck_ratio": 0},
        {"activation": "tanh"},
    ],
)
def test_a_configuration_without_meaning_is_refused(fields):
    with pytest.raises(ValueError, match=r"must|once"):
        GLMedSAConfig(**fields)


def test_a_configuration_survives_json():
    config = GLMedSAConfig(("mlp", "block"), 0.25, 0.1, "gelu")
    assert GLMedSAConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="Not a GL-Med-SA configuration"):
        GLMedSAConfig.from_json({"sites": ["mlp"], "colour": "red"})


def saved(folder: Path, sam: Sam, *, decoder: bool = False) -> tuple[Path, str]:
    """Save random adapters of `sam`; return the file and the base's hash."""
    base = tensors_sha256(sam.state_dict())
    config = GLMedSAConfig(bottleneck_ratio=0.5)
    inject_adapters(sam.image_encoder, config)
    train_a_little(sam)
    path = folder / "adapter.safetensors"
    card = AdapterCard("mine", "sam_tiny", base, config, metrics={"dice": [0.9]})
    save_adapter(
        path,
        sam.image_encoder,
        card,
        mask_decoder=sam.mask_decoder if decoder else None,
    )
    return path, base


def test_a_saved_adapter_gives_the_same_embedding_again(tmp_path, tiny_sam, batch):
    path, base = saved(tmp_path, tiny_sam)
    expected = tiny_sam.image_encoder(batch)
    remove_adapters(tiny_sam.image_encoder)
    card = load_adapter(path, tiny_sam, base_sha256=base)
    assert torch.equal(tiny_sam.image_encoder(batch), expected)
    assert card == read_card(path)
    assert (card.name, card.metrics, card.config.bottleneck_ratio) == (
        "mine",
        {"dice": [0.9]},
        0.5,
    )
    assert card.created
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o444 == 0o444  # a shared folder can be read by all


def test_a_trained_decoder_travels_with_the_adapters(tmp_path, tiny_sam):
    fresh = build_sam(TINY, tiny_sam.state_dict())
    base = tensors_sha256(tiny_sam.state_dict())
    randomise(tiny_sam.mask_decoder, seed=5)
    path, _ = saved(tmp_path, tiny_sam, decoder=True)
    card = read_card(path)
    inject_adapters(fresh.image_encoder, card.config)
    remove_adapters(tiny_sam.image_encoder)
    save_base = AdapterCard("mine", "sam_tiny", base, card.config)
    inject_adapters(tiny_sam.image_encoder, card.config)
    save_adapter(
        path, tiny_sam.image_encoder, save_base, mask_decoder=tiny_sam.mask_decoder
    )
    load_adapter(path, fresh, base_sha256=base)
    expected = tiny_sam.mask_decoder.state_dict()
    for name, tensor in fresh.mask_decoder.state_dict().items():
        assert torch.equal(tensor, expected[name])


def test_an_adapter_of_another_base_is_refused_by_hash(tmp_path, tiny_sam, batch):
    path, _ = saved(tmp_path, tiny_sam)
    other = randomise(build_sam(TINY), seed=9)
    before = other.image_encoder(batch)
    with pytest.raises(AdapterMismatchError, match="another base model"):
        load_adapter(path, other, base_sha256=tensors_sha256(other.state_dict()))
    assert torch.equal(other.image_encoder(batch), before)


def test_the_hash_of_tensors_survives_saving_in_another_format(tiny_sam):
    state = tiny_sam.state_dict()
    stream = io.BytesIO()
    torch.save(dict(reversed(list(state.items()))), stream)
    stream.seek(0)
    again = torch.load(stream, weights_only=True)
    assert tensors_sha256(again) == tensors_sha256(state)
    first = min(again)
    again[first] = again[first] + 1e-3
    assert tensors_sha256(again) != tensors_sha256(state)


def test_a_pickle_named_safetensors_is_refused_and_never_unpickled(tmp_path):
    path, witness = tmp_path / "adapter.safetensors", tmp_path / "witness"
    path.write_bytes(pickle.dumps(Bomb(witness)))
    with pytest.raises(CheckpointError, match="never opened"):
        read_card(path)
    assert not witness.exists()


def test_missing_damaged_foreign_and_newer_files_get_one_sentence(tmp_path, tiny_sam):
    from safetensors.torch import save_file

    with pytest.raises(CheckpointError, match="no file"):
        read_card(tmp_path / "nothing.safetensors")
    path, _ = saved(tmp_path, tiny_sam)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="not a readable safetensors"):
        read_card(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not a GL-Med-SA adapter"):
        read_card(path)
    newer = {"format": "glmedsa-adapter", "format_version": "99", "card": "{}"}
    save_file({"x": torch.zeros(1)}, path, metadata=newer)
    with pytest.raises(CheckpointError, match="update napari-glmedsa"):
        read_card(path)
    save_file({"x": torch.zeros(1)}, path, metadata={**newer, "format_version": "1"})
    with pytest.raises(CheckpointError, match="damaged"):
        read_card(path)


def test_an_encoder_without_adapters_has_nothing_to_save(tmp_path, tiny_sam):
    card = AdapterCard("none", "sam_tiny", "0" * 64, GLMedSAConfig())
    with pytest.raises(CheckpointError, match="no adapter"):
        save_adapter(tmp_path / "a.safetensors", tiny_sam.image_encoder, card)
    assert not list(tmp_path.iterdir())
