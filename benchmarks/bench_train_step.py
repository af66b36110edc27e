"""One optimisation step of the adapters: SAM as it comes, and as it is trained here."""

import argparse
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from measuring import main, measure, show

from models import ARCHITECTURES, random_sam
from napari_glmedsa.adapters import freeze_all_but_adapters
from napari_glmedsa.inference import (
    decode_masks,
    fuse_attention,
    resolve_precision,
)
from napari_glmedsa.training.losses import mask_loss
from napari_glmedsa.training.memory import checkpoint_blocks

REFERENCE = "stock fp32"


def step(
    args: argparse.Namespace, *, fused: bool, precision: str, checkpointing: bool
) -> Mapping[str, Any]:
    """Measure encoder, decoder, loss, gradients and the optimiser, one click each."""
    sam = random_sam(args.model, adapted=True)
    parameters = freeze_all_but_adapters(sam)
    optimiser = torch.optim.AdamW(parameters, lr=1e-4)
    encoder = sam.image_encoder
    if fused:
        fuse_attention(encoder)
    half = resolve_precision(precision, torch.device("cpu")) == "bf16"
    size = encoder.img_size
    images = torch.rand(args.batch, 3, size, size)
    coords = torch.full((args.batch, 1, 2), size / 2)
    labels = torch.ones(args.batch, 1)
    target = torch.zeros(args.batch, 1, size // 4, size // 4)
    target[..., : size // 8, :] = 1
    losses, criterion = [], mask_loss("dice_ce")

    def run() -> None:
        optimiser.zero_grad(set_to_none=True)
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=half),
            checkpoint_blocks(encoder) if checkpointing else nullcontext(),
        ):
            features = encoder(images)
        logits, _ = decode_masks(sam, features.float(), coords, labels)
        loss = criterion(logits, target).mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())

    figures = measure(run, repeats=args.repeats)
    return {**figures, "loss": losses[-1], "bf16": half}


VARIANTS = {
    REFERENCE: partial(step, fused=False, precision="fp32", checkpointing=False),
    "fp32": partial(step, fused=True, precision="fp32", checkpointing=False),
    "auto": partial(step, fused=True, precision="auto", checkpointing=False),
    "auto, checkpointed": partial(
        step, fused=True, precision="auto", checkpointing=True
    ),
    "fp32, checkpointed": partial(
        step, fused=True, precision="fp32", checkpointing=True
    ),
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=list(ARCHITECTURES), default="vit_b")
    parser.add_argument("--batch", type=int, default=2)
    result = main(__doc__.split("\n")[0], VARIANTS, parser)
    if result:
        show(result, reference=REFERENCE)
        for name, row in result["variants"].items():
            print(f"{name:26} loss {row['loss']:.4f}")
