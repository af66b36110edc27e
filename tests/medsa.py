"""Med-SA state dicts made of a tiny SAM: what its releases would have written."""

from collections.abc import Callable

import torch
from segment_anything.modeling import Sam
from torch import Tensor

LAYOUTS = ("2023", "2024-01-03", "2024-01-29")
_NAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "2023": (),
    "2024-01-03": (("mlp.lin1", "mlp.layers.0.0"), ("mlp.lin2", "mlp.fc")),
    "2024-01-29": (
        ("mlp.lin1", "mlp.layers.0.0"),
        ("mlp.lin2", "mlp.fc"),
        ("attn.rel_pos_", "attn.rel_"),
    ),
}


def medsa_state(
    sam: Sam,
    *,
    layout: str = "2024-01-29",
    hidden: int = 8,
    depth_adapters: bool = True,
) -> dict[str, Tensor]:
    """Return what Med-SA would have saved after training on `sam`, decoder included."""
    generator = torch.Generator().manual_seed(7)

    def draw(*shape: int) -> Tensor:
        return 0.1 * torch.randn(*shape, generator=generator)

    def rename(name: str) -> str:
        for ours, theirs in _NAMES[layout]:
            if name.startswith("mask_decoder.transformer") or "attn" in ours:
                name = name.replace(ours, theirs)
        return name

    result = {}
    for name, tensor in sam.state_dict().items():
        value = tensor.clone()
        if name.startswith("mask_decoder."):
            value += draw(*value.shape)
        if layout == "2024-01-29" and ".rel_pos_" in name:
            value.zero_()
        result[rename(name)] = value
    width = sam.image_encoder.pos_embed.shape[-1]
    for block in range(len(sam.image_encoder.blocks)):
        for kind in ("Space", "MLP", "Depth"):
            key = f"image_encoder.blocks.{block}.{kind}_Adapter"
            result[f"{key}.D_fc1.weight"] = draw(hidden, width)
            result[f"{key}.D_fc1.bias"] = draw(hidden)
            result[f"{key}.D_fc2.weight"] = draw(width, hidden)
            result[f"{key}.D_fc2.bias"] = draw(width)
    return result


def without(state: dict[str, Tensor], drop: Callable[[str], bool]) -> dict[str, Tensor]:
    """Return the state without the names that `drop` is true for."""
    return {name: tensor for name, tensor in state.items() if not drop(name)}


def adapters_only(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what the Adapter Zoo keeps."""
    return without(state, lambda name: "_Adapter" not in name)
