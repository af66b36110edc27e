"""How long a training run will take, measured on two blocks before it starts."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from napari_glmedsa.inference import SamArchitecture, build_sam, decode_masks
from napari_glmedsa.inference.attention import fuse_attention
from napari_glmedsa.inference.device import resolve_precision
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.precision import autocast

_GATE_CLICKS = 3

# Forward and backward, in forward passes: without gradients of the frozen weights the
# way back costs about as much as the way there.
_ADAPTERS_STEP = 2.3
_FULL_STEP = 3.2
_DECODER_STEP = 2.3

_RUNS = 5
_PATIENCE = 1.0  # seconds for one part of the model


def estimate_seconds(
    architecture: SamArchitecture,
    config: TrainingConfig,
    counts: Mapping[str, int],
    *,
    device: torch.device,
) -> float:
    """Return about how long a run takes, if it stops no earlier than asked.

    A windowed and a global block of the encoder and the mask decoder are built with
    random weights and timed, so neither the size of the model nor whether it is
    downloaded matters. Expect it to be off by half or by double.

    Parameters
    ----------
    architecture
        Of the base model.
    config
        How it would be trained.
    counts
        Images per split (``train``, ``val``, ``test``).
    device
        Where.
    """
    encode, decode = _forward_seconds(architecture, config, device)
    step = _FULL_STEP if config.trains == "full" else _ADAPTERS_STEP
    step += config.checkpointing == "on"  # one more way there
    train, val = counts.get("train", 0), counts.get("val", 0)
    learnt = step * encode + _DECODER_STEP * config.n_points * decode
    judged = encode + config.n_points * decode
    compared = 2 * (encode + _GATE_CLICKS * decode)
    held_out = counts.get("test", 0) or val
    return (
        config.epochs * (train * learnt + val * judged)
        + val * judged  # before the first epoch
        + held_out * compared
    )


@torch.inference_mode()
def _forward_seconds(
    architecture: SamArchitecture, config: TrainingConfig, device: torch.device
) -> tuple[float, float]:
    """Return the seconds of encoding one image and of answering one click."""
    two_blocks = replace(architecture, depth=2, global_attn_indexes=(1,))
    sam = build_sam(two_blocks).to(device)
    encoder = sam.image_encoder
    fuse_attention(encoder)
    side = architecture.image_size // architecture.patch_size
    tokens = torch.zeros(1, side, side, architecture.embed_dim, device=device)
    embedding = torch.zeros(1, architecture.prompt_embed_dim, side, side, device=device)
    click = torch.full((1, 1, 2), architecture.image_size / 2, device=device)
    label = torch.ones(1, 1, device=device)
    with autocast(resolve_precision(config.precision, device), device):
        windowed, everywhere = (
            _seconds(lambda block=block: block(tokens), device)  # type: ignore[misc]
            for block in encoder.blocks
        )
    decode = _seconds(lambda: decode_masks(sam, embedding, click, label), device)
    n_global = len(architecture.global_attn_indexes)
    return (architecture.depth - n_global) * windowed + n_global * everywhere, decode


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """Return the shortest time of a few runs: other programs only ever add to it."""
    run()  # the first one also prepares kernels and memory
    times: list[float] = []
    while len(times) < _RUNS and sum(times) < _PATIENCE:
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)
