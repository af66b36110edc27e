"""The switches: each changes what it names, works fused or not, and can be undone.

P11: the highway of the global adapters. P7 and P10 for every wiring.
"""

import copy
import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage
from segment_anything.modeling import Sam
from segment_anything.modeling.image_encoder import window_partition, window_unpartition
from tiny import TINY, train_a_little
from torch.nn import functional

from napari_glmedsa.adapters import (
    Compat,
    GLMedSAConfig,
    adapters_disabled,
    apply_compat,
    freeze_all_but_adapters,
    inject_adapters,
    input_contract,
    iter_adapters,
    remove_adapters,
    remove_compat,
)
from napari_glmedsa.adapters.compat import RELEASE_2024_06
from napari_glmedsa.inference import (
    Predictor,
    Prompts,
    SamArchitecture,
    build_sam,
    decode_masks,
    fuse_attention,
    unfuse_attention,
)
from napari_glmedsa.training.parameters import select_parameters
from napari_glmedsa.training.presets import PRESETS

LOCAL = GLMedSAConfig(("attn", "mlp"), bottleneck_ratio=0.25)
BATCH = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
MEDSAM = Compat(minmax_input=True, bicubic_resize=True)
SWITCHES = [name for name in Compat.__dataclass_fields__ if name != "medsa_layout"]


def with_switches(**switches):
    return GLMedSAConfig(LOCAL.sites, 0.25, compat=Compat(**switches))


def close(ours, theirs, relative=1e-5):
    return (ours - theirs).abs().max() <= relative * theirs.abs().max()


def test_an_old_configuration_without_the_switches_loads_with_the_defaults():
    old = {"sites": ["attn"], "bottleneck_ratio": 0.25, "mlp_scale": 0.5}
    config = GLMedSAConfig.from_json({**old, "activation": "relu", "blocks": "all"})
    assert config == GLMedSAConfig(("attn",), 0.25)
    assert config.compat == Compat()


@pytest.mark.parametrize("name", ["paper", "medsa-2024-06", "medsa-code"])
def test_presets_survive_json_and_are_what_they_say(name):
    config = GLMedSAConfig.preset(name)
    assert GLMedSAConfig.from_json(config.to_json()) == config
    if name == "paper":
        assert config == GLMedSAConfig()
    else:
        assert config.compat == RELEASE_2024_06
        on = {switch for switch in SWITCHES if getattr(config.compat, switch)}
        assert on == {*SWITCHES} - {"minmax_input", "bicubic_resize"}  # of MedSAM
        assert (config.activation, config.bottleneck(768)) == ("gelu", 192)
        assert (config.sites, config.init) == (("attn", "mlp"), "medsa")


@pytest.mark.parametrize(
    "fields",
    [
        {"global_input": "norm2"},
        {"wiring": "river"},
        {"init": "ones"},
        {"attn_scale": float("nan")},
        {"global_scale": float("inf")},
        {"compat": {"swap_xy": True}},
    ],
)
def test_a_switch_without_meaning_is_refused(fields):
    with pytest.raises(ValueError, match="must be"):
        GLMedSAConfig(**fields)


def test_unknown_presets_and_switches_are_named():
    with pytest.raises(ValueError, match="no preset 'medsa'"):
        GLMedSAConfig.preset("medsa")
    with pytest.raises(ValueError, match="rot13"):
        Compat.from_json({"rot13": True})
    with pytest.raises(ValueError, match="true or false"):
        Compat(swap_xy="yes")
    with pytest.raises(ValueError, match="medsa_layout"):
        Compat(medsa_layout="2025")


@pytest.mark.parametrize(
    "fields",
    [{}, {"wiring": "stream"}, {"global_input": "norm1"}, {"blocks": "last:1"}],
)
def test_every_wiring_starts_from_the_unchanged_encoder(tiny_sam, fields):
    """P7."""
    encoder = tiny_sam.image_encoder
    before = encoder(BATCH)
    inject_adapters(encoder, GLMedSAConfig(**fields))
    assert torch.equal(encoder(BATCH), before)
    train_a_little(tiny_sam)
    after = encoder(BATCH)
    assert not torch.allclose(after, before)
    with adapters_disabled(encoder):
        assert torch.equal(encoder(BATCH), before)
    remove_adapters(encoder)
    assert torch.equal(encoder(BATCH), before)


def test_medsa_starts_from_noise(tiny_sam):
    before = tiny_sam.image_encoder(BATCH)
    inject_adapters(tiny_sam.image_encoder, GLMedSAConfig(init="medsa"))
    assert not torch.allclose(tiny_sam.image_encoder(BATCH), before)
    for _, adapter in iter_adapters(tiny_sam.image_encoder):
        assert adapter.up.bias.abs().max() > 0


def test_the_scales_multiply_their_branches(tiny_sam):
    encoder = tiny_sam.image_encoder
    inject_adapters(encoder, GLMedSAConfig(attn_scale=0.3, global_scale=-2.0))
    train_a_little(tiny_sam)
    tokens = torch.randn(1, 4, 4, TINY.embed_dim)
    outer = encoder.blocks[2]
    expected = outer.base_layer(tokens) - 2 * outer.adapter(tokens)
    torch.testing.assert_close(outer(tokens), expected)
    attention = outer.base_layer.attn
    y = attention.base_layer(tokens)
    torch.testing.assert_close(attention(tokens), y + 0.3 * attention.adapter(y))


@pytest.mark.parametrize("compat", [Compat(), Compat(norm_after_pad=True)])
def test_the_global_adapter_can_see_the_normed_input(tiny_sam, compat):
    """P10 with g(norm1(e)), whatever happens to the norm inside the block."""
    encoder = tiny_sam.image_encoder
    norm = copy.deepcopy(encoder.blocks[0].norm1)
    inject_adapters(encoder, GLMedSAConfig(global_input="norm1", compat=compat))
    train_a_little(tiny_sam)
    tokens, outer = torch.randn(1, 4, 4, TINY.embed_dim), encoder.blocks[0]
    expected = outer.base_layer(tokens) + outer.adapter(norm(tokens))
    torch.testing.assert_close(outer(tokens), expected)


def silenced(sam):
    """A SAM whose frozen layers add nothing: attention and MLP end in zeros."""
    with torch.no_grad():
        for block in sam.image_encoder.blocks:
            for layer in (block.attn.proj, block.mlp.lin2):
                layer.weight.zero_()
                layer.bias.zero_()
    return sam.image_encoder


def stacked(encoder, batch):
    """The stack x <- x + g(x), and nothing else, between patches and neck."""
    x = encoder.patch_embed(batch) + encoder.pos_embed
    for _, adapter in iter_adapters(encoder):
        x = x + adapter(x)
    return encoder.neck(x.permute(0, 3, 1, 2))


@pytest.mark.parametrize("wiring", ["block", "stream"])
def test_the_global_adapters_are_a_highway_of_their_own(tiny_sam, wiring):
    """P11: with the frozen layers silent, nothing is left but the stack of g."""
    encoder = silenced(tiny_sam)
    inject_adapters(encoder, GLMedSAConfig(("block",), 0.5, wiring=wiring))
    train_a_little(tiny_sam)
    freeze_all_but_adapters(tiny_sam)
    result, expected = encoder(BATCH), stacked(encoder, BATCH)
    if wiring == "block":
        assert torch.equal(result, expected)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
    result.square().mean().backward()
    first = dict(iter_adapters(encoder))["blocks.0.block"]
    assert first.up.weight.grad.abs().max() > 0


def test_the_stream_passes_the_frozen_blocks_by(tiny_sam):
    """With wiring stream every g sees the stream only: out = frozen + sum of g."""
    encoder = tiny_sam.image_encoder
    inject_adapters(encoder, GLMedSAConfig(("block",), 0.5, wiring="stream"))
    train_a_little(tiny_sam)
    x = h = encoder.patch_embed(BATCH) + encoder.pos_embed
    start = h
    for outer in encoder.blocks:
        x, h = outer.base_layer(x), h + outer.adapter(h)
    expected = encoder.neck((x + h - start).permute(0, 3, 1, 2))
    torch.testing.assert_close(encoder(BATCH), expected, rtol=1e-4, atol=1e-4)


def norm_after_pad_by_hand(block, x):
    """The release's order of steps in a window block, written down."""
    size = x.shape[1:3]
    windows, padded = window_partition(x, block.window_size)
    y = block.attn(block.norm1(windows))
    x = x + window_unpartition(y, block.window_size, padded, size)
    return x + block.mlp(block.norm2(x))


@pytest.mark.parametrize("fused", [False, True])
def test_the_padding_of_windows_can_hold_the_bias_of_the_norm(tiny_sam, fused):
    """Q2."""
    encoder = tiny_sam.image_encoder
    tokens = torch.randn(2, 4, 4, TINY.embed_dim)
    block = encoder.blocks[0]
    sams, expected = block(tokens), norm_after_pad_by_hand(block, tokens)
    assert not close(sams, expected, 1e-3)
    if fused:
        fuse_attention(encoder)
    inject_adapters(encoder, with_switches(norm_after_pad=True))
    with adapters_disabled(encoder):
        assert close(encoder.blocks[0](tokens), expected, 1e-6)


@pytest.mark.parametrize("fused", [False, True])
def test_relative_positions_can_be_dropped(tiny_sam, fused):
    """Q1."""
    bare = copy.deepcopy(tiny_sam.image_encoder)
    with torch.no_grad():
        for block in bare.blocks:
            block.attn.rel_pos_h.zero_()
            block.attn.rel_pos_w.zero_()
    encoder = tiny_sam.image_encoder
    stock = encoder(BATCH)
    if fused:
        fuse_attention(encoder)
    inject_adapters(encoder, with_switches(drop_rel_pos=True))
    assert close(encoder(BATCH), bare(BATCH))
    assert not close(encoder(BATCH), stock, 1e-2)


def decode(sam, points):
    features = torch.randn(1, 32, 4, 4, generator=torch.Generator().manual_seed(1))
    coords = torch.tensor([points], dtype=torch.float32)
    return decode_masks(sam, features, coords, torch.ones(1, len(points)))[0]


def test_the_decoder_can_be_wired_as_in_the_release(tiny_sam):
    """Q4: every layer keeps its input, and positions stay in queries and values."""
    layers = tiny_sam.mask_decoder.transformer.layers
    generator = torch.Generator().manual_seed(2)
    queries, keys, query_pe, key_pe = (
        torch.randn(1, n, 32, generator=generator) for n in (6, 16, 6, 16)
    )
    expected = []
    for index, layer in enumerate(layers):
        q = queries + query_pe if index else queries
        q = layer.norm1(q + layer.self_attn(q, q, q))
        k = keys + key_pe
        q = layer.norm2(q + layer.cross_attn_token_to_image(q + query_pe, k, keys))
        q = layer.norm3(q + layer.mlp(q))
        back = layer.cross_attn_image_to_token(k, q + query_pe, q)
        expected.append((q, layer.norm4(keys + back)))
    before = decode(tiny_sam, [(20, 30)])
    apply_compat(tiny_sam, Compat(medsa_decoder=True))
    for layer, (q, k) in zip(layers, expected, strict=True):
        ours = layer(queries, keys, query_pe, key_pe)
        torch.testing.assert_close(ours, (q, k))
    assert not torch.allclose(decode(tiny_sam, [(20, 30)]), before)


def test_clicks_can_reach_the_model_as_y_then_x(tiny_sam):
    """Q13."""
    straight, turned = (decode(tiny_sam, [p]) for p in ((40, 10), (10, 40)))
    assert not torch.allclose(straight, turned)
    apply_compat(tiny_sam, Compat(swap_xy=True))
    assert torch.equal(decode(tiny_sam, [(40, 10)]), turned)
    assert torch.equal(decode(tiny_sam, [(10, 40)]), straight)


def seen_by_the_encoder(sam, image):
    seen = []
    hook = sam.image_encoder.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    embedding = Predictor(sam, fingerprint="x").encode(image)
    hook.remove()
    return seen[0], embedding


def test_pixels_can_go_from_zero_to_one_and_fill_the_square(tiny_sam, image):
    """Q12 and Q16."""
    apply_compat(tiny_sam, Compat(unit_range_input=True, square_resize=True))
    tensor, embedding = seen_by_the_encoder(tiny_sam, image)
    assert embedding.input_size == (64, 64)
    assert tensor.min() >= 0
    assert tensor.max() <= 1
    picture = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    expected = functional.interpolate(
        picture, (64, 64), mode="bilinear", antialias=True
    )
    assert (tensor * 255 - expected).abs().max() <= 1.01  # Pillow rounds
    assert tensor[..., -1, -1].abs().max() > 0  # no padding
    prompts = Prompts(np.array([[60.0, 40.0]]), np.array([1]))
    mask = Predictor(tiny_sam, fingerprint="x").predict(embedding, prompts).mask
    assert mask.shape == image.shape[:2]


def as_medsam_shows(image, side):
    """Return MedSAM's input for an image, each of its steps written out.

    Blurred as far as it shrinks, on a cubic spline, rounded down to whole numbers,
    and stretched from its darkest to its brightest value.
    """
    factors = np.array([*image.shape[:2], side]) / side
    sigma = np.maximum(0, (factors - 1) / 2)
    values = ndimage.gaussian_filter(image.astype(float), sigma, mode="mirror")
    zoomed = ndimage.zoom(values, 1 / factors, order=3, mode="mirror", grid_mode=True)
    whole = np.clip(zoomed, image.min(), image.max()).astype(np.uint8).astype(float)
    stretched = (whole - whole.min()) / max(whole.max() - whole.min(), 1e-8)
    return torch.from_numpy(stretched).float().permute(2, 0, 1)[None]


@pytest.mark.parametrize("size", [(48, 80), (200, 150), (64, 64), (30, 20)])
def test_images_can_be_shown_as_medsam_does(tiny_sam, size):
    rng = np.random.default_rng(0)
    image = rng.integers(40, 200, (*size, 3)).astype(np.uint8)
    apply_compat(tiny_sam, MEDSAM)
    tensor, embedding = seen_by_the_encoder(tiny_sam, image)
    assert embedding.input_size == (64, 64)
    assert torch.equal(tensor, as_medsam_shows(image, 64))
    assert (tensor.min(), tensor.max()) == (0, 1)


def test_an_image_of_one_brightness_is_shown_to_medsam_too(tiny_sam):
    apply_compat(tiny_sam, MEDSAM)
    tensor, _ = seen_by_the_encoder(tiny_sam, np.full((40, 50, 3), 77, np.uint8))
    assert tensor.isfinite().all()


def test_a_medsam_can_be_undone_and_described(tiny_sam):
    pixels = torch.rand(3, 48, 64) * 255
    before, contract = tiny_sam.preprocess(pixels), input_contract(tiny_sam)
    apply_compat(tiny_sam, MEDSAM)
    assert not torch.equal(tiny_sam.preprocess(pixels), before)
    told = input_contract(tiny_sam)
    assert "bicubic" in told["resize"]
    assert "darkest" in told["range"]
    assert (told["mean"], told["std"]) == ([0, 0, 0], [1, 1, 1])
    remove_compat(tiny_sam)
    assert type(tiny_sam) is Sam
    assert torch.equal(tiny_sam.preprocess(pixels), before)
    assert input_contract(tiny_sam) == contract


@pytest.mark.parametrize(
    "both",
    [("square_resize", "bicubic_resize"), ("unit_range_input", "minmax_input")],
)
def test_an_image_is_shown_in_one_way_only(both):
    with pytest.raises(ValueError, match="exclude each other"):
        Compat(**dict.fromkeys(both, True))


@pytest.mark.parametrize("fused", [False, True])
def test_all_switches_can_be_undone_bit_by_bit(tiny_sam, image, fused):
    encoder = tiny_sam.image_encoder
    before, masks = encoder(BATCH), decode(tiny_sam, [(40, 10)])
    pixels = tiny_sam.preprocess(torch.full((3, 48, 64), 99.0))
    state = {name: t.clone() for name, t in tiny_sam.state_dict().items()}
    classes = [type(module) for module in tiny_sam.modules()]
    attributes = [vars(module).keys() for module in tiny_sam.modules()]
    for _ in range(2):
        if fused:
            fuse_attention(encoder)
        inject_adapters(encoder, GLMedSAConfig(compat=RELEASE_2024_06))
        apply_compat(tiny_sam, RELEASE_2024_06)
        apply_compat(tiny_sam, RELEASE_2024_06)  # no harm
        assert not close(encoder(BATCH), before, 1e-3)
        remove_compat(tiny_sam)
        remove_adapters(encoder)
        unfuse_attention(encoder)
        assert torch.equal(encoder(BATCH), before)
        assert torch.equal(decode(tiny_sam, [(40, 10)]), masks)
        assert torch.equal(tiny_sam.preprocess(torch.full((3, 48, 64), 99.0)), pixels)
        assert [type(module) for module in tiny_sam.modules()] == classes
        assert [vars(module).keys() for module in tiny_sam.modules()] == attributes
        after = tiny_sam.state_dict()
        assert list(after) == list(state)
        assert all(torch.equal(after[name], state[name]) for name in state)


def test_the_switches_add_no_weights_and_train_none(tiny_sam):
    inject_adapters(tiny_sam.image_encoder, LOCAL)
    plain = {n.replace(".base_layer", "") for n, _ in tiny_sam.named_parameters()}
    remove_adapters(tiny_sam.image_encoder)
    inject_adapters(
        tiny_sam.image_encoder, GLMedSAConfig(("attn", "mlp"), compat=RELEASE_2024_06)
    )
    apply_compat(tiny_sam, RELEASE_2024_06)
    names = [n.replace(".base_layer", "") for n, _ in tiny_sam.named_parameters()]
    assert set(names) == plain
    assert len(names) == len(set(names))
    freeze_all_but_adapters(tiny_sam)
    tiny_sam.image_encoder(BATCH).square().mean().backward()
    for name, parameter in tiny_sam.named_parameters():
        assert (parameter.grad is not None) == (".adapter." in name), name


def test_each_switch_alone_changes_the_answer(tiny_sam, image):
    """None is a switch that does nothing."""

    def answer(**switches):
        sam = copy.deepcopy(tiny_sam)
        inject_adapters(sam.image_encoder, with_switches(**switches))
        apply_compat(sam, Compat(**switches))
        predictor = Predictor(sam, fingerprint="x")
        prompts = Prompts(np.array([[60.0, 10.0]]), np.array([1]))
        return predictor.predict(predictor.encode(image), prompts).low_res_logits

    answers = [answer(), *(answer(**{name: True}) for name in SWITCHES)]
    for one, other in itertools.combinations(answers, 2):
        assert not torch.allclose(one, other, rtol=1e-3, atol=1e-4)


def test_the_input_contract_says_what_the_switches_do(tiny_sam):
    plain = input_contract(tiny_sam)
    assert (plain["range"], plain["point_order"], plain["image_size"]) == (
        *("0..255", "x, y"),
        64,
    )
    apply_compat(tiny_sam, RELEASE_2024_06)
    release = input_contract(tiny_sam)
    assert (release["range"], release["point_order"]) == ("0..1", "y, x")
    assert release["resize"].startswith("stretched")
    assert (release["mean"], release["std"]) == ([0.0] * 3, [255.0] * 3)


def test_odd_grids_are_padded_as_the_release_does():
    """Q2 does nothing where windows fit, as at 224 pixels."""
    shape = SamArchitecture(32, 2, 2, (1,), 48, 3, 32, 64)
    torch.manual_seed(0)
    sam = build_sam(shape)
    with torch.no_grad():
        for block in sam.image_encoder.blocks:
            block.norm1.bias.normal_()
    batch = BATCH[..., :48, :48]
    before = sam.image_encoder(batch)
    inject_adapters(sam.image_encoder, with_switches(norm_after_pad=True))
    assert close(sam.image_encoder(batch), before)


def test_training_by_the_presets_of_the_release_throws_all_its_switches(tiny_sam):
    config = PRESETS["medsa-code"].config
    assert config.trains_decoder
    select_parameters(tiny_sam, config)
    assert input_contract(tiny_sam)["point_order"] == "y, x"
    assert input_contract(tiny_sam)["range"] == "0..1"
    assert not tiny_sam.image_encoder.blocks[0].attn.base_layer.use_rel_pos
