"""Samples as the encoder wants them: normalised, padded to a square, stacked."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from torch import Tensor

from napari_glmedsa.inference.preprocess import input_resize
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.dataset import SegmentationDataset


def load_batch(
    sam: Sam,
    dataset: SegmentationDataset,
    names: Sequence[str],
    *,
    config: TrainingConfig,
    epoch: int,
) -> tuple[Tensor, NDArray[np.bool_]]:
    """Return what the model is shown of some images in an epoch.

    Returns
    -------
    inputs
        (N, 3, S, S) float32 on the model's device.
    masks
        (N, S, S) bool, one object each, in the same frame.
    """
    size = sam.image_encoder.img_size
    inputs, masks = [], np.zeros((len(names), size, size), bool)
    for name, padded in zip(names, masks, strict=True):
        sample = dataset.sample(
            name,
            size=size,
            seed=config.seed,
            epoch=epoch,
            augmentation=config.augmentation,
            how=input_resize(sam),
        )
        image = torch.from_numpy(sample.image).permute(2, 0, 1).contiguous()
        inputs.append(sam.preprocess(image.to(sam.device)))
        padded[: sample.mask.shape[0], : sample.mask.shape[1]] = sample.mask
    return torch.stack(inputs), masks
