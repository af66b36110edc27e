"""The networks to compare with, by name, none with downloaded weights."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from napari_glmedsa.extras import require

_TASK = "A baseline network"


def unet_resnet34(size: int) -> nn.Module:
    """Return a U-Net with a ResNet-34 encoder, as ResUNet."""
    return _smp("Unet", encoder_name="resnet34")


def deeplabv3plus_boundary(size: int) -> nn.Module:
    """Return DeepLabV3+ on MobileNetV2 with a second output, the boundary: BEAL's idea.

    BEAL's adversaries, which adapt to another hospital, are left out.
    """
    return _smp("DeepLabV3Plus", encoder_name="mobilenet_v2", classes=2)


def dynunet(size: int) -> nn.Module:
    """Return the U-Net that nnU-Net would plan for 2-D images of this size."""
    from monai.networks.nets.dynunet import DynUNet

    stages = 6
    return DynUNet(
        spatial_dims=2,
        in_channels=3,
        out_channels=1,
        kernel_size=[3] * stages,
        strides=[1] + [2] * (stages - 1),
        upsample_kernel_size=[2] * (stages - 1),
        res_block=False,
    )


def transunet(size: int) -> nn.Module:
    """Return TransUNet: ResNet-50, a transformer at stride 16, a U-Net decoder."""
    require("segmentation_models_pytorch", task=_TASK, extra="baselines")
    return TransUNet(size)


def unetr(size: int) -> nn.Module:
    """Return UNETR with a ViT-B encoder."""
    from monai.networks.nets.unetr import UNETR

    return UNETR(in_channels=3, out_channels=1, img_size=size, spatial_dims=2)


def swinunetr(size: int) -> nn.Module:
    """Return Swin-UNETR of width 24."""
    from monai.networks.nets.swin_unetr import SwinUNETR

    return SwinUNETR(in_channels=3, out_channels=1, feature_size=24, spatial_dims=2)


NETWORKS: Mapping[str, Callable[[int], nn.Module]] = MappingProxyType(
    {
        build.__name__: build
        for build in (
            unet_resnet34,
            deeplabv3plus_boundary,
            dynunet,
            transunet,
            unetr,
            swinunetr,
        )
    }
)
"""Name to what makes the network for inputs of so many pixels a side."""


def build_network(name: str, *, size: int, seed: int = 0) -> nn.Module:
    """Return a network of `NETWORKS` with seeded random weights.

    Raises
    ------
    MissingPackageError
        If it needs a package of the extra `baselines`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[name](size)


class TransUNet(nn.Module):
    """A convolutional encoder whose deepest features are read by a transformer.

    Parameters
    ----------
    size
        Pixels of the square input; a multiple of 16.
    width, depth, heads
        Of the transformer.
    """

    def __init__(
        self, size: int, *, width: int = 768, depth: int = 12, heads: int = 12
    ) -> None:
        super().__init__()
        from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
        from segmentation_models_pytorch.encoders import get_encoder

        self.encoder = get_encoder("resnet50", depth=4, weights=None)
        channels = self.encoder.out_channels
        self.reduce = nn.Conv2d(channels[-1], width, 1)
        self.position = nn.Parameter(torch.zeros(1, (size // 16) ** 2, width))
        nn.init.trunc_normal_(self.position, std=0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(
            layer, depth, nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.decoder = UnetDecoder(
            encoder_channels=(*channels[:-1], width),
            decoder_channels=(256, 128, 64, 16),
            n_blocks=4,
        )
        self.head = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 1, S, S) of images (N, 3, S, S)."""
        features = self.encoder(images)
        deepest = self.reduce(features[-1])
        tokens = deepest.flatten(2).transpose(1, 2) + self.position
        read = self.transformer(tokens).transpose(1, 2).reshape(deepest.shape)
        logits: Tensor = self.head(self.decoder([*features[:-1], read]))
        return logits


def _smp(kind: str, **options: object) -> nn.Module:
    require("segmentation_models_pytorch", task=_TASK, extra="baselines")
    import segmentation_models_pytorch

    network: nn.Module = getattr(segmentation_models_pytorch, kind)(
        **{"encoder_weights": None, "classes": 1, **options}
    )
    return network
