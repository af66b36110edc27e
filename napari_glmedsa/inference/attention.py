"""SAM's windowed and global attention, computed faster, up to rounding the same.

Stock SAM adds two broadcast tables to every attention map; forming that sum, and
its gradient, costs more than the attention itself. Here the tables are appended
to the queries, and one-hot rows and columns to the keys, so that one product
gives the same map and PyTorch's own attention kernels can do the rest.
"""

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention, Block, get_rel_pos
from torch import Tensor, nn
from torch.nn import functional


class FusedAttention(Attention):  # type: ignore[misc]  # segment_anything has no types
    """SAM's ``Attention`` over a whole grid of tokens, cut into windows in here.

    The queries, keys and values are made before the grid is padded to whole
    windows, and the projection comes after the padding is gone, so no work is
    spent on padding. What SAM attends to there is the bias of keys and values.
    """

    window_size: int

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised tokens (B, H, W, C) to the same shape."""
        height, width = x.shape[1:3]
        qkv = self.qkv(x)
        window = self.window_size
        if window == 0:
            return self.proj(self._attend(qkv))  # type: ignore[no-any-return]
        padding = (-height % window, -width % window)
        qkv = _to_windows(self._padded(qkv, padding), window)
        y = _from_windows(self._attend(qkv), window, height, width, x.shape[0])
        return self.proj(y)  # type: ignore[no-any-return]

    def _padded(self, qkv: Tensor, padding: tuple[int, int]) -> Tensor:
        if padding == (0, 0):
            return qkv
        down, right = padding
        if self.qkv.bias is None:
            return functional.pad(qkv, (0, 0, 0, right, 0, down))
        batch, height, width, channels = qkv.shape
        bias = self.qkv.bias.to(qkv.dtype)
        sides = bias.expand(batch, height, right, channels)
        below = bias.expand(batch, down, width + right, channels)
        return torch.cat([torch.cat([qkv, sides], dim=2), below], dim=1)

    def _attend(self, qkv: Tensor) -> Tensor:
        """Map (B, H, W, 3 C) to (B, H, W, C), every token seeing all of its grid."""
        batch, height, width, channels = qkv.shape
        heads = self.num_heads
        parts = qkv.view(batch, height * width, 3, heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = parts  # each (B, heads, H * W, head_dim)
        head_dim = q.shape[-1]
        scaled = q * self.scale
        if self.use_rel_pos:
            grid = q.reshape(batch, heads, height, width, head_dim)
            rel_h = get_rel_pos(height, height, self.rel_pos_h).to(q.dtype)
            rel_w = get_rel_pos(width, width, self.rel_pos_w).to(q.dtype)
            bias_h = torch.einsum("bnhwc,hkc->bnhwk", grid, rel_h).flatten(2, 3)
            bias_w = torch.einsum("bnhwc,wkc->bnhwk", grid, rel_w).flatten(2, 3)
            rows = torch.eye(height, dtype=q.dtype, device=q.device)
            columns = torch.eye(width, dtype=q.dtype, device=q.device)
            where = torch.cat(
                [rows.repeat_interleave(width, 0), columns.repeat(height, 1)], dim=1
            )
            scaled = torch.cat([scaled, bias_h, bias_w], dim=-1)
            k = torch.cat([k, where.expand(batch, heads, -1, -1)], dim=-1)
        # the flash kernels want one width for all three, a multiple of eight
        wide = scaled.shape[-1] + -scaled.shape[-1] % 8
        scaled, k, v = (
            functional.pad(part, (0, wide - part.shape[-1])) for part in (scaled, k, v)
        )
        y = functional.scaled_dot_product_attention(scaled, k, v, scale=1.0)
        y = y[..., :head_dim].transpose(1, 2)
        return y.reshape(batch, height, width, channels // 3)


class FusedBlock(Block):  # type: ignore[misc]  # segment_anything has no types
    """SAM's ``Block`` whose attention cuts the windows itself."""

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, H, W, C) to the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


def fuse_attention(encoder: ImageEncoderViT) -> None:
    """Let every block of `encoder` compute its attention fast, in place.

    Modules stay the objects they are and keep their names and weights; only
    their classes change. So this works before and after `inject_adapters`, on
    any device, in training and inference, and may be repeated.
    """
    for module in encoder.modules():
        if type(module) is Block:
            attention = _stock_layer(module.attn)
            attention.window_size = module.window_size
            attention.__class__ = FusedAttention
            module.__class__ = FusedBlock


def unfuse_attention(encoder: ImageEncoderViT) -> None:
    """Undo `fuse_attention` exactly; a stock encoder stays as it is."""
    for module in encoder.modules():
        if type(module) is FusedBlock:
            attention = _stock_layer(module.attn)
            del attention.window_size
            attention.__class__ = Attention
            module.__class__ = Block


def _stock_layer(module: nn.Module) -> nn.Module:
    """Follow ``base_layer``, as adapters keep what they wrap, to SAM's own module."""
    while isinstance(inner := getattr(module, "base_layer", None), nn.Module):
        module = inner
    return module


def _to_windows(x: Tensor, window: int) -> Tensor:
    """Cut (B, H, W, C) into (B * windows, window, window, C)."""
    batch, height, width, channels = x.shape
    x = x.view(batch, height // window, window, width // window, window, channels)
    return x.transpose(2, 3).reshape(-1, window, window, channels)


def _from_windows(
    windows: Tensor, window: int, height: int, width: int, batch: int
) -> Tensor:
    """Undo `_to_windows` and crop to (B, height, width, C)."""
    down, across = -(-height // window), -(-width // window)
    x = windows.view(batch, down, across, window, window, -1).transpose(2, 3)
    x = x.reshape(batch, down * window, across * window, -1)
    return x[:, :height, :width]
