"""The memory of training: what it needs, what there is, how to need less."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from segment_anything.modeling import ImageEncoderViT


@contextmanager
def checkpoint_blocks(encoder: "ImageEncoderViT") -> Iterator[None]:
    """Keep only what enters every ViT block, and compute the rest again for gradients.

    Exact: the same numbers and gradients, bit by bit where the device is
    deterministic, for about a third more time. Only the forward pass has to
    happen within the ``with`` block; without gradients nothing changes.
    """
    blocks = list(encoder.blocks)
    try:
        for block in blocks:  # an adapter around the block is inside the checkpoint
            block.forward = partial(_checkpointed, block.forward)
        yield
    finally:
        for block in blocks:
            vars(block).pop("forward", None)


def available_bytes(device: "torch.device | str") -> int:
    """Return how much memory a new training could take on this device now."""
    import psutil  # type: ignore[import-untyped]  # it comes with accelerate
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    if kind == "mps":
        used = torch.mps.driver_allocated_memory()
        return max(0, int(torch.mps.recommended_max_memory()) - int(used))
    return int(psutil.virtual_memory().available)


def _checkpointed(forward: Any, x: "torch.Tensor") -> Any:
    import torch
    from torch.utils.checkpoint import checkpoint

    if not torch.is_grad_enabled():
        return forward(x)
    # SAM draws no random numbers, so none have to be drawn again
    return checkpoint(forward, x, use_reentrant=False, preserve_rng_state=False)
