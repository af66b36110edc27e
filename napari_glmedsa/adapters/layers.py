"""The bottleneck adapter and the wrappers that put it around SAM's modules.

Every wrapper keeps the module it wraps as ``base_layer``, unchanged.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_glmedsa.adapters.config import Activation, GlobalInput, Init


class Adapter(nn.Module):
    """Bottleneck ``up(activation(down(x)))``, zero until it is trained.

    ``up`` starts at zero, so that an untrained adapter adds exactly nothing;
    its gradient is not zero, so that training starts at once (methods of the
    paper, section III.C).

    Parameters
    ----------
    embed_dim
        Width of the tokens, last axis of input and output.
    bottleneck
        Width between the two linear layers.
    activation
        ``"relu"`` or ``"gelu"`` (exact, not the tanh approximation).
    init
        ``"medsa"`` leaves both layers as PyTorch draws them, so that an untrained
        adapter adds noise.
    """

    def __init__(
        self,
        embed_dim: int,
        bottleneck: int,
        activation: Activation,
        init: Init = "zero_up",
    ) -> None:
        super().__init__()
        self.down = nn.Linear(embed_dim, bottleneck)
        self.up = nn.Linear(bottleneck, embed_dim)
        self.activation = activation
        self.enabled = True
        if init == "zero_up":
            nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
            nn.init.zeros_(self.down.bias)
            nn.init.zeros_(self.up.weight)
            nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (..., embed_dim) to tokens of the same shape."""
        if not self.enabled:
            return x.new_zeros(()).expand_as(x)
        hidden = self.down(x)
        hidden = (
            functional.relu(hidden)
            if self.activation == "relu"
            else functional.gelu(hidden)
        )
        result: Tensor = self.up(hidden)
        return result


class AdaptedAttention(nn.Module):
    """SAM's attention followed by an adapter (MHA-A): ``y + scale * adapter(y)``."""

    def __init__(
        self, base_layer: nn.Module, adapter: Adapter, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.base_layer, self.adapter, self.scale = base_layer, adapter, scale

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, H, W, C), windowed or not, to the same shape."""
        y = self.base_layer(x)
        return torch.add(y, self.adapter(y), alpha=self.scale)


class AdaptedMLP(nn.Module):
    """SAM's MLP with a parallel adapter (MLP-A): ``base(x) + scale * adapter(x)``."""

    def __init__(self, base_layer: nn.Module, adapter: Adapter, scale: float) -> None:
        super().__init__()
        self.base_layer, self.adapter, self.scale = base_layer, adapter, scale

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised tokens (B, H, W, C) to the same shape."""
        return torch.add(self.base_layer(x), self.adapter(x), alpha=self.scale)


class AdaptedBlock(nn.Module):
    """A whole ViT block with the global adapter beside it, paper Eq. (1).

    ``e_adapt = l(e_input) + scale * g(e_input)``; the block holds its own skip
    connection, so the adapter has none.

    Parameters
    ----------
    base_layer
        The block.
    adapter
        Computes g.
    scale
        1 in Eq. (1).
    global_input
        ``"norm1"`` shows the adapter what the block's first norm makes of e_input.
    """

    def __init__(
        self,
        base_layer: nn.Module,
        adapter: Adapter,
        scale: float = 1.0,
        global_input: GlobalInput = "block_input",
    ) -> None:
        super().__init__()
        self.base_layer, self.adapter, self.scale = base_layer, adapter, scale
        self.global_input = global_input

    def forward(self, x: Tensor) -> Tensor:
        """Map block input tokens (B, H, W, C) to the same shape."""
        return torch.add(self.base_layer(x), self._adapt(x), alpha=self.scale)

    def _adapt(self, x: Tensor) -> Tensor:
        if self.global_input == "norm1":
            block: Any = unwrap(self.base_layer)
            x = unwrap(block.norm1)(x)
        result: Tensor = self.adapter(x)
        return result


Stream = tuple[Tensor, Tensor, Tensor]


class StreamBlock(AdaptedBlock):
    """A ViT block that also passes on the stream of the global adapters.

    The stream starts as the first block's input, takes up every adapter's answer
    to it, and the last block adds what it has gathered to its own output. It
    travels from block to block with the tokens, so nothing is remembered here.

    Parameters
    ----------
    base_layer, adapter, scale, global_input
        As for `AdaptedBlock`.
    last
        Whether the stream ends here.
    """

    def __init__(
        self,
        base_layer: nn.Module,
        adapter: Adapter,
        scale: float = 1.0,
        global_input: GlobalInput = "block_input",
        *,
        last: bool,
    ) -> None:
        super().__init__(base_layer, adapter, scale, global_input)
        self.last = last

    def forward(self, x: Tensor | Stream) -> Tensor | Stream:  # type: ignore[override]
        """Map tokens (B, H, W, C), between blocks with stream and what it gathered."""
        tokens, stream, gathered = (
            x if isinstance(x, tuple) else (x, x, torch.zeros_like(x))
        )
        answer = self._adapt(stream)
        gathered = torch.add(gathered, answer, alpha=self.scale)
        y: Tensor = self.base_layer(tokens)
        if self.last:
            return y + gathered
        return y, torch.add(stream, answer, alpha=self.scale), gathered


def unwrap(module: nn.Module) -> nn.Module:
    """Follow ``base_layer`` to the module that SAM made."""
    while isinstance(inner := getattr(module, "base_layer", None), nn.Module):
        module = inner
    return module
