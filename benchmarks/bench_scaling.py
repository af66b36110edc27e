"""Time and memory against pixels, prompts and images: SAM's predictor, and ours."""

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from measuring import main, measure, show_machine
from photographs import photograph, silence, write_copies
from segment_anything import SamPredictor

from models import ARCHITECTURES, load_predictor
from napari_glmedsa.cli import predict as command
from napari_glmedsa.cli.app import run
from napari_glmedsa.inference import Prompts
from napari_glmedsa.inference.attention import unfuse_attention

MEGAPIXELS = (1, 4, 12, 24, 50)
POINTS = (1, 4, 16, 64)
IMAGES = (2, 8, 32)


def stock_pixels(args: argparse.Namespace, *, n: int) -> Mapping[str, Any]:
    """Measure ``set_image`` and one ``predict`` for an image of n megapixels."""
    torch.set_grad_enabled(False)  # as its users do
    predictor, image = stock_predictor(args.model), photograph(n)
    prompts = points_in(image, 1)

    def see_and_click() -> None:
        predictor.set_image(image)
        _stock_click(predictor, prompts)

    return measure(see_and_click, repeats=args.repeats)


def our_pixels(args: argparse.Namespace, *, n: int) -> Mapping[str, Any]:
    """Measure ``encode`` and one ``predict`` for an image of n megapixels."""
    predictor, image = load_predictor(args.model), photograph(n)
    prompts = points_in(image, 1)
    return measure(
        lambda: predictor.predict(predictor.encode(image), prompts),
        repeats=args.repeats,
    )


def stock_points(args: argparse.Namespace, *, n: int) -> Mapping[str, Any]:
    """Measure ``predict`` with n points on an image of one megapixel."""
    torch.set_grad_enabled(False)
    predictor, image = stock_predictor(args.model), photograph(1)
    predictor.set_image(image)
    prompts = points_in(image, n)
    return measure(lambda: _stock_click(predictor, prompts), repeats=20 * args.repeats)


def our_points(args: argparse.Namespace, *, n: int) -> Mapping[str, Any]:
    """Do as `stock_points`."""
    predictor, image = load_predictor(args.model), photograph(1)
    embedding, prompts = predictor.encode(image), points_in(image, n)
    return measure(
        lambda: predictor.predict(embedding, prompts), repeats=20 * args.repeats
    )


def images(args: argparse.Namespace, *, n: int) -> Mapping[str, Any]:
    """Measure ``glmedsa predict`` on n files of one megapixel, without the loading."""
    predictor = load_predictor(args.model)
    command.load_predictor = lambda *_: predictor
    with TemporaryDirectory() as folder, silence():
        write_copies(photograph(1), n, Path(folder))

        def segment_all() -> None:
            assert run(["predict", folder, "--output", folder]) == 0

        return measure(segment_all, repeats=args.repeats)


TABLES = {
    "megapixels": (MEGAPIXELS, {"stock": stock_pixels, "ours": our_pixels}),
    "points": (POINTS, {"stock": stock_points, "ours": our_points}),
    "images": (IMAGES, {"ours": images}),
}
VARIANTS = {
    f"{n} {what}, {whose}": partial(run_one, n=n)
    for what, (numbers, runs) in TABLES.items()
    for n in numbers
    for whose, run_one in runs.items()
}


def stock_predictor(model: str | None) -> SamPredictor:
    """Return SAM's own predictor of the same model."""
    sam = load_predictor(model).sam
    unfuse_attention(sam.image_encoder)
    return SamPredictor(sam)


def points_in(image: np.ndarray, n: int) -> Prompts:
    """Return n clicks around the middle."""
    spread = np.random.default_rng(n).normal(0, 0.05, (n, 2))
    coords = (0.5 + spread) * np.array(image.shape[1::-1])
    return Prompts(coords, np.arange(n) % 2 == 0)


def show(result: Mapping[str, Any]) -> None:
    """Print a table for each of what grows."""
    rows = result["variants"]
    show_machine(result)
    for what, (numbers, runs) in TABLES.items():
        names = "".join(f"{whose + ' ms':>12}{'extra MB':>10}" for whose in runs)
        print(f"{what:>12}{names}{'times':>8}{'memory':>8}")
        for n in numbers:
            found = [rows.get(f"{n} {what}, {whose}") for whose in runs]
            if None in found:
                continue
            line = "".join(
                f"{1e3 * row['seconds']:12.1f}{row['extra_bytes'] / 1e6:10.0f}"
                for row in found
            )
            if len(found) == 2:
                stock, ours = found
                line += f"{stock['seconds'] / ours['seconds']:8.2f}"
                line += f"{ours['extra_bytes'] / max(1, stock['extra_bytes']):8.2f}"
            print(f"{n:12}{line}")


def _stock_click(predictor: SamPredictor, prompts: Prompts) -> None:
    coords, labels = prompts.point_coords, prompts.point_labels
    predictor.predict(coords, labels, multimask_output=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--model",
        choices=list(ARCHITECTURES),
        help="with random weights, whose masks are noise (default: the built-in base)",
    )
    result = main(__doc__.split("\n")[0], VARIANTS, parser)
    if result:
        show(result)
