"""Train the built-in GL-Med-SA adapters on dermoscopy: one seeded, resumable command.

    python models/adapters/glmedsa_vit_mini_isic/recipe.py --data DIR

`DIR` holds ``index.csv`` with the columns id, image, mask, protocol, group and fold,
and the files it names. Images of the test protocols are never opened for training;
fold 0 of the training protocols is for validation.
"""

import argparse
import csv
import logging
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rounds import RoundPlan, train_rounds
from segment_anything.modeling import Sam
from skimage.measure import label as connected_regions

from napari_glmedsa.adapters import (
    AdapterCard,
    GLMedSAConfig,
    adapter_state_dict,
    freeze_all_but_adapters,
    inject_adapters,
    load_adapter_state_dict,
    save_adapter,
)
from napari_glmedsa.evaluation import PROTOCOL, Case, evaluate_clicks, summarise
from napari_glmedsa.files import atomic_write
from napari_glmedsa.inference import Predictor, resize_sam
from napari_glmedsa.inference.attention import fuse_attention
from napari_glmedsa.registry import ModelRegistry

logger = logging.getLogger("recipe")

SEED = 0
BASE = "sam_vit_mini"
NAME = "glmedsa_vit_mini_isic"
CONFIG = GLMedSAConfig(bottleneck_ratio=0.25)
TRAINING = ("isic2016_train", "extra", "full_frame_copy")
TESTS = ("ph2_test", "isic2016_test")
VALIDATION_FOLD = "0"
PHASES = ((256, 340), (384, 210))  # image size, steps: coarse first, then as shipped
STEPS, BATCH = sum(steps for _, steps in PHASES), 8
ADAPTER_RATE, DECODER_RATE, WARM_UP = 1e-3, 3e-4, 30
RESTART, FIRST_END = 400, 430  # the first cosine is cut just before its end


def rows(data: Path, protocols: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the index rows of some protocols."""
    with (data / "index.csv").open(newline="") as stream:
        return [row for row in csv.DictReader(stream) if row["protocol"] in protocols]


def read_case(data: Path, row: dict[str, str]) -> Case:
    """Read one image and its mask."""
    image = np.array(Image.open(data / row["image"]).convert("RGB"))
    mask = np.array(Image.open(data / row["mask"]).convert("L")) > 127
    return Case(row["id"], image, mask)


def augmented(
    case: Case, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Frame the lesion anew, turn, flip, and change the light.

    The window has a random place, aspect and scale; it may reach over the edge
    of the photograph, which is continued by reflection. So a close crop becomes
    something like a full frame and the other way round.
    """
    height, width = case.mask.shape
    angle, zoom = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(-0.35, 0.45))
    aspect = np.exp(rng.uniform(-0.3, 0.3))
    view_w, view_h = width * zoom * aspect**0.5, height * zoom / aspect**0.5
    scale = max(view_w, view_h) / size
    out_w, out_h = max(16, round(view_w / scale)), max(16, round(view_h / scale))
    centre = np.array([width, height]) * rng.uniform(0.38, 0.62, 2)
    turn = scale * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    if rng.random() < 0.5:
        turn[:, 0] *= -1
    offset = centre - turn @ (np.array([out_w, out_h]) / 2)
    margin = max(height, width) // 2
    borders = ((margin, margin), (margin, margin))
    image = Image.fromarray(np.pad(case.image, (*borders, (0, 0)), mode="reflect"))
    mask = Image.fromarray(np.pad(case.mask, borders, mode="reflect"))
    coefficients = (*turn[0], offset[0] + margin, *turn[1], offset[1] + margin)
    affine = Image.Transform.AFFINE
    picture = image.transform(
        (out_w, out_h), affine, coefficients, Image.Resampling.BILINEAR
    )
    truth = mask.convert("L").transform((out_w, out_h), affine, coefficients)
    colours = np.asarray(picture, np.float32)
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.92, 1.08, 3)
    colours = 255 * (np.clip(colours * gain, 0, 255) / 255) ** rng.uniform(0.8, 1.25)
    pieces = connected_regions(np.asarray(truth) > 127)
    if pieces.any():  # a reflected lesion is another one, not a part of this one
        pieces = pieces == np.bincount(pieces[pieces > 0]).argmax()
    return colours.astype(np.uint8), pieces > 0


def batch(
    sam: Sam, cases: list[Case], rng: np.random.Generator
) -> tuple[torch.Tensor, np.ndarray]:
    """Return images (B, 3, S, S) and masks (B, S, S) in the padded input frame."""
    size = sam.image_encoder.img_size
    images, masks = [], []
    while len(images) < BATCH:
        image, mask = augmented(cases[rng.integers(len(cases))], size, rng)
        if mask.mean() < 0.004:
            continue
        images.append(sam.preprocess(torch.from_numpy(image).permute(2, 0, 1)))
        padded = np.zeros((size, size), bool)
        padded[: mask.shape[0], : mask.shape[1]] = mask
        masks.append(padded)
    return torch.stack(images), np.stack(masks)


def random_plan(rng: np.random.Generator) -> RoundPlan:
    """Draw how a batch is prompted; half of the batches correct like a person."""
    return RoundPlan(
        n_rounds=3 if rng.random() < 0.25 else 2,
        policy="positive" if rng.random() < 0.5 else "corrective",
        start_with_box=bool(rng.random() < 0.1),
        feed_logits=bool(rng.random() < 0.15),
    )


def schedule(step: int) -> float:
    """Return the share of the learning rate: warm-up, a cosine, a lower cosine."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    first = step < RESTART
    start, end, peak = (WARM_UP, FIRST_END, 1.0) if first else (RESTART, STEPS, 0.5)
    progress = (step - start) / (end - start)
    return float(peak * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * progress))))


def train(base: Sam, cases: list[Case], checkpoint: Path) -> Sam:
    """Return the base with trained adapters and decoder; resumes from `checkpoint`."""
    saved = torch.load(checkpoint, weights_only=True) if checkpoint.exists() else None
    learnt: tuple[dict, dict] | None = None
    step = 0
    for size, steps in PHASES:
        sam = resize_sam(base, size)
        fuse_attention(sam.image_encoder)
        inject_adapters(sam.image_encoder, CONFIG)
        if learnt:  # neither adapters nor decoder depend on the input size
            load_adapter_state_dict(sam.image_encoder, learnt[0])
            sam.mask_decoder.load_state_dict(learnt[1])
        adapters = freeze_all_but_adapters(sam)
        decoder = list(sam.mask_decoder.requires_grad_(True).parameters())
        optimiser = torch.optim.AdamW(
            [
                {"params": adapters, "peak": ADAPTER_RATE},
                {"params": decoder, "peak": DECODER_RATE},
            ],
            weight_decay=1e-3,
        )
        end = step + steps
        if saved and step < saved["step"] <= end:
            sam.load_state_dict(saved["sam"])
            optimiser.load_state_dict(saved["optimiser"])
            step = saved["step"]
        elif saved and saved["step"] > end:
            step = end
        while step < end:
            optimise(sam, optimiser, cases, step)
            step += 1
            if step % 50 == 0:
                state = {
                    "step": step,
                    "sam": sam.state_dict(),
                    "optimiser": optimiser.state_dict(),
                }
                with atomic_write(checkpoint) as partial:
                    torch.save(state, partial)
        learnt = (
            adapter_state_dict(sam.image_encoder),
            sam.mask_decoder.state_dict(),
        )
    return sam.requires_grad_(False)


def optimise(
    sam: Sam, optimiser: torch.optim.Optimizer, cases: list[Case], step: int
) -> None:
    """Take one optimisation step; every draw follows from the seed and the step."""
    rng = np.random.default_rng([SEED, step])
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * schedule(step)
    images, masks = batch(sam, cases, rng)
    embedding = sam.image_encoder(images)
    loss, ious = train_rounds(sam, embedding, masks, random_plan(rng), rng)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_([p for p in sam.parameters() if p.requires_grad], 1)
    optimiser.step()
    if (step + 1) % 10 == 0:
        shown = " ".join(f"{value:.3f}" for value in ious)
        logger.info("%d %.4f iou %s", step + 1, loss.item(), shown)


def measure(predictor: Predictor, data: Path, part: list[dict[str, str]]) -> dict:
    """Return mean Dice, IoU and threshold Jaccard after 1, 2 and 3 clicks."""
    cases = (read_case(data, row) for row in part)
    scores = list(evaluate_clicks(predictor, cases, n_clicks=3))
    means = summarise(scores)
    return {
        "n": len(scores),
        **{metric: [round(v, 4) for v in values] for metric, values in means.items()},
    }


def main() -> None:
    """Train, measure, and write the adapter file beside this recipe."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--registry", type=Path, default=here.parents[1])
    parser.add_argument("--checkpoint", type=Path, default=Path(f"{NAME}.pt"))
    parser.add_argument("--output", type=Path, default=here / "adapter.safetensors")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    registry = ModelRegistry(args.registry)
    torch.manual_seed(SEED)
    base = next(card for card in registry.bases() if card.name == BASE)
    sam = registry.load_sam(BASE, device=torch.device("cpu"))

    known = rows(args.data, TRAINING)
    validation = [row for row in known if row["fold"] == VALIDATION_FOLD]
    used = [row for row in known if row["fold"] != VALIDATION_FOLD]
    groups = {row["group"] for row in validation}
    assert groups.isdisjoint(row["group"] for row in used)
    cases = [read_case(args.data, row) for row in used]
    logger.info("%d images to train, %d to validate", len(cases), len(validation))
    sam = train(sam, cases, args.checkpoint)
    predictor = Predictor(sam, fingerprint=NAME)

    metrics = {"validation": measure(predictor, args.data, validation)}
    for protocol in TESTS:
        metrics[protocol] = measure(predictor, args.data, rows(args.data, (protocol,)))
    logger.info("%s", metrics)
    card = AdapterCard(
        name=NAME,
        base_model=BASE,
        base_sha256=base.sha256,
        config=CONFIG,
        preprocess={
            "image_size": sam.image_encoder.img_size,
            "resize": "longest side, bilinear, padded right and below",
            "mean": sam.pixel_mean.flatten().tolist(),
            "std": sam.pixel_std.flatten().tolist(),
            "range": "0..255",
            "point_order": "x, y",
        },
        training={
            "data": "ISIC 2016 and 2018 Task 1 training images "
            "(Codella et al. 2018, 2019; Tschandl et al. 2018)",
            "protocols": list(TRAINING),
            "images": len(cases),
            "validation": f"fold {VALIDATION_FOLD}",
            "seed": SEED,
            "phases": PHASES,
            "batch": BATCH,
            "optimiser": f"AdamW {ADAPTER_RATE} (decoder {DECODER_RATE}), cosine",
            "loss": "2 BCE + soft Dice + MSE of the IoU head",
            "mask_decoder": "trained",
        },
        metrics={"protocol": {**PROTOCOL, "seed": 0}, **metrics},
        licence="research use only (some training images are CC BY-NC)",
        description="GL-Med-SA adapters and mask decoder for skin lesions",
    )
    save_adapter(
        args.output,
        sam.image_encoder,
        card,
        mask_decoder=sam.mask_decoder,
        dtype=torch.float16,
    )


if __name__ == "__main__":
    main()
