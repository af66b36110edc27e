"""SAM's shape, read off its own tensors, and the stock classes built to fit it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import Tensor, nn
from torch.nn import functional

from napari_glmedsa.errors import CheckpointError
from napari_glmedsa.inference.stem import ConvStem

_PIXEL_MEAN = (123.675, 116.28, 103.53)
_PIXEL_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True, slots=True)
class SamArchitecture:
    """Everything that sets one SAM apart from another.

    The tensors of a checkpoint tell all of it, so no file needs to name its type.
    """

    embed_dim: int
    depth: int
    num_heads: int
    global_attn_indexes: tuple[int, ...]
    image_size: int = 1024
    window_size: int = 14
    prompt_embed_dim: int = 256
    decoder_mlp_dim: int = 2048
    conv_stem: bool = False
    patch_size: int = 16
    stem_stages: int = 5

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Read the architecture off a SAM state dict (any width, depth, image size).

        Raises
        ------
        CheckpointError
            If these are not the tensors of a SAM.
        """
        try:
            _, grid, _, embed_dim = state_dict["image_encoder.pos_embed"].shape
            pattern = re.compile(r"image_encoder\.blocks\.(\d+)\.attn\.rel_pos_h")
            tables = {
                int(match[1]): tensor.shape
                for name, tensor in state_dict.items()
                if (match := pattern.fullmatch(name))
            }
            spans = {block: (shape[0] + 1) // 2 for block, shape in tables.items()}
            window = {span for span in spans.values() if span != grid}
            num_heads = embed_dim // tables[0][1]
            mlp = state_dict["mask_decoder.transformer.layers.0.mlp.lin1.weight"]
            neck = state_dict["image_encoder.neck.0.weight"]
        except (LookupError, ValueError, ArithmeticError) as error:
            what = error if isinstance(error, KeyError) else "a tensor's shape"
            raise CheckpointError(
                f"These are not the weights of a Segment Anything model ({what} is "
                "missing or odd); choose an official SAM checkpoint."
            ) from error
        conv_stem = "image_encoder.patch_embed.first.weight" in state_dict
        deep = any(
            n.startswith("image_encoder.patch_embed.stages.6") for n in state_dict
        )
        return cls(
            embed_dim=embed_dim,
            depth=len(tables),
            num_heads=num_heads,
            global_attn_indexes=tuple(b for b in sorted(spans) if spans[b] == grid),
            image_size=grid * 16,
            window_size=window.pop() if window else grid,
            prompt_embed_dim=neck.shape[0],
            decoder_mlp_dim=mlp.shape[0],
            conv_stem=conv_stem,
            stem_stages=7 if deep else 5,
        )


def build_sam(
    architecture: SamArchitecture, state_dict: Mapping[str, Tensor] | None = None
) -> Sam:
    """Build a SAM of stock `segment_anything` classes, in eval mode.

    Parameters
    ----------
    architecture
        Only the ``conv_stem`` (of 5 or 7 stages) goes beyond stock SAM: it
        replaces ``patch_embed``.
    state_dict
        Weights of any float type, used as they are if float32; without them
        the weights are random (`torch.manual_seed` rules).

    Raises
    ------
    CheckpointError
        Names missing, unexpected or mis-shaped tensors.
    """
    if state_dict is None:
        return _assemble(architecture).eval()
    with torch.device("meta"):  # no time spent on weights that are replaced at once
        sam = _assemble(architecture)
    weights = {name: tensor.float() for name, tensor in state_dict.items()}
    try:
        sam.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:400]
        raise CheckpointError(
            f"The weights do not fit a Segment Anything model: {detail}"
        ) from error
    # not part of any checkpoint, so still on the meta device
    sam.register_buffer("pixel_mean", torch.tensor(_PIXEL_MEAN).view(-1, 1, 1), False)
    sam.register_buffer("pixel_std", torch.tensor(_PIXEL_STD).view(-1, 1, 1), False)
    return sam.eval()


def resize_sam(sam: Sam, image_size: int) -> Sam:
    """Return a copy for another input size, its position tables interpolated.

    Absolute positions bicubically, the relative ones of global blocks linearly
    (as SAM itself does); window blocks and everything else stay as they are.

    Parameters
    ----------
    sam
        A model without adapters.
    image_size
        Pixels, a multiple of 16.
    """
    state = {name: tensor.clone() for name, tensor in sam.state_dict().items()}
    shape = replace(SamArchitecture.from_state_dict(state), image_size=image_size)
    grid = image_size // shape.patch_size
    position = state["image_encoder.pos_embed"].permute(0, 3, 1, 2)
    position = functional.interpolate(position, (grid, grid), mode="bicubic")
    state["image_encoder.pos_embed"] = position.permute(0, 2, 3, 1)
    for block in shape.global_attn_indexes:
        for axis in "hw":
            name = f"image_encoder.blocks.{block}.attn.rel_pos_{axis}"
            table = state[name].T[None]
            table = functional.interpolate(table, 2 * grid - 1, mode="linear")
            state[name] = table[0].T.contiguous()
    return build_sam(shape, state)


def _assemble(shape: SamArchitecture) -> Sam:
    grid = shape.image_size // shape.patch_size
    encoder = ImageEncoderViT(
        img_size=shape.image_size,
        patch_size=shape.patch_size,
        embed_dim=shape.embed_dim,
        depth=shape.depth,
        num_heads=shape.num_heads,
        mlp_ratio=4,
        out_chans=shape.prompt_embed_dim,
        qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=shape.window_size,
        global_attn_indexes=shape.global_attn_indexes,
    )
    if shape.conv_stem:
        encoder.patch_embed = ConvStem(shape.embed_dim, shape.stem_stages)
    return Sam(
        image_encoder=encoder,
        prompt_encoder=PromptEncoder(
            embed_dim=shape.prompt_embed_dim,
            image_embedding_size=(grid, grid),
            input_image_size=(shape.image_size, shape.image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2,
                embedding_dim=shape.prompt_embed_dim,
                mlp_dim=shape.decoder_mlp_dim,
                num_heads=8,
            ),
            transformer_dim=shape.prompt_embed_dim,
        ),
        pixel_mean=list(_PIXEL_MEAN),
        pixel_std=list(_PIXEL_STD),
    )
