"""SAM's attention with its position bias folded into queries and keys.

Stock SAM adds two broadcast tables to every attention map; forming that sum, and
its gradient, costs more than the attention itself. Here the tables are appended
to the queries, and one-hot rows and columns to the keys, so that one product
gives the same map.
"""

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention, get_rel_pos
from torch import Tensor, nn

from napari_glmedsa.errors import AdapterMismatchError


class FusedAttention(nn.Module):
    """What ``base_layer`` (SAM's ``Attention``) computes, up to rounding.

    Parameters
    ----------
    base_layer
        Keeps the weights; it is used, not copied.
    """

    def __init__(self, base_layer: Attention) -> None:
        super().__init__()
        self.base_layer = base_layer

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, H, W, C), windowed or not, to the same shape."""
        base = self.base_layer
        batch, height, width, channels = x.shape
        heads = base.num_heads
        qkv = base.qkv(x).view(batch, height * width, 3, heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, H * W, head_dim)
        scores = q * base.scale
        if base.use_rel_pos:
            grid = q.view(batch, heads, height, width, -1)
            rel_h = get_rel_pos(height, height, base.rel_pos_h)
            rel_w = get_rel_pos(width, width, base.rel_pos_w)
            bias_h = torch.einsum("bnhwc,hkc->bnhwk", grid, rel_h).flatten(2, 3)
            bias_w = torch.einsum("bnhwc,wkc->bnhwk", grid, rel_w).flatten(2, 3)
            rows = torch.eye(height, dtype=x.dtype, device=x.device)
            columns = torch.eye(width, dtype=x.dtype, device=x.device)
            where = torch.cat(
                [rows.repeat_interleave(width, 0), columns.repeat(height, 1)], dim=1
            )
            scores = torch.cat([scores, bias_h, bias_w], dim=-1)
            k = torch.cat([k, where.expand(batch, heads, -1, -1)], dim=-1)
        weights = (scores @ k.transpose(-2, -1)).softmax(dim=-1)
        tokens = (weights @ v).transpose(1, 2).reshape(batch, height, width, channels)
        result: Tensor = base.proj(tokens)
        return result


def fuse_attention(encoder: ImageEncoderViT) -> None:
    """Put `FusedAttention` around every attention layer, before any adapters.

    Raises
    ------
    AdapterMismatchError
        If the encoder is not a bare one.
    """
    if not all(isinstance(getattr(b, "attn", None), Attention) for b in encoder.blocks):
        raise AdapterMismatchError(
            "Attention can only be fused in an encoder without adapters; call "
            "remove_adapters first."
        )
    for block in encoder.blocks:
        block.attn = FusedAttention(block.attn)
