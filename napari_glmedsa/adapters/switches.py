"""Make a SAM compute as the Med-SA release does, and as SAM again.

No weight changes. Modules get another class of the same weights, or a wrapper that
keeps them as ``base_layer``, so all works with fused attention and in training.
"""

from collections.abc import Sequence
from typing import Any

import torch
from segment_anything.modeling import ImageEncoderViT, PromptEncoder, Sam
from segment_anything.modeling.transformer import TwoWayAttentionBlock
from torch import Tensor, nn
from torch.nn import functional

from napari_glmedsa.adapters.compat import Compat
from napari_glmedsa.adapters.layers import unwrap
from napari_glmedsa.errors import RegistryError

_INPUT = (
    *("unit_range_input", "minmax_input", "swap_xy"),
    *("square_resize", "bicubic_resize"),
)
_RESIZES = {
    "longest_side": "longest side, bilinear, padded right and below",
    "square": "stretched to a square, bilinear",
    "square_bicubic": "stretched to a square, bicubic",
}


class NormWithoutBias(nn.Module):
    """SAM's ``norm1`` whose bias `QKVWithNormBias` adds later."""

    def __init__(self, base_layer: nn.LayerNorm) -> None:
        super().__init__()
        self.base_layer = base_layer

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (..., C) to the same shape."""
        norm = self.base_layer
        return functional.layer_norm(
            x, norm.normalized_shape, norm.weight, None, norm.eps
        )


class QKVWithNormBias(nn.Module):
    """SAM's ``qkv`` with the bias of ``norm1`` passed through it.

    On tokens it is what it was. On padding, which is zero when it gets here, it
    gives what ``norm1`` would have made of padding: the release pads before it.
    """

    def __init__(self, base_layer: nn.Linear, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.base_layer = base_layer
        self._norm = (norm,)  # it is a part of the block, not of this

    @property
    def bias(self) -> Tensor:
        """What zero is mapped to, (3 C,)."""
        base = self.base_layer
        return functional.linear(self._norm[0].bias, base.weight, base.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (..., C) to queries, keys and values (..., 3 C)."""
        return functional.linear(x, self.base_layer.weight, self.bias)


class SwappedPromptEncoder(PromptEncoder):  # type: ignore[misc]  # it has no types
    """SAM's prompt encoder that reads clicks as (y, x)."""

    def _embed_points(self, points: Tensor, labels: Tensor, pad: bool) -> Tensor:
        embedded: Tensor = super()._embed_points(points.flip(-1), labels, pad)
        return embedded


class StretchingSam(Sam):  # type: ignore[misc]
    """SAM that is shown each image from its own darkest to its brightest value."""

    def preprocess(self, x: Tensor) -> Tensor:
        """Map an image, (..., C, H, W) from 0 to 255, to the padded input."""
        low, high = x.min(), x.max()
        stretched: Tensor = super().preprocess((x - low) / (high - low).clamp(1e-8))
        return stretched


class StickyTwoWayBlock(TwoWayAttentionBlock):  # type: ignore[misc]
    """SAM's decoder layer wired as in EfficientSAM, which the release took over."""

    def forward(
        self, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Map tokens (N, T, C) and image (N, P, C) to the same shapes."""
        if not self.skip_first_layer_pe:
            queries = queries + query_pe  # for good, where SAM adds it to compare
        own = self.self_attn(q=queries, k=queries, v=queries)
        queries = self.norm1(queries + own)
        seen = self.cross_attn_token_to_image(
            q=queries + query_pe, k=keys + key_pe, v=keys
        )
        queries = self.norm2(queries + seen)
        queries = self.norm3(queries + self.mlp(queries))
        told = self.cross_attn_image_to_token(
            q=keys + key_pe, k=queries + query_pe, v=queries
        )
        return queries, self.norm4(keys + told)


def apply_compat(sam: Sam, compat: Compat) -> None:
    """Throw the switches beyond the encoder's attention, in place; again is no harm.

    Those of the encoder's attention belong to `inject_adapters`.
    """
    remove_compat(sam)
    if compat.medsa_decoder:
        for layer in sam.mask_decoder.transformer.layers:
            layer.__class__ = StickyTwoWayBlock
    if compat.swap_xy:
        sam.prompt_encoder.__class__ = SwappedPromptEncoder
    if compat.square_resize:
        sam.input_resize = "square"
    if compat.bicubic_resize:
        sam.input_resize = "square_bicubic"
    if compat.unit_range_input or compat.minmax_input:
        sam.own_pixels = (sam.pixel_mean, sam.pixel_std)
        white = 1 if compat.minmax_input else 255
        sam.pixel_mean = torch.zeros_like(sam.pixel_mean)
        sam.pixel_std = torch.full_like(sam.pixel_std, white)
    if compat.minmax_input:
        sam.__class__ = StretchingSam


def apply_input(sam: Sam, switches: Sequence[str]) -> None:
    """Show images to a base as in its training, in place.

    Parameters
    ----------
    sam
        A model without adapters; those bring switches of their own.
    switches
        Fields of `Compat` that the card of the base names under ``input``.

    Raises
    ------
    RegistryError
        If one of them is none about the input.
    """
    if odd := [name for name in switches if name not in _INPUT]:
        raise RegistryError(
            f"The model's card asks for the input {odd[0]!r}, which is not known here; "
            "update napari-glmedsa or correct the card."
        )
    try:
        compat = Compat.from_json(dict.fromkeys(switches, True))
    except ValueError as error:
        raise RegistryError(f"The model's card cannot be followed: {error}") from error
    if switches:
        apply_compat(sam, compat)


def remove_compat(sam: Sam) -> None:
    """Undo `apply_compat` exactly; a stock SAM stays as it is."""
    for layer in sam.mask_decoder.transformer.layers:
        if type(layer) is StickyTwoWayBlock:
            layer.__class__ = TwoWayAttentionBlock
    if type(sam.prompt_encoder) is SwappedPromptEncoder:
        sam.prompt_encoder.__class__ = PromptEncoder
    if type(sam) is StretchingSam:
        sam.__class__ = Sam
    vars(sam).pop("input_resize", None)
    if own := vars(sam).pop("own_pixels", None):
        sam.pixel_mean, sam.pixel_std = (t.to(sam.device) for t in own)


def rewire_encoder(encoder: ImageEncoderViT, compat: Compat) -> None:
    """Throw the switches of the encoder's attention, in place."""
    for outer in encoder.blocks:
        block: Any = unwrap(outer)
        attention: Any = unwrap(block.attn)
        if compat.drop_rel_pos:
            attention.use_rel_pos = False
        if compat.norm_after_pad and block.window_size > 0:
            norm = block.norm1
            attention.qkv = QKVWithNormBias(attention.qkv, norm)
            block.norm1 = NormWithoutBias(norm)


def unwire_encoder(encoder: ImageEncoderViT) -> None:
    """Undo `rewire_encoder` exactly; a stock encoder stays as it is."""
    for outer in encoder.blocks:
        block: Any = unwrap(outer)
        attention: Any = unwrap(block.attn)
        attention.use_rel_pos = hasattr(attention, "rel_pos_h")
        attention.qkv, block.norm1 = unwrap(attention.qkv), unwrap(block.norm1)


def input_contract(sam: Sam) -> dict[str, Any]:
    """Return what a SAM wants to be shown, for the card of an adapter."""
    resize = getattr(sam, "input_resize", "longest_side")
    swapped = type(sam.prompt_encoder) is SwappedPromptEncoder
    if type(sam) is StretchingSam:
        pixels = "0..1 from each image's darkest to its brightest value"
    else:
        pixels = "0..1" if hasattr(sam, "own_pixels") else "0..255"
    return {
        "image_size": sam.image_encoder.img_size,
        "resize": _RESIZES[resize],
        "mean": sam.pixel_mean.flatten().tolist(),
        "std": sam.pixel_std.flatten().tolist(),
        "range": pixels,
        "point_order": "y, x" if swapped else "x, y",
    }
