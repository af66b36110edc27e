"""Which tensors of a SAM are trained, what they are called, and how fast they move."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn

from napari_glmedsa.adapters import (
    apply_compat,
    freeze_all_but_adapters,
    inject_adapters,
    iter_adapters,
)
from napari_glmedsa.errors import TrainingError
from napari_glmedsa.training.config import TrainingConfig, check_blocks

_WARM_UP = 0.05  # share of all steps
_LAST = 0.01  # share of the learning rate at the end of the cosine


def select_parameters(sam: Sam, config: TrainingConfig) -> dict[str, nn.Parameter]:
    """Freeze `sam` but for what the config trains, and name that.

    Fresh adapters (seeded) are put into an encoder that has none. Names are
    SAM's own, whatever is wrapped around its modules.

    Raises
    ------
    TrainingError
        If a ``"full"`` training would leave adapters behind, or asks for more
        blocks than the encoder has.
    AdapterMismatchError
        If fresh adapters ask for them.
    """
    encoder = sam.image_encoder
    adapted = any(True for _ in iter_adapters(encoder))
    if config.trains == "adapters":
        if not adapted:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                inject_adapters(encoder, config.adapter)
            apply_compat(sam, config.adapter.compat)
        freeze_all_but_adapters(sam)
    else:
        if adapted:
            raise TrainingError(
                "A full training starts from a base model alone; choose one without "
                "adapters, or train adapters."
            )
        _unfreeze_encoder(sam, config)
    if config.trains_decoder:
        decoder = sam.mask_decoder.requires_grad_(True)
        # only the first of the four masks is asked for, so only it can learn
        decoder.output_hypernetworks_mlps[1:].requires_grad_(False)
    return {
        name.replace(".base_layer", ""): parameter
        for name, parameter in sam.named_parameters()
        if parameter.requires_grad
    }


@torch.no_grad()
def copy_weights(
    parameters: Mapping[str, nn.Parameter], weights: Mapping[str, Tensor]
) -> None:
    """Copy tensors into the parameters of the same names.

    Raises
    ------
    ValueError
        If names or shapes differ; nothing is copied then.
    """
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    if shapes != {name: p.shape for name, p in parameters.items()}:
        raise ValueError("other tensors are trained in it")
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])


def make_optimizer(
    parameters: Mapping[str, nn.Parameter], config: TrainingConfig
) -> torch.optim.Optimizer:
    """Return Adam or AdamW with one group for the encoder and one for the decoder."""
    decoder = {n: p for n, p in parameters.items() if n.startswith("mask_decoder.")}
    encoder = [p for n, p in parameters.items() if n not in decoder]
    groups: list[dict[str, Any]] = [{"params": encoder, "peak": config.learning_rate}]
    if decoder:
        groups.append(
            {"params": [*decoder.values()], "peak": config.decoder_learning_rate}
        )
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.learning_rate, weight_decay=config.weight_decay)


def set_learning_rates(
    optimizer: torch.optim.Optimizer, config: TrainingConfig, step: int, n_steps: int
) -> None:
    """Give every group the rate that the schedule has for a step, from 0."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * learning_rate_share(config, step, n_steps)


def learning_rate_share(config: TrainingConfig, step: int, n_steps: int) -> float:
    """Return the share of the learning rate at a step, counted from 0."""
    if config.schedule == "constant":
        return 1.0
    warm_up = max(1, round(_WARM_UP * n_steps))
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, n_steps - warm_up)
    return _LAST + (1 - _LAST) * 0.5 * (1 + math.cos(math.pi * progress))


def _unfreeze_encoder(sam: Sam, config: TrainingConfig) -> None:
    sam.requires_grad_(False)
    encoder = sam.image_encoder
    check_blocks(config, len(encoder.blocks))
    indices = config.adapter.block_indices(len(encoder.blocks))
    if config.adapter.blocks == "all":
        encoder.requires_grad_(True)
    encoder.neck.requires_grad_(True)
    for index in indices:
        encoder.blocks[index].requires_grad_(True)
