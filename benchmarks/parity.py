"""How far this program is from segment_anything on one checkpoint, stage by stage.

A seeded random checkpoint in the official form is written, taken in as
``glmedsa models add`` does, loaded from there, and asked the same as
``segment_anything.SamPredictor`` over the original file.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamPredictor, sam_model_registry
from torch import Tensor

from models import random_sam
from napari_glmedsa.inference import Predictor, Prompts, decode_masks
from napari_glmedsa.inference.preprocess import model_input
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.store import ModelStore

POINTS = np.array([[300.0, 240.0], [60.0, 50.0]])
LABELS = np.array([1, 0])
TOLERANCE = 1e-3  # of a stage, relative to its largest value


def main() -> int:
    """Print one row per stage; return 1 if a mask differs or a stage is off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=("vit_b", "vit_l", "vit_h"), default="vit_b")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for the weights; then deleted")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        return compare(args.model, Path(folder), seed=args.seed)


def compare(model: str, folder: Path, *, seed: int) -> int:
    """Write, take in, load both ways and compare."""
    checkpoint = folder / f"random_{model}.pth"
    torch.save(random_sam(model).state_dict(), checkpoint)
    registry = ModelRegistry(folder / "models", [])
    ModelStore(registry).add(checkpoint, model_type=f"sam_{model}", name="random")
    ours = registry.load(ModelSpec("random"), device=torch.device("cpu"))
    official = SamPredictor(sam_model_registry[model](checkpoint=str(checkpoint)))
    image = draw_lesion(seed=seed, size=(480, 640)).image
    print(f"{model}, seed {seed}, image 480 x 640, {torch.get_num_threads()} threads")
    print(f"{'stage':32}{'largest':>12}{'deviation':>12}{'relative':>12}")
    worst = 0.0
    for stage, found, expected in stages(ours, official, image):
        found, expected = found.detach().float(), expected.detach().float()
        deviation = float((found - expected).abs().max())
        largest = float(expected.abs().max())
        relative = deviation / largest if largest else deviation
        worst = max(worst, relative)
        print(f"{stage:32}{largest:12.4g}{deviation:12.3g}{relative:12.3g}")
    lesion, differ = masks(ours, official, image)
    print(f"{'mask, pixels that differ':32}{lesion:12}{differ:12}")
    return int(worst > TOLERANCE or differ > 0)


@torch.inference_mode()
def stages(
    ours: Predictor, official: SamPredictor, image: NDArray[np.uint8]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Give name, our tensor and the official one of every stage."""
    sam, stock = ours.sam, official.model
    for name, tensor in stock.state_dict().items():
        if not torch.equal(sam.state_dict()[name], tensor):
            yield f"weights {name}", sam.state_dict()[name], tensor
    tensor, size = model_input(sam, image)
    resized = official.transform.apply_image(image)
    stock_input = torch.as_tensor(resized).permute(2, 0, 1)[None]
    yield "input", tensor, stock.preprocess(stock_input)
    with each_block(sam) as found, each_block(stock) as expected:
        embedding = ours.encode(image)
        official.set_image(image)
    for index in sorted({0, len(found) // 2, len(found) - 1}):
        yield f"encoder block {index}", found[index], expected[index]
    yield "image embedding", embedding.features, official.get_image_embedding()
    scaled = official.transform.apply_coords(POINTS, image.shape[:2])
    coords = torch.as_tensor(scaled, dtype=torch.float32)[None]
    labels = torch.as_tensor(LABELS)[None]
    sparse, dense = sam.prompt_encoder((coords, labels), None, None)
    stock_sparse, stock_dense = stock.prompt_encoder((coords, labels), None, None)
    yield "prompt tokens", sparse, stock_sparse
    yield "dense prompt", dense, stock_dense
    for word, several in (("one mask", False), ("three masks", True)):
        logits, quality = decode_masks(
            sam,
            embedding.features,
            point_coords=coords,
            point_labels=labels.float(),
            multimask_output=several,
        )
        _, stock_quality, stock_logits = official.predict_torch(
            coords, labels, multimask_output=several
        )
        yield f"low-res logits, {word}", logits, stock_logits
        yield f"estimated quality, {word}", quality, stock_quality
    full = sam.postprocess_masks(logits, size, image.shape[:2])
    stock_full = stock.postprocess_masks(
        stock_logits, official.input_size, official.original_size
    )
    yield "full-size logits", full, stock_full


@contextmanager
def each_block(sam: torch.nn.Module) -> Iterator[list[Tensor]]:
    """Collect what every block of an encoder gives."""
    outputs: list[Tensor] = []

    def keep(*args: Any) -> None:  # a value returned would replace the output
        outputs.append(args[-1])

    blocks = sam.image_encoder.blocks
    handles = [block.register_forward_hook(keep) for block in blocks]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def masks(
    ours: Predictor, official: SamPredictor, image: NDArray[np.uint8]
) -> tuple[int, int]:
    """Return how many pixels the official mask has, and in how many ours differs."""
    found = ours.predict(ours.encode(image), Prompts(POINTS, LABELS)).mask
    expected, _, _ = official.predict(POINTS, LABELS, multimask_output=False)
    return int(expected[0].sum()), int((found != expected[0]).sum())


if __name__ == "__main__":
    raise SystemExit(main())
