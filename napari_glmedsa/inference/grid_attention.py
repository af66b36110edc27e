"""Attention over a grid of tokens with a position bias from rows and columns.

The one place that chooses how: PyTorch's fused kernels on CUDA, plain products on
other accelerators, and on the CPU chunks of the attention map that stay in the
processor's cache. The map as a whole (12 x 4096 x 4096 for SAM's global blocks) is
never in memory, neither forwards nor backwards.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_CHUNK = 2**20  # elements of the map per thread: a few MB, measured
_NARROW = 32  # rows of a map too short for vector units to add a bias to
_KEPT = 2**23  # elements of a map small enough to be kept for its gradient


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias_h: Tensor,
    bias_w: Tensor,
    *,
    check: Callable[[], None] | None = None,
) -> Tensor:
    """Return ``softmax(q @ k.T + bias) @ v`` with gradients for all five.

    Parameters
    ----------
    q, k, v
        (G, H * W, D), one grid of tokens for each of G windows and heads; the
        queries are scaled already.
    bias_h, bias_w
        (G, H * W, H) and (G, H * W, W): what every query adds to the keys of
        a row and to those of a column.
    check
        Called after every chunk of the map; what it raises ends the work.

    Returns
    -------
    Tensor
        (G, H * W, D).
    """
    if q.device.type == "cpu" and not _is_kept(q, k):
        if bias_w.shape[-1] < _NARROW:
            q, k = _with_bias(q, k, bias_h, bias_w)
            biases: tuple[Tensor | None, Tensor | None] = None, None
        else:
            biases = bias_h, bias_w
        result: Tensor = _ChunkedAttention.apply(q, k, v, *biases, check)
        return result
    q, k = _with_bias(q, k, bias_h, bias_w)
    if q.device.type == "cuda":
        return _flash(q, k, v)
    return torch.bmm(torch.bmm(q, k.transpose(1, 2)).softmax(dim=-1), v)


def _is_kept(q: Tensor, k: Tensor) -> bool:
    """Say whether a gradient will need the whole map, and it takes little memory."""
    has_gradient = torch.is_grad_enabled() and q.requires_grad
    return has_gradient and len(q) * q.shape[1] * k.shape[1] <= _KEPT


def _with_bias(
    q: Tensor, k: Tensor, bias_h: Tensor, bias_w: Tensor
) -> tuple[Tensor, Tensor]:
    """Append the bias to the queries and one-hot rows and columns to the keys."""
    height, width = bias_h.shape[-1], bias_w.shape[-1]
    rows = torch.eye(height, dtype=k.dtype, device=k.device)
    columns = torch.eye(width, dtype=k.dtype, device=k.device)
    where = torch.cat(
        [rows.repeat_interleave(width, 0), columns.repeat(height, 1)], dim=1
    )
    q = torch.cat([q, bias_h, bias_w], dim=-1)
    return q, torch.cat([k, where.expand(len(k), -1, -1)], dim=-1)


def _flash(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Let PyTorch choose a kernel; all want one width, a multiple of eight."""
    wide = q.shape[-1] + -q.shape[-1] % 8
    padded = (functional.pad(part, (0, wide - part.shape[-1])) for part in (q, k, v))
    q, k, value = (part[:, None] for part in padded)
    y = functional.scaled_dot_product_attention(q, k, value, scale=1.0)
    return y[:, 0, :, : v.shape[-1]]


class _ChunkedAttention(torch.autograd.Function):
    """Keeps its inputs alone, and computes the map again for the gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        bias_h: Tensor | None,
        bias_w: Tensor | None,
        check: Callable[[], None] | None,
    ) -> Tensor:
        ctx.save_for_backward(q, k, v, bias_h, bias_w)
        result = torch.empty_like(v)
        for heads, rows, weights in _maps(q, k, bias_h, bias_w):
            torch.bmm(weights, v[heads], out=result[heads, rows])
            if check is not None:
                check()
        return result

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias_h, bias_w = ctx.saved_tensors
        grad = grad_outputs[0].contiguous()
        grad_q = torch.empty_like(q)
        # sums over chunks, so never in half precision
        exact = torch.promote_types(q.dtype, torch.float32)
        grad_k, grad_v = (
            torch.zeros_like(k, dtype=exact),
            torch.zeros_like(v, dtype=exact),
        )
        grad_h = None if bias_h is None else torch.empty_like(bias_h)
        grad_w = None if bias_w is None else torch.empty_like(bias_w)
        for heads, rows, weights in _maps(q, k, bias_h, bias_w):
            part = grad[heads, rows]
            grad_v[heads] += torch.bmm(weights.transpose(1, 2), part)
            scores = torch.bmm(part, v[heads].transpose(1, 2))
            scores = torch._softmax_backward_data(scores, weights, -1, weights.dtype)
            grad_k[heads] += torch.bmm(scores.transpose(1, 2), q[heads, rows])
            torch.bmm(scores, k[heads], out=grad_q[heads, rows])
            if grad_h is not None and grad_w is not None:
                grid = scores.view(*scores.shape[:2], grad_h.shape[-1], -1)
                grad_h[heads, rows] = grid.sum(-1)
                grad_w[heads, rows] = grid.sum(-2)
        return grad_q, grad_k.to(k.dtype), grad_v.to(v.dtype), grad_h, grad_w, None


def _maps(
    q: Tensor, k: Tensor, bias_h: Tensor | None, bias_w: Tensor | None
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield the attention map in pieces: which heads, which queries, their weights.

    Every piece is written over the one before.
    """
    groups, n_queries, _ = q.shape
    n_keys = k.shape[1]
    budget = _CHUNK * torch.get_num_threads()
    n_rows = min(n_queries, max(1, budget // n_keys))
    n_heads = min(groups, max(1, budget // (n_rows * n_keys)))
    buffer = q.new_empty(n_heads * n_rows * n_keys)
    for first in range(0, groups, n_heads):
        heads = slice(first, min(first + n_heads, groups))
        for start in range(0, n_queries, n_rows):
            rows = slice(start, min(start + n_rows, n_queries))
            shape = (heads.stop - first, rows.stop - start, n_keys)
            scores = buffer[: shape[0] * shape[1] * n_keys].view(shape)
            keys = k[heads].transpose(1, 2)
            if bias_h is None or bias_w is None:
                torch.bmm(q[heads, rows], keys, out=scores)
            else:
                down, across = bias_h[heads, rows], bias_w[heads, rows]
                grid = scores.view(*shape[:2], down.shape[-1], -1)
                torch.add(down[..., None], across[..., None, :], out=grid)
                torch.baddbmm(scores, q[heads, rows], keys, out=scores)
            yield heads, rows, torch.softmax(scores, -1, out=scores)
