"""The bottleneck adapter and the three wrappers that put it around SAM's modules.

Every wrapper keeps the module it wraps as ``base_layer``, unchanged.
"""

import math

from torch import Tensor, nn
from torch.nn import functional

from napari_glmedsa.adapters.config import Activation


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
    """

    def __init__(self, embed_dim: int, bottleneck: int, activation: Activation) -> None:
        super().__init__()
        self.down = nn.Linear(embed_dim, bottleneck)
        self.up = nn.Linear(bottleneck, embed_dim)
        self.activation = activation
        self.enabled = True
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
    """SAM's attention followed by an adapter (MHA-A): ``y + adapter(y)``."""

    def __init__(self, base_layer: nn.Module, adapter: Adapter) -> None:
        super().__init__()
        self.base_layer, self.adapter = base_layer, adapter

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, H, W, C), windowed or not, to the same shape."""
        y = self.base_layer(x)
        result: Tensor = y + self.adapter(y)
        return result


class AdaptedMLP(nn.Module):
    """SAM's MLP with a parallel adapter (MLP-A): ``base(x) + scale * adapter(x)``."""

    def __init__(self, base_layer: nn.Module, adapter: Adapter, scale: float) -> None:
        super().__init__()
        self.base_layer, self.adapter, self.scale = base_layer, adapter, scale

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised tokens (B, H, W, C) to the same shape."""
        result: Tensor = self.base_layer(x) + self.scale * self.adapter(x)
        return result


class AdaptedBlock(nn.Module):
    """A whole ViT block with the global adapter beside it, paper Eq. (1).

    ``e_adapt = l(e_input) + g(e_input)``; the block holds its own skip
    connection, so the adapter has none.
    """

    def __init__(self, base_layer: nn.Module, adapter: Adapter) -> None:
        super().__init__()
        self.base_layer, self.adapter = base_layer, adapter

    def forward(self, x: Tensor) -> Tensor:
        """Map block input tokens (B, H, W, C) to the same shape."""
        result: Tensor = self.base_layer(x) + self.adapter(x)
        return result
