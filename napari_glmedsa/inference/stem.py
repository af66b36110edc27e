"""A convolutional stem in front of the ViT blocks of a small SAM.

A hybrid ViT (Dosovitskiy et al. 2020, section 3.1) learns from few images:
the stem is EfficientNet-Lite0, batch norms folded into the convolutions, and a
linear map from three of its strides to the width of the blocks.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

# kernel, stride, expansion, channels, repeats of EfficientNet-Lite0's stages.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_FINE_STAGE = 2  # the last stage at stride 8; its detail goes to the tokens too
_TOKEN_STAGE = 4  # the last stage at stride 16, that of the tokens


class SameConv(nn.Conv2d):
    """Convolution padded as TensorFlow's ``SAME``: stride 2 pads right and below more.

    The ImageNet weights were trained so; even input sizes are assumed.
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, groups: int
    ) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, groups=groups)
        total = kernel - stride
        self.margin = (total // 2, total - total // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / stride, W / stride)."""
        # A pad of nothing would copy x, and one beforehand copies where none need be.
        near, far = self.margin[:2]
        if near != far:
            x, near = functional.pad(x, self.margin), 0
        return functional.conv2d(
            x, self.weight, self.bias, self.stride, near, groups=self.groups
        )


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, project; a skip where shapes allow one."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, factor: int
    ) -> None:
        super().__init__()
        wide = channels_in * factor
        self.skip = stride == 1 and channels_in == channels_out
        self.expand = (
            SameConv(channels_in, wide, 1, 1, 1) if factor > 1 else nn.Identity()
        )
        self.depthwise = SameConv(wide, wide, kernel, stride, wide)
        self.project = SameConv(wide, channels_out, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / stride, W / stride)."""
        y = self.expand(x)
        if y is not x:
            y = functional.relu6(y, inplace=True)
        y = self.project(functional.relu6(self.depthwise(y), inplace=True))
        result: Tensor = x + y if self.skip else y
        return result


class ConvStem(nn.Module):
    """Stand-in for SAM's ``patch_embed``: image to tokens at stride 16.

    Parameters
    ----------
    embed_dim
        Width of the ViT blocks that follow.
    n_stages
        5 ends at stride 16; 7 adds the stages at stride 32, which know most
        about objects, and brings them back to stride 16.
    """

    stride = 16

    def __init__(self, embed_dim: int, n_stages: int = 5) -> None:
        super().__init__()
        self.first = SameConv(3, 32, 3, 2, 1)
        channels = 32
        stages = []
        for kernel, stride, factor, width, repeats in _STAGES[:n_stages]:
            blocks = []
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(InvertedResidual(channels, width, kernel, step, factor))
                channels = width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        fine = _STAGES[_FINE_STAGE][3] * 4  # 2 x 2 pixels of stride 8 per token
        coarse = channels if n_stages > _TOKEN_STAGE + 1 else 0
        self.project = nn.Linear(_STAGES[_TOKEN_STAGE][3] + fine + coarse, embed_dim)

    def convolutions(self) -> Iterator[SameConv]:
        """Yield the convolutions in the order of EfficientNet-Lite0's weights."""
        for module in self.modules():
            if isinstance(module, SameConv):
                yield module

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to tokens (B, H/16, W/16, embed_dim)."""
        x = x.contiguous(memory_format=torch.channels_last)  # faster on CPU
        x = functional.relu6(self.first(x), inplace=True)
        features = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index == _FINE_STAGE:
                features.append(functional.pixel_unshuffle(x, 2))
            if index == _TOKEN_STAGE:
                features.insert(0, x)
        if len(self.stages) > _TOKEN_STAGE + 1:
            grid = features[0].shape[-2:]
            features.append(functional.interpolate(x, grid, mode="bilinear"))
        tokens: Tensor = self.project(torch.cat(features, 1).permute(0, 2, 3, 1))
        return tokens
