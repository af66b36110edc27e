"""Fused attention is SAM's attention, forwards and backwards."""

import copy

import pytest
import torch

from napari_glmedsa.adapters import GLMedSAConfig, inject_adapters, remove_adapters
from napari_glmedsa.errors import AdapterMismatchError
from napari_glmedsa.inference.attention import fuse_attention


def test_fused_attention_gives_the_stock_embedding_and_gradients(tiny_sam):
    stock = tiny_sam.image_encoder
    fused = copy.deepcopy(stock)
    fuse_attention(fused)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected, result = stock(x), fused(x)
    assert (result - expected).abs().max() <= 1e-5 * expected.abs().max()
    expected.square().mean().backward()
    result.square().mean().backward()
    ours = dict(fused.named_parameters())
    for name, parameter in stock.named_parameters():
        twin = ours[name.replace(".attn.", ".attn.base_layer.")]
        scale = parameter.grad.abs().max()
        assert (twin.grad - parameter.grad).abs().max() <= 1e-4 * scale


def test_adapters_go_around_fused_attention_and_come_off_again(tiny_sam):
    encoder = tiny_sam.image_encoder
    fuse_attention(encoder)
    x = torch.randn(1, 3, 64, 64)
    before = encoder(x)
    inject_adapters(encoder, GLMedSAConfig())
    assert torch.equal(encoder(x), before)
    with pytest.raises(AdapterMismatchError, match="without adapters"):
        fuse_attention(encoder)
    remove_adapters(encoder)
    assert torch.equal(encoder(x), before)
