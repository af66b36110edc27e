"""Rounds of clicks on a batch, with the loss of every answer on one embedding."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from torch import Tensor
from torch.nn import functional

from napari_glmedsa.inference.decode import decode_masks
from napari_glmedsa.inference.prompts import Prompts
from napari_glmedsa.simulation import ClickPolicy, ClickSimulator


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """How one batch is prompted.

    Parameters
    ----------
    n_rounds
        Answers per object; each but the first follows one more click.
    policy
        Where later clicks fall.
    start_with_box
        A loose box instead of the first click.
    multimask_first
        The first answer comes from the three multi-mask tokens, and the best
        of them is trained.
    feed_logits
        Later rounds get the last logits as a mask prompt.
    """

    n_rounds: int = 3
    policy: ClickPolicy = "positive"
    start_with_box: bool = False
    multimask_first: bool = False
    feed_logits: bool = False


def train_rounds(
    sam: Sam,
    image_embedding: Tensor,
    masks: NDArray[np.bool_],
    plan: RoundPlan,
    rng: np.random.Generator,
    *,
    image_index: Tensor | None = None,
) -> tuple[Tensor, list[float]]:
    """Prompt, answer, correct; return the mean loss with its gradients.

    Parameters
    ----------
    sam
        The model; its encoder has made `image_embedding`.
    image_embedding
        (B, C, h, w), with gradients if the encoder trains.
    masks
        (N, S, S) bool, truth in the model's padded input frame.
    plan
        How to prompt.
    rng
        Source of every draw.
    image_index
        (N,) which image each mask belongs to, as in `decode_masks`.

    Returns
    -------
    loss
        Scalar, mean over rounds.
    ious
        Mean IoU of the answers, one per round.
    """
    device = image_embedding.device
    truth = torch.as_tensor(masks, device=device)
    simulator = ClickSimulator(plan.policy)
    boxes = _loose_boxes(masks, rng, device) if plan.start_with_box else None
    prompts = (
        [Prompts.empty()] * len(masks)
        if plan.start_with_box
        else [simulator.first(mask, rng) for mask in masks]
    )
    losses, ious, mask_input = [], [], None
    for index in range(plan.n_rounds):
        coords = torch.tensor(np.stack([p.point_coords for p in prompts]))
        labels = torch.tensor(np.stack([p.point_labels for p in prompts]))
        has_clicks = coords.shape[1] > 0
        logits, iou_predictions = decode_masks(
            sam,
            image_embedding,
            coords.float().to(device) if has_clicks else None,
            labels.to(device) if has_clicks else None,
            boxes=boxes,
            mask_input=mask_input,
            image_index=image_index,
            multimask_output=plan.multimask_first and index == 0,
        )
        loss, logits, predicted = _best_answer(logits, iou_predictions, truth)
        losses.append(loss)
        ious.append(float(_iou(predicted, truth).mean()))
        mask_input = logits.detach() if plan.feed_logits else None
        if index + 1 < plan.n_rounds:
            answers = predicted.cpu().numpy()
            prompts = [
                simulator.refine(old, mask, answer, rng)
                for old, mask, answer in zip(prompts, masks, answers, strict=True)
            ]
    return torch.stack(losses).mean(), ious


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return binary cross-entropy plus soft Dice loss per mask.

    Parameters
    ----------
    logits, target
        (N, K, h, w); the target may hold shares of a pixel, 0..1.

    Returns
    -------
    Tensor
        (N, K).
    """
    entropy = functional.binary_cross_entropy_with_logits(
        logits, target, reduction="none"
    ).mean((-2, -1))
    shares = logits.sigmoid()
    overlap = (shares * target).sum((-2, -1))
    total = shares.sum((-2, -1)) + target.sum((-2, -1))
    return 2 * entropy + 1 - (2 * overlap + 1) / (total + 1)


def _best_answer(
    logits: Tensor, iou_predictions: Tensor, truth: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss, and the logits and full-size answer of the best candidate."""
    target = functional.interpolate(
        truth[:, None].float(), logits.shape[-2:], mode="area"
    ).expand_as(logits)
    per_mask = mask_loss(logits, target)
    best = per_mask.detach().argmin(1, keepdim=True)
    with torch.no_grad():
        full = functional.interpolate(logits, truth.shape[-2:], mode="bilinear") > 0
        ious = _iou(full, truth[:, None].expand_as(full))
    loss = per_mask.gather(1, best).mean()
    loss = loss + functional.mse_loss(iou_predictions, ious)
    rows = torch.arange(len(logits), device=logits.device)
    return loss, logits[rows, best[:, 0]][:, None], full[rows, best[:, 0]]


def _iou(predicted: Tensor, truth: Tensor) -> Tensor:
    union = (predicted | truth).sum((-2, -1))
    return (predicted & truth).sum((-2, -1)) / union.clamp(min=1)


def _loose_boxes(
    masks: NDArray[np.bool_], rng: np.random.Generator, device: torch.device
) -> Tensor:
    """Return (N, 4) boxes round the masks, each side off by up to a tenth."""
    boxes = []
    for mask in masks:
        columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
        sides = np.tile(box[2:] - box[:2], 2)
        boxes.append(box + rng.uniform(-0.1, 0.1, 4) * sides)
    return torch.tensor(np.stack(boxes), dtype=torch.float32, device=device)
