"""P14: `torch.compile` on and off, the numbers and the gradients are the same.

The compiler's tracing, forwards and backwards, is what can go wrong with our modules,
so the back end is one that runs the traced graphs as they are, in seconds.
"""

import pytest
import torch
from tiny import TINY, randomise, train_a_little
from torch._dynamo.testing import CompileCounterWithBackend

from napari_glmedsa.adapters import (
    GLMedSAConfig,
    apply_compat,
    freeze_all_but_adapters,
    inject_adapters,
)
from napari_glmedsa.adapters.compat import RELEASE_2024_06
from napari_glmedsa.inference import build_sam, decode_masks, fuse_attention

BATCH = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
CONFIGS = {
    "paper": GLMedSAConfig(bottleneck_ratio=0.25),
    "stream": GLMedSAConfig(bottleneck_ratio=0.25, wiring="stream"),
    "release": GLMedSAConfig(("attn", "mlp"), 0.25, compat=RELEASE_2024_06),
}


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def adapted(config):
    sam = randomise(build_sam(TINY))
    inject_adapters(sam.image_encoder, config)
    apply_compat(sam, config.compat)
    train_a_little(sam)
    return sam


def close(ours, theirs, relative=1e-5):
    return (ours - theirs).abs().max() <= relative * theirs.abs().max()


def gradients(encoder, parameters):
    loss = encoder(BATCH).square().mean()
    return loss, torch.autograd.grad(loss, parameters)


@pytest.mark.parametrize(
    ("name", "fused"),
    [("paper", False), ("stream", False), ("release", False), ("paper", True)],
)
def test_a_compiled_encoder_with_adapters_is_the_plain_one(name, fused):
    sam = adapted(CONFIGS[name])
    parameters = freeze_all_but_adapters(sam)
    if fused:
        fuse_attention(sam.image_encoder)
    traced = CompileCounterWithBackend("aot_eager")
    # Stock attention is one graph; the fused one asks how many threads there are,
    # which ends a graph and starts the next.
    compiled = torch.compile(sam.image_encoder, backend=traced, fullgraph=not fused)
    with torch.no_grad():
        expected = sam.image_encoder(BATCH)
        assert close(compiled(BATCH), expected)
    assert traced.frame_count >= 1  # it was compiled indeed
    loss, theirs = gradients(sam.image_encoder, parameters)
    again, ours = gradients(compiled, parameters)
    assert close(again, loss)
    for one, other in zip(ours, theirs, strict=True):
        assert close(one, other, 1e-4)


def test_a_compiled_encoder_feels_a_training_step():
    sam = adapted(CONFIGS["paper"])
    parameters = freeze_all_but_adapters(sam)
    compiled = torch.compile(sam.image_encoder, backend="aot_eager")
    before = compiled(BATCH).detach()
    compiled(BATCH).square().mean().backward()
    torch.optim.SGD(parameters, lr=1.0).step()
    after = compiled(BATCH)
    assert not torch.equal(after, before)
    assert close(after, sam.image_encoder(BATCH))


@pytest.mark.parametrize("compat", [None, RELEASE_2024_06])
def test_a_compiled_decoder_gives_the_same_logits(compat):
    sam = randomise(build_sam(TINY))
    if compat is not None:
        apply_compat(sam, compat)
    with torch.no_grad():
        features = sam.image_encoder(BATCH)
        points = torch.tensor([[[20.0, 30.0]], [[40.0, 10.0]]])
        prompts = {"point_coords": points, "point_labels": torch.ones(2, 1)}
        expected, scores = decode_masks(sam, features, **prompts)
        sam.mask_decoder.transformer = torch.compile(
            sam.mask_decoder.transformer, backend="aot_eager", fullgraph=True
        )
        logits, again = decode_masks(sam, features, **prompts)
    assert close(logits, expected)
    assert close(again, scores)
