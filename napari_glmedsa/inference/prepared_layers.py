"""Layers of SAM's mask decoder with their weights laid out for one image's clicks."""

import torch
from segment_anything.modeling import MaskDecoder
from segment_anything.modeling.common import MLPBlock
from torch import Tensor
from torch.nn import functional

_ROWS = 1024  # image tokens upscaled at a time: what comes of them fits into a cache


class TokenMLP:
    """An ``MLPBlock`` for a handful of tokens, which cost less than its weights do.

    A linear layer keeps its weights the other way round and turns them every time.
    """

    def __init__(self, mlp: MLPBlock) -> None:
        self._act = mlp.act
        self._layers = [
            (layer.bias, layer.weight.T.contiguous()) for layer in (mlp.lin1, mlp.lin2)
        ]

    def __call__(self, tokens: Tensor) -> Tensor:
        """Map tokens (T, C) to the same shape."""
        (bias, weight), (last_bias, last_weight) = self._layers
        hidden = self._act(torch.addmm(bias, tokens, weight))
        return torch.addmm(last_bias, hidden, last_weight)


class Upscaling:
    """``output_upscaling`` and the product with the masks' weights, token by token.

    Its kernels do not overlap, so they are matrices, and nothing needs to be brought
    into the order of an image before there is only one number per pixel.
    """

    def __init__(self, decoder: MaskDecoder) -> None:
        first, self._norm, self._act, second, self._last_act = decoder.output_upscaling
        self._first, self._first_bias = _as_matrix(first)
        self._second, self._second_bias = _as_matrix(second)

    def __call__(self, keys: Tensor, weights: Tensor, grid: tuple[int, int]) -> Tensor:
        """Map keys (h w, C) and weights (M, C / 8) to logits (M, 4h, 4w)."""
        parts = [
            self._upscaled(keys[start : start + _ROWS]) @ weights.T
            for start in range(0, len(keys), _ROWS)
        ]
        pixels = torch.cat(parts).view(*grid, 2, 2, 2, 2, -1)
        # (row, column, then half and quarter of each, mask)
        pixels = pixels.permute(6, 0, 2, 4, 1, 3, 5)
        return pixels.reshape(-1, 4 * grid[0], 4 * grid[1])

    def _upscaled(self, rows: Tensor) -> Tensor:
        norm = self._norm
        x = torch.addmm(self._first_bias, rows, self._first)
        x = x.view(-1, len(norm.weight))
        x = functional.layer_norm(x, x.shape[1:], norm.weight, norm.bias, norm.eps)
        x = torch.addmm(self._second_bias, self._act(x), self._second)
        y: Tensor = self._last_act(x)
        return y.view(-1, y.shape[1] // 4)


def _as_matrix(layer: torch.nn.ConvTranspose2d) -> tuple[Tensor, Tensor]:
    """Return what maps (P, C) to (P, 2 * 2 * D), and its bias."""
    weight = layer.weight.permute(0, 2, 3, 1).flatten(1).contiguous()
    assert layer.bias is not None
    return weight, layer.bias.repeat(4)
