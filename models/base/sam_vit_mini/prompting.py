"""Rounds of prompts for pre-training: clicks on all objects of a batch at once."""

from dataclasses import dataclass

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor
from torch.nn import functional

from napari_glmedsa.inference.decode import decode_masks

ROUNDS, ROUND_SHARES = (1, 2, 3, 4), (0.1, 0.4, 0.35, 0.15)
BOX, MULTIMASK, FEED_LOGITS = 0.15, 0.3, 0.4  # shares of batches
CENTRED, POSITIVE = 0.4, 0.25  # shares of objects, see `next_clicks`
CELL, EROSIONS = 4, 10  # pixels and steps, how deep inside an error a pixel lies


@dataclass(frozen=True, eq=False)
class Objects:
    """A batch to prompt.

    Parameters
    ----------
    masks
        (N, S, S) bool.
    index
        (N,) int64, the image of each mask.
    inside
        (B, S, S) bool, where the images are not padding.
    """

    masks: Tensor
    index: Tensor
    inside: Tensor


def learn_rounds(
    sam: Sam, embedding: Tensor, objects: Objects, rng: np.random.Generator
) -> tuple[Tensor, float, list[float]]:
    """Prompt, answer, correct; gradients of the decoder are added up at once.

    Every round goes backward before the next, so memory holds one round only.

    Returns
    -------
    tuple
        Gradient of the embedding, mean loss, mean IoU of each round's answer.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    leaf = embedding.detach().requires_grad_()
    rounds = int(rng.choice(ROUNDS, p=ROUND_SHARES))
    starts_with_box, multimask = rng.random() < BOX, rng.random() < MULTIMASK
    feed = rng.random() < FEED_LOGITS
    count = len(objects.masks)
    boxes = loose_boxes(objects.masks, generator) if starts_with_box else None
    centred = torch.rand(count, generator=generator) < CENTRED
    positive = torch.rand(count, generator=generator) < POSITIVE
    coords = torch.empty(count, 0, 2)
    labels = torch.empty(count, 0)
    answer, mask_input, total, ious = None, None, 0.0, []
    for number in range(rounds):
        if number or boxes is None:
            points, signs = next_clicks(objects, answer, centred, positive, generator)
            coords = torch.cat([coords, points[:, None]], 1)
            labels = torch.cat([labels, signs[:, None]], 1)
        with torch.autocast("cpu", torch.bfloat16):
            logits, guesses = decode_masks(
                sam,
                leaf,
                coords if coords.shape[1] else None,
                labels if coords.shape[1] else None,
                boxes=boxes,
                mask_input=mask_input,
                image_index=objects.index,
                multimask_output=bool(multimask and number == 0),
            )
        loss, best, answer, iou = judged(logits.float(), guesses.float(), objects.masks)
        (loss / rounds).backward()
        total += loss.item() / rounds
        ious.append(iou)
        mask_input = best if feed else None
    assert leaf.grad is not None
    return leaf.grad, total, ious


def judged(
    logits: Tensor, guesses: Tensor, masks: Tensor
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return the loss of the best candidates, their logits, answers and mean IoU.

    Cross-entropy (its target may be a share of a pixel) and soft Dice on the low
    resolution masks; the squared error of every guess at the IoU. Dice has the
    greater say: SAM's 20 parts of focal loss make an unsure model draw too little.
    """
    target = functional.interpolate(
        masks[:, None].float(), logits.shape[-2:], mode="area"
    ).expand_as(logits)
    entropy = functional.binary_cross_entropy_with_logits(
        logits, target, reduction="none"
    )
    shares = logits.sigmoid()
    overlap = (shares * target).sum((-2, -1))
    area = shares.sum((-2, -1)) + target.sum((-2, -1))
    per_mask = entropy.mean((-2, -1)) + 1 - (2 * overlap + 1) / (area + 1)
    best = per_mask.detach().argmin(1)
    rows = torch.arange(len(logits))
    with torch.no_grad():
        full = functional.interpolate(logits, masks.shape[-2:], mode="bilinear") > 0
        truth = masks[:, None]
        union = (full | truth).sum((-2, -1)).clamp(min=1)
        ious = (full & truth).sum((-2, -1)) / union
    loss = per_mask[rows, best].mean() + functional.mse_loss(guesses, ious)
    chosen = logits.detach()[rows, best][:, None]
    return loss, chosen, full[rows, best], ious[rows, best].mean().item()


def next_clicks(
    objects: Objects,
    answer: Tensor | None,
    centred: Tensor,
    positive: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Click on every object where the answer is wrong (anywhere on it if nowhere).

    Parameters
    ----------
    objects
        What is sought.
    answer
        (N, S, S) bool, or None before the first click.
    centred
        (N,) bool: deep inside the error, as a person would; else anywhere in it.
    positive
        (N,) bool: on missed parts only, as in the paper's 3-point prompts.
    generator
        Source of every draw.

    Returns
    -------
    tuple
        (N, 2) float (x, y), and (N,) float labels.
    """
    masks = objects.masks
    wrong = masks
    if answer is not None:
        missed = masks & ~answer
        wrong = (masks ^ answer) & objects.inside[objects.index]
        wrong = torch.where(positive[:, None, None], missed, wrong)
        wrong = torch.where(wrong.any(-1).any(-1)[:, None, None], wrong, masks)
    noise = torch.rand(wrong.shape, generator=generator)
    depth = functional.avg_pool2d(wrong[:, None].float(), CELL)
    level = depth
    for _ in range(EROSIONS):
        level = -functional.max_pool2d(-level, 3, 1, 1)
        depth = depth + level
    depth = depth / depth.amax((-2, -1), keepdim=True).clamp(min=1e-6)
    depth = functional.interpolate(depth, scale_factor=CELL, mode="nearest")[:, 0]
    wish = torch.where(centred[:, None, None], depth + 0.3 * noise, noise)
    place = (wrong * (wish + 1e-3)).flatten(1).argmax(1)
    labels = masks.flatten(1).gather(1, place[:, None])[:, 0]
    side = masks.shape[-1]
    return torch.stack([place % side, place // side], 1).float(), labels.float()


def loose_boxes(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Return (N, 4) boxes round the masks, each side off by up to a tenth."""
    columns, rows = masks.any(1).int(), masks.any(2).int()
    side = masks.shape[-1]
    low = torch.stack([columns.argmax(1), rows.argmax(1)], 1)
    high = side - torch.stack([columns.flip(1).argmax(1), rows.flip(1).argmax(1)], 1)
    off = torch.rand(len(masks), 4, generator=generator) * 0.2 - 0.1
    return torch.cat([low, high], 1) + off * (high - low).repeat(1, 2)
