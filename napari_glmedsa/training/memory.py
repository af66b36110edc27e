"""The memory of training: what it needs, what there is, how to need less."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.container import container_bytes

if TYPE_CHECKING:
    import torch
    from segment_anything.modeling import ImageEncoderViT, Sam

    from napari_glmedsa.inference import SamArchitecture

# Bytes kept for the gradients per token, channel and block, counted with
# `torch.autograd.graph.saved_tensors_hooks` on ViT-B: (float32, half precision).
_KEPT = {"frozen": (42, 36), "attn": (7, 6), "mlp": (7, 6), "block": (2, 2)}
_KEPT_FULL = (100, 75)  # with the weights of the block trained too
_KEPT_CHECKPOINTED = 8
_WORKING = 120  # of the two blocks whose gradients are being computed
_KEPT_DECODER = 16_400  # per token and answer
_OPTIMIZER = 12  # per trained weight: its gradient and two moments, float32
_LIBRARIES = 850_000_000  # of a process that has trained; measured


def estimate_training_bytes(
    architecture: "SamArchitecture",
    config: TrainingConfig,
    *,
    device: "torch.device | str" = "cpu",
    checkpointing: bool | None = None,
) -> int:
    """Return the most memory that a training process takes, off by about a fifth.

    Parameters
    ----------
    architecture
        Of the base model.
    config
        What is trained, in which batches and precision.
    device
        Where; it decides what the precision ``"auto"`` is.
    checkpointing
        Whether blocks are computed again; by default what `config` says, and for
        ``"auto"``, which starts without, no.
    """
    import torch

    from napari_glmedsa.inference import build_sam, resolve_precision

    if checkpointing is None:
        checkpointing = config.checkpointing == "on"
    with torch.device("meta"):
        sam = build_sam(architecture)
    encoder = _count(sam.image_encoder)
    depth, width = architecture.depth, architecture.embed_dim
    tokens = (architecture.image_size // architecture.patch_size) ** 2
    half = resolve_precision(config.precision, torch.device(device)) != "fp32"
    blocks = len(config.adapter.block_indices(depth))

    if config.trains == "full":
        added, trained = 0, encoder * blocks // depth
        kept = _KEPT_FULL[half]
    else:
        hidden = config.adapter.bottleneck(width)
        one = 2 * width * hidden + width + hidden
        added = trained = one * len(config.adapter.sites) * blocks
        kept = sum(_KEPT[site][half] for site in ("frozen", *config.adapter.sites))
    if config.trains_decoder:
        trained += _count(sam.mask_decoder)
    if checkpointing:
        kept = _KEPT_CHECKPOINTED
    per_image = tokens * width * (kept * blocks + _WORKING)
    per_image += tokens * _KEPT_DECODER * config.n_points
    weights = 4 * (_count(sam) + added)
    return _LIBRARIES + weights + _OPTIMIZER * trained + config.batch_size * per_image


def is_short(
    sam: "Sam", config: TrainingConfig, *, device: "torch.device | str"
) -> bool:
    """Tell whether to train `sam`, which is loaded, needs more memory than is free.

    Parameters
    ----------
    sam
        With or without adapters.
    config, device
        How it would be trained, with every activation kept, and where.
    """
    from napari_glmedsa.inference import SamArchitecture

    tensors = sam.state_dict()
    names = {name.replace(".base_layer", ""): tensors[name] for name in tensors}
    needed = estimate_training_bytes(
        SamArchitecture.from_state_dict(names),
        config,
        device=device,
        checkpointing=False,
    )
    return needed - _taken_bytes(device) > available_bytes(device)


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
    free, left = int(psutil.virtual_memory().available), container_bytes()
    return free if left is None else min(free, left)


def _taken_bytes(device: "torch.device | str") -> int:
    """Return how much memory this process has of what the estimate counts."""
    import psutil
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return int(torch.cuda.memory_allocated(device)) + _LIBRARIES
    if kind == "mps":
        return int(torch.mps.driver_allocated_memory()) + _LIBRARIES
    return int(psutil.Process().memory_info().rss)


def _count(module: "torch.nn.Module") -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _checkpointed(forward: Any, x: "torch.Tensor") -> Any:
    import torch
    from torch.utils.checkpoint import checkpoint

    if not torch.is_grad_enabled():
        return forward(x)
    # SAM draws no random numbers, so none have to be drawn again
    return checkpoint(forward, x, use_reentrant=False, preserve_rng_state=False)
