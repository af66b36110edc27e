"""P14: activation checkpointing is exact, and memory is counted."""

from dataclasses import replace

import pytest
import torch
from tiny import TINY, train_a_little

from napari_glmedsa.adapters import (
    GLMedSAConfig,
    freeze_all_but_adapters,
    inject_adapters,
    iter_adapters,
)
from napari_glmedsa.inference import SamArchitecture, build_sam, fuse_attention
from napari_glmedsa.training import memory
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.memory import (
    available_bytes,
    checkpoint_blocks,
    estimate_training_bytes,
    is_short,
)

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


def saved_bytes(encoder, batch=BATCH):
    """Return the size of what one forward pass keeps for its gradients."""
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in encoder.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        encoder(batch)
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


@pytest.mark.parametrize("free", [2**20, 2**50])
@pytest.mark.parametrize("fields", [{}, {"trains": "full"}], ids=str)
def test_memory_is_short_if_less_is_free_than_is_needed_besides_what_is_loaded(
    adapted, tiny_sam, monkeypatch, free, fields
):
    config = replace(PLAIN, **fields)
    needed = estimate_training_bytes(TINY, config)
    monkeypatch.setattr(memory, "available_bytes", lambda _: free)
    monkeypatch.setattr(memory, "_taken_bytes", lambda _: needed - 2**30)
    assert is_short(tiny_sam, config, device="cpu") == (free < 2**30)
    monkeypatch.setattr(memory, "_taken_bytes", lambda _: needed)
    assert not is_short(tiny_sam, config, device="cpu")


VIT_B = SamArchitecture(768, 12, 12, (2, 5, 8, 11))
PLAIN = TrainingConfig(batch_size=1, precision="fp32", n_points=1)


def test_the_estimate_is_what_was_measured_on_vit_b():
    """3.35 and 2.31 GB: benchmarks/bench_train_step.py --batch 1, bfloat16."""
    config = replace(PLAIN, precision="bf16")
    assert estimate_training_bytes(VIT_B, config) == pytest.approx(3.35e9, rel=0.2)
    spared = estimate_training_bytes(VIT_B, config, checkpointing=True)
    assert spared == pytest.approx(2.31e9, rel=0.2)


@pytest.mark.parametrize(
    "more",
    [
        {"batch_size": 2},
        {"n_points": 3},
        {"mask_decoder": True},
        {"trains": "full"},
    ],
    ids=str,
)
def test_more_to_train_needs_more_memory(more):
    least = estimate_training_bytes(VIT_B, PLAIN)
    assert estimate_training_bytes(VIT_B, replace(PLAIN, **more)) > least


@pytest.mark.parametrize(
    "less",
    [
        {"checkpointing": "on"},
        {"precision": "bf16"},
        {"adapter": GLMedSAConfig(blocks="last:4")},
        {"adapter": GLMedSAConfig(sites=("block",))},
    ],
    ids=str,
)
def test_less_to_keep_needs_less_memory(less):
    most = estimate_training_bytes(VIT_B, PLAIN)
    assert estimate_training_bytes(VIT_B, replace(PLAIN, **less)) < most


@pytest.mark.parametrize("checkpointed", [False, True])
def test_what_one_pass_keeps_is_what_the_estimate_counts(checkpointed):
    shape = SamArchitecture(192, 4, 3, (3,), image_size=256)
    sam = build_sam(shape)
    fuse_attention(sam.image_encoder)
    inject_adapters(sam.image_encoder, GLMedSAConfig())
    freeze_all_but_adapters(sam)
    images = torch.rand(1, 3, 256, 256)
    counted = [
        estimate_training_bytes(
            shape, replace(PLAIN, batch_size=size), checkpointing=checkpointed
        )
        for size in (1, 2)
    ]
    tokens = 16 * 16
    per_image = counted[1] - counted[0] - tokens * (192 * 120 + 16_400)
    if checkpointed:
        with checkpoint_blocks(sam.image_encoder):
            kept = saved_bytes(sam.image_encoder, images)
    else:
        kept = saved_bytes(sam.image_encoder, images)
    assert 0.5 * kept < per_image < 1.5 * kept
