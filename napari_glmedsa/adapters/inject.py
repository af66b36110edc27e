"""Put adapters into a SAM image encoder, walk over them, take them out again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from segment_anything.modeling import ImageEncoderViT, Sam
from torch import Tensor, nn

from napari_glmedsa.adapters.config import AdapterSite, GLMedSAConfig
from napari_glmedsa.adapters.layers import (
    AdaptedAttention,
    AdaptedBlock,
    AdaptedMLP,
    Adapter,
    StreamBlock,
    unwrap,
)
from napari_glmedsa.adapters.switches import rewire_encoder, unwire_encoder
from napari_glmedsa.errors import AdapterMismatchError


def inject_adapters(encoder: ImageEncoderViT, config: GLMedSAConfig) -> None:
    """Wrap the modules named by ``config.sites`` in ``config.blocks``, in place.

    The encoder computes bit for bit what it did before until an adapter is
    trained or loaded, unless the config asks for another start or for switches
    of ``config.compat``; those about the encoder are thrown here, the others by
    `apply_compat`. New parameters are made on the device of the block.

    Raises
    ------
    AdapterMismatchError
        If the encoder has adapters already, or fewer blocks than are asked for.
    """
    if any(True for _ in iter_adapters(encoder)):
        raise AdapterMismatchError(
            "The encoder has adapters already; call remove_adapters first."
        )
    try:
        indices = config.block_indices(len(encoder.blocks))
    except ValueError as error:
        raise AdapterMismatchError(str(error)) from error
    for index in indices:
        block = encoder.blocks[index]
        reference = block.norm1.weight
        width = reference.shape[0]

        def adapter(width: int = width, reference: Tensor = reference) -> Adapter:
            hidden = config.bottleneck(width)
            made = Adapter(width, hidden, config.activation, config.init)
            return made.to(reference.device)

        if "attn" in config.sites:
            block.attn = AdaptedAttention(block.attn, adapter(), config.attn_scale)
        if "mlp" in config.sites:
            block.mlp = AdaptedMLP(block.mlp, adapter(), config.mlp_scale)
        if "block" not in config.sites:
            continue
        how = (block, adapter(), config.global_scale, config.global_input)
        if config.wiring == "block":
            encoder.blocks[index] = AdaptedBlock(*how)
        else:
            encoder.blocks[index] = StreamBlock(*how, last=index == indices[-1])
    rewire_encoder(encoder, config.compat)


def remove_adapters(encoder: ImageEncoderViT) -> None:
    """Undo `inject_adapters` exactly; an encoder without adapters stays as it is."""
    unwire_encoder(encoder)
    for index, outer in enumerate(encoder.blocks):
        block = outer.base_layer if isinstance(outer, AdaptedBlock) else outer
        encoder.blocks[index] = block
        if isinstance(block.attn, AdaptedAttention):
            block.attn = block.attn.base_layer
        if isinstance(block.mlp, AdaptedMLP):
            block.mlp = block.mlp.base_layer


def iter_adapters(encoder: ImageEncoderViT) -> Iterator[tuple[str, Adapter]]:
    """Yield every adapter with the name of its site, such as ``"blocks.3.mlp"``.

    This is the one place that knows which adapters there are: state dict,
    freezing and counting all go through it.
    """
    for index, outer in enumerate(encoder.blocks):
        block = unwrap(outer)
        found: dict[AdapterSite, object] = {
            "attn": block.attn,
            "mlp": block.mlp,
            "block": outer,
        }
        for site, module in found.items():
            if isinstance(module, AdaptedAttention | AdaptedMLP | AdaptedBlock):
                yield f"blocks.{index}.{site}", module.adapter


def adapter_state_dict(encoder: ImageEncoderViT) -> dict[str, Tensor]:
    """Return the adapters' tensors, keys like ``"blocks.3.mlp.down.weight"``.

    Keys name the site, not the wrapper, so files outlive refactoring.
    """
    return {
        f"{site}.{name}": tensor
        for site, adapter in iter_adapters(encoder)
        for name, tensor in adapter.state_dict().items()
    }


def load_adapter_state_dict(
    encoder: ImageEncoderViT, state_dict: Mapping[str, Tensor]
) -> None:
    """Copy tensors into the injected adapters; every key and shape must agree.

    Raises
    ------
    AdapterMismatchError
        Names the first missing, unexpected or mis-shaped tensor. Nothing is
        copied in that case.
    """
    own = adapter_state_dict(encoder)
    for problem, keys in (
        ("lacks", own.keys() - state_dict.keys()),
        ("has an unexpected", state_dict.keys() - own.keys()),
    ):
        if keys:
            raise AdapterMismatchError(
                f"The adapter {problem} tensor {min(keys)} ({len(keys)} in all): it "
                "was made for another encoder or another configuration."
            )
    for key, tensor in own.items():
        if tensor.shape != state_dict[key].shape:
            raise AdapterMismatchError(
                f"Adapter tensor {key} has shape {tuple(state_dict[key].shape)} where "
                f"this encoder needs {tuple(tensor.shape)}: it is another model's."
            )
    for key, tensor in own.items():
        tensor.copy_(state_dict[key])


def freeze_all_but_adapters(sam: Sam) -> list[nn.Parameter]:
    """Freeze SAM, unfreeze its adapters, and return the adapters' parameters."""
    sam.requires_grad_(False)
    parameters = [
        parameter
        for _, adapter in iter_adapters(sam.image_encoder)
        for parameter in adapter.parameters()
    ]
    for parameter in parameters:
        parameter.requires_grad_(True)
    return parameters


@contextmanager
def adapters_disabled(encoder: ImageEncoderViT) -> Iterator[None]:
    """Run the encoder as if it had no adapters, within a ``with`` block."""
    adapters = [adapter for _, adapter in iter_adapters(encoder)]
    before = [adapter.enabled for adapter in adapters]
    for adapter in adapters:
        adapter.enabled = False
    try:
        yield
    finally:
        for adapter, enabled in zip(adapters, before, strict=True):
            adapter.enabled = enabled
