"""Activation checkpointing is exact, and memory is counted."""

import pytest
import torch
from tiny import train_a_little

from napari_glmedsa.adapters import (
    GLMedSAConfig,
    freeze_all_but_adapters,
    inject_adapters,
    iter_adapters,
)
from napari_glmedsa.inference.attention import fuse_attention
from napari_glmedsa.training.memory import available_bytes, checkpoint_blocks

BATCH = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def adapted(tiny_sam):
    inject_adapters(tiny_sam.image_encoder, GLMedSAConfig(bottleneck_ratio=0.25))
    train_a_little(tiny_sam)
    freeze_all_but_adapters(tiny_sam)
    return tiny_sam.image_encoder


def step(encoder):
    """Return the output and the gradients of every trained parameter."""
    encoder.zero_grad(set_to_none=True)
    result = encoder(BATCH)
    result.square().mean().backward()
    return result, [p.grad for p in encoder.parameters() if p.requires_grad]


def saved_bytes(encoder):
    """Return the size of what one forward pass keeps for its gradients."""
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in encoder.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        encoder(BATCH)
    return sum(s.nbytes() for pointer, s in storages.items() if pointer not in weights)


@pytest.mark.parametrize("fused", [False, True])
def test_checkpointing_is_exact_and_keeps_less(adapted, fused):
    if fused:
        fuse_attention(adapted)
    expected, gradients = step(adapted)
    with checkpoint_blocks(adapted):
        result, checkpointed = step(adapted)
    assert torch.equal(result, expected)
    assert len(gradients) == 36
    assert all(map(torch.equal, checkpointed, gradients))
    plain = saved_bytes(adapted)
    with checkpoint_blocks(adapted):
        assert saved_bytes(adapted) < plain / 4


def test_gradients_may_be_taken_after_the_checkpointed_forward_pass(adapted):
    _, gradients = step(adapted)
    adapted.zero_grad(set_to_none=True)
    with checkpoint_blocks(adapted):
        result = adapted(BATCH)
    result.square().mean().backward()
    assert all(
        torch.equal(parameter.grad, gradient)
        for parameter, gradient in zip(
            (p for p in adapted.parameters() if p.requires_grad), gradients, strict=True
        )
    )


def test_adapters_are_found_while_checkpointing_and_nothing_stays_behind(adapted):
    names, keys = [n for n, _ in iter_adapters(adapted)], list(adapted.state_dict())
    with checkpoint_blocks(adapted):
        assert [n for n, _ in iter_adapters(adapted)] == names
        assert list(adapted.state_dict()) == keys
    with pytest.raises(RuntimeError), checkpoint_blocks(adapted):
        adapted(torch.zeros(1))
    assert all("forward" not in vars(block) for block in adapted.blocks)
    with torch.no_grad(), checkpoint_blocks(adapted):
        assert adapted(BATCH).shape == (2, 32, 4, 4)


def test_there_is_some_memory_left():
    assert 2**20 < available_bytes("cpu") < 2**50
