"""One image through the encoder: SAM's own predictor, and the one of this package."""

import argparse
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from measuring import main, measure, show
from segment_anything import SamPredictor

from models import ARCHITECTURES, random_sam
from napari_glmedsa.inference import Predictor, Prompts
from napari_glmedsa.samples import draw_lesion

REFERENCE = "stock"


def stock(args: argparse.Namespace) -> Mapping[str, Any]:
    """Measure ``SamPredictor.set_image``."""
    torch.set_grad_enabled(False)  # as its users do
    predictor = SamPredictor(random_sam(args.model))
    image = _image(args.side)
    return measure(lambda: predictor.set_image(image), repeats=args.repeats)


def micro_sam(args: argparse.Namespace) -> Mapping[str, Any]:
    """Measure the encoding of micro-sam, napari's other plugin for SAM."""
    from micro_sam.util import precompute_image_embeddings

    torch.set_grad_enabled(False)
    predictor = SamPredictor(random_sam(args.model))
    image = _image(args.side)

    def encode() -> None:
        precompute_image_embeddings(predictor, image, ndim=2, verbose=False)

    return measure(encode, repeats=args.repeats)


def ours(
    args: argparse.Namespace, *, precision: str, adapted: bool
) -> Mapping[str, Any]:
    """Measure ``Predictor.encode``, and then how well it agrees with stock SAM."""
    sam = random_sam(args.model, adapted=adapted)
    predictor = Predictor(sam, fingerprint="", precision=precision)
    image = _image(args.side)
    figures = measure(lambda: predictor.encode(image), repeats=args.repeats)
    if adapted:  # stock SAM knows nothing of them
        return {**figures, "precision": predictor.precision}
    # after the measuring, because stock SAM takes more memory
    torch.manual_seed(0)
    twin = SamPredictor(random_sam(args.model).eval())
    twin.model.load_state_dict(sam.state_dict())
    twin.set_image(image)
    embedding = predictor.encode(image)
    distance = (embedding.features - twin.features).norm() / twin.features.norm()
    agreements = []
    for share in (0.3, 0.5, 0.7):
        coords = np.array([[share * image.shape[1], share * image.shape[0]]])
        labels = np.array([1])
        mask = predictor.predict(embedding, Prompts(coords, labels)).mask
        theirs = twin.predict(coords, labels, multimask_output=False)[0][0]
        agreements.append(float((mask == theirs).mean()))
    return {
        **figures,
        "precision": predictor.precision,
        "relative_distance": float(distance),
        "agreeing_pixels": min(agreements),
    }


VARIANTS = {
    REFERENCE: stock,
    "fp32": partial(ours, precision="fp32", adapted=False),
    "auto": partial(ours, precision="auto", adapted=False),
    "fp32, GL adapters": partial(ours, precision="fp32", adapted=True),
    "auto, GL adapters": partial(ours, precision="auto", adapted=True),
}
if find_spec("micro_sam") is not None:
    VARIANTS["micro-sam"] = micro_sam


def _image(side: int) -> np.ndarray:
    return draw_lesion(seed=0, size=(side * 3 // 4, side)).image


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=list(ARCHITECTURES), default="vit_b")
    parser.add_argument("--side", type=int, default=1024, help="image width in pixels")
    result = main(__doc__.split("\n")[0], VARIANTS, parser)
    if result:
        show(result, reference=REFERENCE)
        rows = result["variants"]
        for name, row in rows.items():
            if "relative_distance" in row:
                print(
                    f"{name:26} {row['precision']}, relative L2 from stock "
                    f"{row['relative_distance']:.1e}, agreeing pixels "
                    f"{row['agreeing_pixels']:.5f}"
                )
            adapted = rows.get(f"{name}, GL adapters")
            if adapted:
                share = 1 - row["cpu_seconds"] / adapted["cpu_seconds"]
                print(f"{name:26} the adapters' share of the CPU time {share:.1%}")
