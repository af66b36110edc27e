"""How good the base is on natural images that it never saw."""

from typing import Any

import numpy as np
import torch
from learner import batch, encode, set_input_size
from regions import RegionImages
from segment_anything.modeling import Sam
from torch.nn import functional

from napari_glmedsa.inference.decode import decode_masks
from napari_glmedsa.simulation import ClickSimulator

SEED = 1
FRAME = 384  # pixels, where crops and clicks are drawn
BATCH, BATCHES = 8, 20


@torch.inference_mode()
def held_out_iou(sam: Sam, data: RegionImages, size: int) -> dict[str, Any]:
    """Return mean IoU on held-out natural images after 1, 2 and 3 clicks.

    Crops and clicks are drawn at `FRAME` for every input size: the first
    click anywhere in the region, the next ones anywhere in the error.
    """
    set_input_size(sam, size)
    simulator = ClickSimulator("corrective")
    scores: list[list[float]] = [[], [], []]
    for number in range(BATCHES):
        rng = np.random.default_rng([SEED, number])
        crops = [data.held_out_crop(FRAME, rng) for _ in range(BATCH)]
        images, objects = batch(sam, crops, FRAME)
        if size != FRAME:
            images = functional.interpolate(images, (size, size), mode="bilinear")
        embedding = encode(sam, images)
        masks = objects.masks.numpy()
        prompts = [simulator.first(mask, rng) for mask in masks]
        for click in range(3):
            coords = np.stack([p.point_coords for p in prompts]) * size / FRAME
            labels = np.stack([p.point_labels for p in prompts])
            logits, _ = decode_masks(
                sam,
                embedding,
                torch.tensor(coords).float(),
                torch.tensor(labels),
                image_index=objects.index,
            )
            full = functional.interpolate(logits, (FRAME, FRAME), mode="bilinear") > 0
            answers = full[:, 0].numpy()
            overlap = (answers & masks).sum((1, 2))
            scores[click] += (overlap / (answers | masks).sum((1, 2))).tolist()
            if click < 2:
                prompts = [
                    simulator.refine(*each, rng)
                    for each in zip(prompts, masks, answers, strict=True)
                ]
    means = [round(float(np.mean(values)), 4) for values in scores]
    return {"natural_held_out_iou_by_click": means, "regions": len(scores[0])}
