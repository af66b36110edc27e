"""Watching an encoding: how far it is, and whether it is still wanted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from segment_anything.modeling import ImageEncoderViT
from torch import nn

from napari_glmedsa.inference.attention import FusedAttention

BlockCallback = Callable[[int, int], None]
"""Told how many ViT blocks are done, of how many."""

Check = Callable[[], None]
"""Called in between; what it raises ends the work."""


@contextmanager
def reporting(
    encoder: ImageEncoderViT, on_block: BlockCallback | None
) -> Iterator[None]:
    """Let `on_block` be called after every block."""
    if on_block is None:
        yield
        return
    done, depth = 0, len(encoder.blocks)

    def hook(*_: object) -> None:  # a value returned would replace the output
        nonlocal done
        done += 1
        on_block(done, depth)

    handles = [block.register_forward_hook(hook) for block in encoder.blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def checking(encoder: ImageEncoderViT, check: Check | None) -> Iterator[None]:
    """Let `check` be called before every layer, and within those that take long.

    A block of a large SAM takes most of a second, longer than a click may wait.
    """
    if check is None:
        yield
        return

    def look(*_: object) -> None:  # a value returned would replace the input
        check()

    attentions = [
        module for module in encoder.modules() if isinstance(module, FusedAttention)
    ]
    handles = [
        layer.register_forward_pre_hook(look)
        for layer in encoder.modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    for attention in attentions:
        attention.check = check
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for attention in attentions:
            attention.check = None
