"""Clicks on a batch and the loss of every answer, on one embedding."""

from collections.abc import Sequence
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
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.losses import MaskLoss, low_res_target


@dataclass(frozen=True, slots=True)
class ClickPlan:
    """How many clicks one object gets, and where the later ones fall."""

    n_points: int
    policy: ClickPolicy


def draw_plan(config: TrainingConfig, rng: np.random.Generator) -> ClickPlan:
    """Return how to click on one object; only ``"mixed"`` leaves it to `rng`."""
    if config.policy == "iterative":
        return ClickPlan(config.n_points, "positive")
    if config.policy == "random":
        return ClickPlan(config.n_points, "random")
    n_points = int(rng.integers(1, config.n_points + 1))
    return ClickPlan(n_points, "positive" if rng.random() < 0.5 else "corrective")


def click_losses(
    sam: Sam,
    image_embedding: Tensor,
    masks: NDArray[np.bool_],
    *,
    plans: Sequence[ClickPlan],
    rngs: Sequence[np.random.Generator],
    loss: MaskLoss,
    iou_head: bool = False,
) -> Tensor:
    """Click, answer, click where the answer is wrong, and so on.

    Clicks are chosen without gradients; every answer has them.

    Parameters
    ----------
    sam
        The model whose encoder has made `image_embedding`.
    image_embedding
        (N, C, h, w), with gradients if the encoder trains.
    masks
        (N, S, S) bool, truth in the model's padded input frame, one per image.
    plans, rngs
        N each, so that an object's clicks do not depend on the batch.
    loss
        As from `losses.mask_loss`.
    iou_head
        Train the decoder's own guess at the IoU too, by squared error.

    Returns
    -------
    Tensor
        (N,), mean over each object's answers.
    """
    device = image_embedding.device
    truth = torch.as_tensor(masks, device=device)
    simulators = [ClickSimulator(plan.policy) for plan in plans]
    prompts = [
        simulator.first(mask, rng)
        for simulator, mask, rng in zip(simulators, masks, rngs, strict=True)
    ]
    totals = torch.zeros(len(masks), device=device)
    for click in range(max(plan.n_points for plan in plans)):
        active = [i for i, plan in enumerate(plans) if plan.n_points > click]
        rows = torch.tensor(active, device=device)
        coords, labels = _tensors([prompts[i] for i in active], device)
        logits, iou_predictions = decode_masks(
            sam, image_embedding, coords, labels, image_index=rows
        )
        losses = loss(logits, low_res_target(truth[rows], logits))
        answers = _full_size(logits, truth)
        if iou_head:
            ious = _iou(answers, truth[rows])
            losses = losses + (iou_predictions[:, 0] - ious) ** 2
        totals = totals.index_add(0, rows, losses)
        for i, answer in zip(active, answers.cpu().numpy(), strict=True):
            if plans[i].n_points > click + 1:
                prompts[i] = simulators[i].refine(prompts[i], masks[i], answer, rngs[i])
    counts = [plan.n_points for plan in plans]
    return totals / torch.tensor(counts, device=device)


def _tensors(prompts: Sequence[Prompts], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (N, P, 2) coordinates and (N, P) labels; every object has P clicks."""
    coords = np.stack([p.point_coords for p in prompts]).astype(np.float32)
    labels = np.stack([p.point_labels for p in prompts])
    return torch.as_tensor(coords, device=device), torch.as_tensor(
        labels, device=device
    )


@torch.no_grad()
def _full_size(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the answers (N, S, S) bool in the input frame."""
    full = functional.interpolate(logits, truth.shape[-2:], mode="bilinear")
    return full[:, 0] > 0


def _iou(answers: Tensor, truth: Tensor) -> Tensor:
    union = (answers | truth).sum((-2, -1))
    return (answers & truth).sum((-2, -1)) / union.clamp(min=1)
