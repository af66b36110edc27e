"""Med-SA checkpoints: read, computed as the release did, and written back bit-equal.

P12: the golden encoder. P13: the round trip of the converter.
"""

from functools import partial
from pathlib import Path

import pytest
import torch
from medsa import LAYOUTS, adapters_only, medsa_state, without
from safetensors import safe_open
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import window_partition, window_unpartition
from segment_anything.modeling.transformer import TwoWayAttentionBlock
from torch import nn

from napari_glmedsa.adapters import (
    Compat,
    GLMedSAConfig,
    adapter_state_dict,
    apply_compat,
    from_medsa,
    inject_adapters,
    load_adapter_state_dict,
    remove_adapters,
    to_medsa,
)
from napari_glmedsa.adapters.medsa import read_medsa
from napari_glmedsa.errors import CheckpointError
from napari_glmedsa.inference import SamArchitecture, build_sam, fuse_attention

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(size):
    """Return a golden encoder's header, state dict, input and output."""
    with safe_open(GOLDEN / f"medsa_encoder_{size}.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = file.metadata()
    state = {
        name.removeprefix("state_dict."): tensor
        for name, tensor in tensors.items()
        if name.startswith("state_dict.")
    }
    return header, state, tensors["input"], tensors["output"]


def imported_encoder(header, state, *, compat=None):
    """Build the encoder that a golden file describes, from its converted tensors."""
    base, adapters, config = from_medsa(state)
    number = {key: int(v) for key, v in header.items() if v.isdecimal()}
    encoder = ImageEncoderViT(
        img_size=number["image_size"],
        patch_size=number["patch_size"],
        embed_dim=number["embed_dim"],
        depth=number["depth"],
        num_heads=number["num_heads"],
        mlp_ratio=number["mlp_ratio"],
        out_chans=number["out_chans"],
        norm_layer=partial(nn.LayerNorm, eps=float(header["norm_eps"])),
        use_rel_pos=True,
        window_size=number["window_size"],
        global_attn_indexes=(number["global_attn_indexes"],),
    ).eval()
    own = {name.removeprefix("image_encoder."): t for name, t in base.items()}
    encoder.load_state_dict(own)
    if compat is not None:
        config = GLMedSAConfig(
            config.sites, config.bottleneck_ratio, activation="gelu", compat=compat
        )
    inject_adapters(encoder, config)
    load_adapter_state_dict(encoder, adapters)
    return encoder


@pytest.mark.parametrize("size", [128, 224])
@pytest.mark.parametrize("fused", [False, True])
def test_the_imported_encoder_computes_what_the_release_did(size, fused):
    """P12."""
    header, state, image, expected = golden(size)
    encoder = imported_encoder(header, state)
    if fused:
        fuse_attention(encoder)
    with torch.inference_mode():
        result = encoder(image)
    assert (result - expected).abs().max() <= 1e-5 * expected.abs().max()


@torch.inference_mode()
def test_without_the_switches_the_import_is_right_by_sam_and_so_differs():
    header, state, image, expected = golden(128)
    result = imported_encoder(header, state, compat=Compat())(image)
    assert (result - expected).abs().max() > 1e-2
    header, state, image, expected = golden(224)  # whole windows: nothing to pad
    result = imported_encoder(header, state, compat=Compat())(image)
    assert (result - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("size", [128, 224])
def test_the_golden_state_comes_back_bit_equal(size):
    _, state, _, _ = golden(size)
    assert_same(to_medsa(*from_medsa(state)), state)


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype
        assert torch.equal(ours[name], tensor), name


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_release_comes_back_bit_equal_but_for_the_depth(tiny_sam, layout, prefix):
    """P13."""
    state = medsa_state(tiny_sam, layout=layout)
    given = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    base, adapters, config = from_medsa(given)
    assert base.keys() == tiny_sam.state_dict().keys()
    assert len(adapters) == 3 * 2 * 4
    assert config.compat.medsa_layout == layout
    expected = without(state, lambda name: "Depth_Adapter" in name)
    assert_same(to_medsa(base, adapters, config), expected)


@pytest.mark.parametrize(
    ("layout", "switches"),
    [
        ("2023", (False, True, False)),
        ("2024-01-03", (False, True, True)),
        ("2024-01-29", (True, True, True)),
    ],
)
def test_a_release_is_told_by_its_names_and_gets_its_switches(
    tiny_sam, layout, switches
):
    _, _, config = from_medsa(medsa_state(tiny_sam, layout=layout))
    found = config.compat
    assert (found.drop_rel_pos, found.norm_after_pad, found.medsa_decoder) == switches
    # no file says anything about its input
    inputs = (found.unit_range_input, found.swap_xy, found.square_resize)
    assert inputs == (False, False, False)
    assert (config.sites, config.bottleneck_ratio) == (("attn", "mlp"), 0.25)
    assert (config.activation, config.mlp_scale, config.init) == ("gelu", 0.5, "medsa")
    assert config.blocks == "all"


def test_vit_b_has_144_adapter_tensors_of_which_96_are_for_pictures():
    """P13 at the size of the Adapter Zoo's files: 10,651,392 values."""
    state = {}
    with torch.device("meta"):
        for block in range(12):
            for kind in ("Space", "MLP", "Depth"):
                key = f"image_encoder.blocks.{block}.{kind}_Adapter"
                state |= {
                    f"{key}.D_fc1.weight": torch.empty(192, 768),
                    f"{key}.D_fc1.bias": torch.empty(192),
                    f"{key}.D_fc2.weight": torch.empty(768, 192),
                    f"{key}.D_fc2.bias": torch.empty(768),
                }
    assert len(state) == 144
    assert sum(tensor.numel() for tensor in state.values()) == 10_651_392
    _, adapters, config = from_medsa(state)
    assert len(adapters) == 96
    assert sum(tensor.numel() for tensor in adapters.values()) == 7_100_928
    assert config.bottleneck(768) == 192


def test_what_is_left_out_is_said(tiny_sam, caplog):
    state = medsa_state(tiny_sam)
    (depth,) = read_medsa(state).notes
    assert "over depth (1,656 values)" in depth
    both = read_medsa(adapters_only(state))
    assert len(both.notes) == 2
    assert "do not hold" in both.notes[1]
    assert not both.has_decoder
    assert not both.has_encoder
    assert not both.config.compat.medsa_decoder
    from_medsa(adapters_only(state))
    assert "do not hold" in caplog.text
    whole = without(state, lambda name: "Depth_Adapter" in name)
    assert read_medsa(whole).notes == ()


def test_the_imported_model_answers_as_the_release_is_wired(tiny_sam):
    """All of it, from a file to a mask's logits, against the steps written down."""
    state = medsa_state(tiny_sam)
    base, adapters, config = from_medsa(state)
    sam = build_sam(SamArchitecture.from_state_dict(base), base)
    inject_adapters(sam.image_encoder, config)
    load_adapter_state_dict(sam.image_encoder, adapters)
    apply_compat(sam, config.compat)
    batch = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    encoder = tiny_sam.image_encoder
    with torch.no_grad():
        x = encoder.patch_embed(batch) + encoder.pos_embed
        for index, block in enumerate(encoder.blocks):
            x = release_block(block, state, f"image_encoder.blocks.{index}", x)
        expected = encoder.neck(x.permute(0, 3, 1, 2))
        result = sam.image_encoder(batch)
    assert (result - expected).abs().max() <= 1e-5 * expected.abs().max()
    layer = sam.mask_decoder.transformer.layers[1]
    name = "mask_decoder.transformer.layers.1.mlp.fc.weight"
    assert torch.equal(layer.mlp.lin2.weight, state[name])
    assert type(layer) is not TwoWayAttentionBlock


def release_block(block, state, key, x):
    """One block of the release: partition, norm, attention without positions."""

    def adapter(kind, y):
        name = f"{key}.{kind}_Adapter"
        parts = ("weight", "bias")
        down, up = ([state[f"{name}.D_fc{i}.{p}"] for p in parts] for i in (1, 2))
        hidden = nn.functional.gelu(nn.functional.linear(y, *down))
        return nn.functional.linear(hidden, *up)

    size, y, padded = x.shape[1:3], x, None
    if block.window_size:
        y, padded = window_partition(x, block.window_size)
    block.attn.use_rel_pos = False
    y = block.attn(block.norm1(y))
    y = y + adapter("Space", y)
    if block.window_size:
        y = window_unpartition(y, block.window_size, padded, size)
    x = x + y
    n = block.norm2(x)
    return x + block.mlp(n) + 0.5 * adapter("MLP", n)


def test_adapters_in_the_last_blocks_alone_are_understood(tiny_sam):
    state = without(
        medsa_state(tiny_sam), lambda name: "_Adapter" in name and ".blocks.0." in name
    )
    base, adapters, config = from_medsa(state)
    assert config.blocks == "last:2"
    assert base.keys() == tiny_sam.state_dict().keys()
    inject_adapters(tiny_sam.image_encoder, config)
    load_adapter_state_dict(tiny_sam.image_encoder, adapters)


def test_global_adapters_travel_under_our_names(tiny_sam):
    config = GLMedSAConfig(bottleneck_ratio=0.25, activation="gelu", init="medsa")
    inject_adapters(tiny_sam.image_encoder, config)
    ours = {n: t.clone() for n, t in adapter_state_dict(tiny_sam.image_encoder).items()}
    remove_adapters(tiny_sam.image_encoder)
    state = to_medsa(tiny_sam.state_dict(), ours, config)
    assert "image_encoder.blocks.2.block.up.weight" in state
    assert "image_encoder.blocks.2.Space_Adapter.D_fc2.weight" in state
    assert "image_encoder.blocks.2.attn.rel_h" in state
    base, adapters, again = from_medsa(state)
    assert again.sites == ("attn", "mlp", "block")
    assert_same(adapters, ours)
    assert_same(base, tiny_sam.state_dict())


def test_exporting_without_relative_positions_writes_zeros(tiny_sam):
    """Their loader would use what stands in the file."""
    config = GLMedSAConfig.preset("medsa-2024-06")
    state = to_medsa(tiny_sam.state_dict(), {}, config)
    tables = [t for name, t in state.items() if ".attn.rel_" in name]
    assert len(tables) == 6
    assert not any(t.any() for t in tables)
    assert tiny_sam.image_encoder.blocks[0].attn.rel_pos_h.any()


def test_files_that_are_no_med_sa_are_one_sentence(tiny_sam):
    with pytest.raises(CheckpointError, match="no Med-SA adapters"):
        from_medsa(tiny_sam.state_dict())
    state = medsa_state(tiny_sam)
    lost = "image_encoder.blocks.1.MLP_Adapter.D_fc2.bias"
    with pytest.raises(CheckpointError, match=r"blocks\.1\.mlp\.up\.bias is missing"):
        from_medsa(without(state, lambda name: name == lost))
    wide = {**state, lost.replace("2.bias", "1.weight"): torch.zeros(9, 32)}
    with pytest.raises(CheckpointError, match="widths differ"):
        from_medsa(wide)
    with pytest.raises(CheckpointError, match="not a tensor of an adapter"):
        to_medsa({}, {"neck.0.weight": torch.zeros(1)}, GLMedSAConfig())
