"""Fused attention is SAM's attention, forwards and backwards.

P1 and P14: the same numbers, whatever makes it fast.
"""

import copy

import pytest
import torch
from tiny import train_a_little

from napari_glmedsa.adapters import (
    GLMedSAConfig,
    adapter_state_dict,
    freeze_all_but_adapters,
    inject_adapters,
    iter_adapters,
    remove_adapters,
    unwrap,
)
from napari_glmedsa.inference import (
    attention,
    fuse_attention,
    grid_attention,
    unfuse_attention,
)
from napari_glmedsa.inference.grid_attention import attend

SITES = [("attn", "mlp", "block"), ("attn", "mlp"), ("attn",), ("mlp",), ("block",)]


@pytest.fixture
def batch():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def close(ours, theirs, relative):
    return (ours - theirs).abs().max() <= relative * theirs.abs().max()


@pytest.mark.parametrize("band", [1, 9, 1024])
@pytest.mark.parametrize("kept", [0, 2**23])
def test_fused_blocks_give_the_stock_embedding_and_gradients(
    tiny_sam, batch, band, kept, monkeypatch
):
    """However many tokens, or rows of windows, are worked on at a time."""
    monkeypatch.setattr(attention, "_BAND", band)
    monkeypatch.setattr(grid_attention, "_KEPT", kept)
    stock = tiny_sam.image_encoder
    fused = copy.deepcopy(stock)
    fuse_attention(fused)
    expected, result = stock(batch), fused(batch)
    assert close(result, expected, 1e-5)
    expected.square().mean().backward()
    result.square().mean().backward()
    ours = dict(fused.named_parameters())
    for name, parameter in stock.named_parameters():
        assert close(ours[name].grad, parameter.grad, 1e-4), name


def test_without_gradients_the_embedding_is_the_stock_one_too(tiny_sam, batch):
    encoder = tiny_sam.image_encoder
    expected = encoder(batch).detach()
    fuse_attention(encoder)
    with torch.inference_mode():
        assert close(encoder(batch), expected, 1e-5)
    with torch.no_grad():
        assert close(encoder(batch), expected, 1e-5)


def test_weights_keep_their_names_and_values(tiny_sam):
    encoder = tiny_sam.image_encoder
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    fuse_attention(encoder)
    after = encoder.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_new_weights_count_at_once(tiny_sam, batch):
    encoder = tiny_sam.image_encoder
    twin = copy.deepcopy(encoder)
    fuse_attention(encoder)
    with torch.no_grad():
        encoder(batch)
        for parameter in twin.parameters():
            parameter.mul_(1.1)
        encoder.load_state_dict(twin.state_dict())
        assert close(encoder(batch), twin(batch), 1e-5)


@pytest.mark.parametrize("fused_first", [True, False])
@pytest.mark.parametrize("sites", SITES, ids="+".join)
def test_adapters_work_with_fused_attention(tiny_sam, batch, sites, fused_first):
    stock = tiny_sam
    inject_adapters(stock.image_encoder, GLMedSAConfig(sites, bottleneck_ratio=0.25))
    train_a_little(stock)
    fused = copy.deepcopy(stock)
    if fused_first:
        remove_adapters(fused.image_encoder)
        fuse_attention(fused.image_encoder)
        inject_adapters(
            fused.image_encoder, GLMedSAConfig(sites, bottleneck_ratio=0.25)
        )
        fused.load_state_dict(stock.state_dict())
    else:
        fuse_attention(fused.image_encoder)
    names = [name for name, _ in iter_adapters(stock.image_encoder)]
    assert [name for name, _ in iter_adapters(fused.image_encoder)] == names
    for sam in (stock, fused):
        freeze_all_but_adapters(sam)
    expected, result = stock.image_encoder(batch), fused.image_encoder(batch)
    assert close(result, expected, 1e-5)
    expected.square().mean().backward()
    result.square().mean().backward()
    ours = dict(fused.named_parameters())
    for name, parameter in stock.named_parameters():
        if parameter.requires_grad:
            assert close(ours[name].grad, parameter.grad, 1e-4), name
        else:
            assert ours[name].grad is None, name


def test_what_was_fused_becomes_stock_again(tiny_sam, batch):
    encoder = tiny_sam.image_encoder
    before = encoder(batch)
    classes = [type(module) for module in encoder.modules()]
    fuse_attention(encoder)
    fuse_attention(encoder)  # no harm
    assert not torch.equal(encoder(batch), before)
    inject_adapters(encoder, GLMedSAConfig())
    unfuse_attention(encoder)
    assert torch.equal(encoder(batch), before)
    remove_adapters(encoder)
    assert [type(module) for module in encoder.modules()] == classes
    assert vars(unwrap(encoder.blocks[0])).keys() == vars(encoder.blocks[1]).keys()
    unfuse_attention(encoder)
    assert torch.equal(encoder(batch), before)


def test_adapter_files_do_not_know_about_it(tiny_sam):
    inject_adapters(tiny_sam.image_encoder, GLMedSAConfig())
    keys = list(adapter_state_dict(tiny_sam.image_encoder))
    fuse_attention(tiny_sam.image_encoder)
    assert list(adapter_state_dict(tiny_sam.image_encoder)) == keys


def parts(height, width, groups=3, dim=4, seed=0):
    """Draw queries, keys, values and the bias of rows and columns, in float64."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(
            groups, height * width, last, dtype=torch.float64, generator=generator
        ).requires_grad_()
        for last in (dim, dim, dim, height, width)
    ]


def plain(q, k, v, bias_h, bias_w):
    bias = (bias_h[..., :, None] + bias_w[..., None, :]).flatten(2)
    return (q @ k.transpose(1, 2) + bias).softmax(-1) @ v


@pytest.fixture(params=["a map that is kept", "a map that is computed again"])
def kept(request, monkeypatch):
    if request.param == "a map that is computed again":
        monkeypatch.setattr(grid_attention, "_KEPT", 0)


NARROW_AND_WIDE = pytest.mark.parametrize("size", [(3, 2), (2, 33)], ids=str)


@NARROW_AND_WIDE
@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("chunk", [1, 7 * 66, 2**20])
def test_chunks_of_any_size_give_the_whole_map_and_its_gradients(
    size, chunk, monkeypatch
):
    monkeypatch.setattr(grid_attention, "_CHUNK", chunk)
    ours, theirs = parts(*size), parts(*size)
    result, expected = attend(*ours), plain(*theirs)
    torch.testing.assert_close(result, expected)
    weight = torch.randn_like(expected)
    (result * weight).sum().backward()
    (expected * weight).sum().backward()
    for part, twin in zip(ours, theirs, strict=True):
        torch.testing.assert_close(part.grad, twin.grad)


@NARROW_AND_WIDE
@pytest.mark.usefixtures("kept")
def test_gradients_pass_the_check_in_float64(size):
    assert torch.autograd.gradcheck(attend, parts(*size, groups=1, dim=2))


def test_kernels_of_other_devices_give_the_same(monkeypatch):
    tensors = [part.detach().float() for part in parts(5, 4, dim=6)]
    expected = plain(*tensors)
    q, k = grid_attention._with_bias(*tensors[:2], *tensors[3:])
    result = grid_attention._flash(q, k, tensors[2])
    torch.testing.assert_close(result, expected)
    with torch.device("meta"):
        shadows = [torch.empty_like(part, device="meta") for part in tensors]
    assert attend(*shadows).shape == expected.shape


def test_an_encoder_without_position_tables_can_be_fused(batch):
    from segment_anything.modeling import ImageEncoderViT

    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        img_size=64,
        embed_dim=32,
        depth=2,
        num_heads=2,
        out_chans=8,
        qkv_bias=False,
        window_size=3,
        global_attn_indexes=(1,),
    )
    expected = encoder(batch)
    fuse_attention(encoder)
    assert close(encoder(batch), expected, 1e-5)
