"""The base model while it learns: its shape, its start, inputs of several sizes."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from prompting import Objects
from regions import Crop
from segment_anything.modeling import Sam
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from napari_glmedsa.inference import (
    SamArchitecture,
    build_sam,
    read_weights,
    resize_sam,
)

TABLE_SIZE = 512  # pixels; position tables are kept so and made smaller as needed
RATE, STEM_RATE, TOKEN_RATE = 2e-4, 1e-5, 3e-5
TOKEN_SCALE = 0.2  # the stem's features are large; blocks add values round 1
FROZEN_STAGES = 3  # of the stem: costly to train, and good edges as they are


def architecture() -> SamArchitecture:
    """Return the shape of the model."""
    return SamArchitecture(
        embed_dim=256,
        depth=6,
        num_heads=4,
        global_attn_indexes=(1, 3, 5),
        image_size=TABLE_SIZE,
        window_size=8,
        conv_stem=True,
        stem_stages=7,
    )


def load_imagenet_stem(sam: Sam, path: Path) -> None:
    """Fill the stem with EfficientNet-Lite0, batch norms (eps 1e-3) folded in."""
    tensors = list(torch.load(path, weights_only=True).values())
    for index, conv in enumerate(sam.image_encoder.patch_embed.convolutions()):
        weight, gain, bias, mean, variance = tensors[6 * index : 6 * index + 5]
        factor = gain / (variance + 1e-3).sqrt()
        with torch.no_grad():
            conv.weight.copy_(weight * factor[:, None, None, None])
            conv.bias.copy_(bias - mean * factor)
    with torch.no_grad():
        sam.image_encoder.patch_embed.project.weight.mul_(TOKEN_SCALE)


def start_from(sam: Sam, path: Path) -> None:
    """Begin with an earlier model: what has no counterpart there stays as it is.

    Its further blocks are left out, which residual blocks bear; its stem had no
    stages at stride 32, so their columns of the stem's last layer begin at zero.
    The tokens and all that is added to them are scaled, which changes nothing, as
    norms follow, but lets the blocks learn faster.
    """
    tensors = {name: tensor.float() for name, tensor in read_weights(path).items()}
    earlier = build_sam(SamArchitecture.from_state_dict(tensors), tensors)
    tensors = resize_sam(earlier, TABLE_SIZE).state_dict()
    own = sam.state_dict()
    for name, tensor in own.items():
        if name not in tensors:
            continue
        if tensors[name].shape == tensor.shape:
            tensor.copy_(tensors[name])
        else:
            columns = tensors[name].shape[1]
            tensor[:, :columns] = tensors[name]
            tensor[:, columns:] = 0
    encoder = sam.image_encoder
    adders = [layer for b in encoder.blocks for layer in (b.attn.proj, b.mlp.lin2)]
    with torch.no_grad():
        encoder.pos_embed.mul_(TOKEN_SCALE)
        for layer in (encoder.patch_embed.project, *adders):
            layer.weight.mul_(TOKEN_SCALE)
            layer.bias.mul_(TOKEN_SCALE)


def groups(sam: Sam) -> list[dict[str, Any]]:
    """Freeze the fine stages; return optimiser groups, the stem's slower.

    No weight decay on biases, norms and positions.
    """
    stem = sam.image_encoder.patch_embed
    for module in (stem.first, *stem.stages[:FROZEN_STAGES]):
        module.requires_grad_(False)
    parts: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in sam.named_parameters():
        if parameter.requires_grad:
            rate = STEM_RATE if ".patch_embed.stages" in name else RATE
            rate = TOKEN_RATE if ".patch_embed.project" in name else rate
            decay = 0.05 if parameter.ndim > 1 and "pos" not in name else 0.0
            parts.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": part, "peak": rate, "weight_decay": decay}
        for (rate, decay), part in parts.items()
    ]


def set_input_size(sam: Sam, size: int) -> None:
    """Let the prompt encoder take clicks in a frame of another size."""
    grid = size // sam.image_encoder.patch_embed.stride
    sam.prompt_encoder.input_image_size = (size, size)
    sam.prompt_encoder.image_embedding_size = (grid, grid)
    sam.prompt_encoder.mask_input_size = (4 * grid, 4 * grid)


def encode(sam: Sam, images: Tensor) -> Tensor:
    """Encode normalised images (B, 3, S, S) of any size, as `resize_sam` would.

    SAM itself fits the relative positions; the absolute ones are fitted here.
    """
    encoder = sam.image_encoder
    grid = images.shape[-1] // encoder.patch_embed.stride
    table = encoder.pos_embed.permute(0, 3, 1, 2)
    table = functional.interpolate(table, (grid, grid), mode="bicubic")
    fitted = {"pos_embed": table.permute(0, 2, 3, 1)}
    with torch.autocast("cpu", torch.bfloat16):
        embedding: Tensor = functional_call(encoder, fitted, (images,))
    return embedding.float()


def batch(sam: Sam, crops: list[Crop], size: int) -> tuple[Tensor, Objects]:
    """Return normalised, padded images (B, 3, size, size) and their objects."""
    images = torch.zeros(len(crops), 3, size, size)
    inside = torch.zeros(len(crops), size, size, dtype=torch.bool)
    masks = torch.zeros(sum(len(c.masks) for c in crops), size, size, dtype=torch.bool)
    index = []
    for number, crop in enumerate(crops):
        height, width = crop.image.shape[:2]
        pixels = torch.from_numpy(np.ascontiguousarray(crop.image)).permute(2, 0, 1)
        images[number, :, :height, :width] = (pixels - sam.pixel_mean) / sam.pixel_std
        inside[number, :height, :width] = True
        for mask in crop.masks:
            masks[len(index), :height, :width] = torch.from_numpy(mask)
            index.append(number)
    return images, Objects(masks, torch.tensor(index), inside)
