"""The smallest real SAM, and weights for it that are not zero."""

import torch
from segment_anything.modeling import Sam

from napari_glmedsa.adapters import iter_adapters
from napari_glmedsa.inference import SamArchitecture

TINY = SamArchitecture(
    embed_dim=32,
    depth=3,
    num_heads=2,
    global_attn_indexes=(2,),
    image_size=64,
    window_size=3,  # does not divide the grid of 4: windows are padded
    prompt_embed_dim=32,
    decoder_mlp_dim=64,
)


def randomise(sam: Sam, seed: int = 0) -> Sam:
    """Give every weight a value, position tables included, which start at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in sam.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.1 * noise)
    return sam


def train_a_little(sam: Sam, seed: int = 1) -> None:
    """Make the adapters count: random weights instead of the zeros they start from."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, adapter in iter_adapters(sam.image_encoder):
            for parameter in adapter.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(0.2 * noise)
