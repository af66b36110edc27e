"""SAM's transformer blocks made fast, put in and taken out again.

Stock SAM pads the grid to whole windows before it computes queries, keys and
values, and holds every attention map, its position bias and their sums in memory.
The fused layers do neither, and give the same numbers up to rounding. On the CPU they
go through the tokens in bands: what is made of one fits into the processor's cache,
and its memory is used again for the next, where fresh memory costs as much time as
the copying of it.
"""

from collections.abc import Callable

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.common import MLPBlock
from segment_anything.modeling.image_encoder import Attention, Block, get_rel_pos
from torch import Tensor, nn
from torch.nn import functional

from napari_glmedsa.inference.grid_attention import attend

_BAND = 1024  # tokens; the widest of their layers takes some MB


class FusedAttention(Attention):  # type: ignore[misc]  # segment_anything has no types
    """SAM's ``Attention`` over a whole grid of tokens, cut into windows in here.

    The queries, keys and values are made before the grid is padded to whole
    windows, and the projection comes after the padding is gone, so no work is
    spent on padding. What SAM attends to there is the bias of keys and values.
    """

    window_size: int
    check: Callable[[], None] | None = None  # see `checking`

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised tokens (B, H, W, C) to the same shape."""
        batch, height, width, _ = x.shape
        if not self.window_size:
            return self._attended(x, (height, width))
        window = (self.window_size,) * 2
        n_windows = max(1, _band(x) // (batch * self.window_size * width))
        bands = torch.split(x, n_windows * self.window_size, dim=1)
        return _joined([self._attended(band, window) for band in bands], dim=1)

    def _attended(self, x: Tensor, window: tuple[int, int]) -> Tensor:
        """Do so for some rows of windows."""
        x = x.contiguous()
        batch, height, width, channels = x.shape
        grids = _to_windows(self._padded(self.qkv(x), window), window, self.num_heads)
        q, k, v = grids  # each (B * windows * heads, h * w, head_dim)
        bias = self._position_bias(q, window)
        y = attend(q * self.scale, k, v, *bias, check=self.check)
        y = _from_windows(y, window, (batch, height, width, channels))
        result: Tensor = self.proj(y)
        return result

    def _padded(self, qkv: Tensor, window: tuple[int, int]) -> Tensor:
        batch, height, width, channels = qkv.shape
        down, right = -height % window[0], -width % window[1]
        if down == right == 0:
            return qkv
        if self.qkv.bias is None:
            return functional.pad(qkv, (0, 0, 0, right, 0, down))
        bias = self.qkv.bias.to(qkv.dtype)
        sides = bias.expand(batch, height, right, channels)
        below = bias.expand(batch, down, width + right, channels)
        return torch.cat([torch.cat([qkv, sides], dim=2), below], dim=1)

    def _position_bias(
        self, q: Tensor, window: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        height, width = window
        if not self.use_rel_pos:
            nothing = q.new_zeros(*q.shape[:2], height + width)
            return nothing[..., :height], nothing[..., height:]
        grid = q.view(-1, height, width, q.shape[-1])
        rel_h = get_rel_pos(height, height, self.rel_pos_h).to(q.dtype)
        rel_w = get_rel_pos(width, width, self.rel_pos_w).to(q.dtype)
        bias_h = torch.einsum("ghwc,hkc->ghwk", grid, rel_h).flatten(1, 2)
        bias_w = torch.einsum("ghwc,wkc->ghwk", grid, rel_w).flatten(1, 2)
        return bias_h, bias_w


class FusedMLP(MLPBlock):  # type: ignore[misc]  # segment_anything has no types
    """SAM's ``MLPBlock``, some tokens at a time."""

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (..., C) to the same shape."""
        bands = torch.split(x.flatten(0, -2), _band(x))
        layers = super().forward
        return _joined([layers(band) for band in bands], dim=0).view(x.shape)


class FusedBlock(Block):  # type: ignore[misc]  # segment_anything has no types
    """SAM's ``Block`` whose attention cuts the windows itself."""

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, H, W, C) to the same shape."""
        # SAM's come from a convolution, channels first, and every sum would stay so
        x = x.contiguous()
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
            _stock_layer(module.mlp).__class__ = FusedMLP
            module.__class__ = FusedBlock


def unfuse_attention(encoder: ImageEncoderViT) -> None:
    """Undo `fuse_attention` exactly; a stock encoder stays as it is."""
    for module in encoder.modules():
        if type(module) is FusedBlock:
            attention = _stock_layer(module.attn)
            del attention.window_size
            attention.__class__ = Attention
            _stock_layer(module.mlp).__class__ = MLPBlock
            module.__class__ = Block


def _stock_layer(module: nn.Module) -> nn.Module:
    """Follow ``base_layer``, as adapters keep what they wrap, to SAM's own module."""
    while isinstance(inner := getattr(module, "base_layer", None), nn.Module):
        module = inner
    return module


def _band(x: Tensor) -> int:
    """Return how many tokens are worked on at a time: elsewhere than on a CPU, all."""
    return _BAND if x.device.type == "cpu" else max(1, x.numel())


def _joined(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _to_windows(qkv: Tensor, window: tuple[int, int], heads: int) -> Tensor:
    """Cut (B, H, W, 3 C) into (3, B * windows * heads, h * w, C / heads)."""
    batch, height, width, _ = qkv.shape
    down, across = height // window[0], width // window[1]
    parts = qkv.view(batch, down, window[0], across, window[1], 3, heads, -1)
    parts = parts.permute(5, 0, 1, 3, 6, 2, 4, 7)  # one copy for all
    return parts.reshape(3, -1, window[0] * window[1], parts.shape[-1])


def _from_windows(
    y: Tensor, window: tuple[int, int], shape: tuple[int, int, int, int]
) -> Tensor:
    """Put (B * windows * heads, h * w, C / heads) together as `shape`, (B, H, W, C)."""
    batch, height, width, channels = shape
    down, across = -(-height // window[0]), -(-width // window[1])
    y = y.view(batch, down, across, -1, *window, y.shape[-1])
    y = y.permute(0, 1, 4, 2, 5, 3, 6)
    y = y.reshape(batch, down * window[0], across * window[1], channels)
    # a linear layer would copy its weights for every row of a grid with gaps
    return y[:, :height, :width].contiguous()
