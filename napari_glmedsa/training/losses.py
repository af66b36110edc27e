"""Losses by name, at the decoder's own resolution."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from napari_glmedsa.training.config import LossName

MaskLoss = Callable[[Tensor, Tensor], Tensor]

_LESION_WEIGHT = 2.0  # of the Med-SA pipeline


def mask_loss(name: LossName) -> MaskLoss:
    """Return a function of logits and target (N, 1, h, w) to losses (N,).

    ``"bce"`` is the cross-entropy of the Med-SA pipeline, where lesion pixels
    count twice; ``"dice_ce"`` and ``"focal_dice"`` are MONAI's. Every mask is
    judged alone, so its loss does not depend on the batch it is in.
    """
    if name == "bce":
        return _cross_entropy
    from monai.losses.dice import DiceCELoss, DiceFocalLoss  # slow to import

    one = DiceCELoss if name == "dice_ce" else DiceFocalLoss
    loss = one(sigmoid=True)

    def each(logits: Tensor, target: Tensor) -> Tensor:
        pairs = zip(logits, target, strict=True)
        return torch.stack([loss(answer[None], mask[None]) for answer, mask in pairs])

    return each


def low_res_target(truth: Tensor, logits: Tensor) -> Tensor:
    """Shrink masks by area average, 1 where at least half a pixel is lesion.

    Parameters
    ----------
    truth
        (N, S, S) bool.
    logits
        (N, 1, h, w); only their size counts.

    Returns
    -------
    Tensor
        (N, 1, h, w) float32 of 0 and 1. A lesion thinner than that keeps every
        pixel it touches.
    """
    size = logits.shape[-2:]
    shares = functional.interpolate(truth[:, None].float(), size, mode="area")
    target = shares >= 0.5
    lost = ~target.flatten(1).any(1)
    target[lost] = shares[lost] > 0
    return target.float()


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    weight = logits.new_tensor(_LESION_WEIGHT)
    loss = functional.binary_cross_entropy_with_logits(
        logits, target, pos_weight=weight, reduction="none"
    )
    return loss.flatten(1).mean(1)
