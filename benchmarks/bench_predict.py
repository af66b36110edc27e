"""A folder of photographs: the encoder alone, one step after the other, the command."""

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from measuring import main, measure, show
from photographs import photograph, silence, write_copies

from models import ARCHITECTURES, random_sam
from napari_glmedsa.cli import predict as command
from napari_glmedsa.cli.app import run
from napari_glmedsa.images import read_image, write_mask
from napari_glmedsa.inference import Predictor, Prompts

REFERENCE = "encoder alone"


def encoder(args: argparse.Namespace) -> Mapping[str, Any]:
    """Measure images that are in memory and whose masks nobody asks for."""
    predictor = _predictor(args)
    with _folder(args) as folder:
        images = [read_image(path) for path in sorted(folder.glob("*.jpg"))]

        def encode_all() -> None:
            for image in images:
                predictor.encode(image)

        return measure(encode_all, repeats=args.repeats)


def in_turn(args: argparse.Namespace) -> Mapping[str, Any]:
    """Measure reading, encoding, decoding and writing, one after the other."""
    predictor = _predictor(args)
    with _folder(args) as folder:

        def segment_all() -> None:
            for path in sorted(folder.glob("*.jpg")):
                image = read_image(path)
                middle = np.array([[image.shape[1] / 2, image.shape[0] / 2]])
                prompts = Prompts(middle, np.array([1]))
                mask = predictor.predict(predictor.encode(image), prompts).mask
                write_mask(folder / f"{path.stem}_segmentation.png", mask)

        return measure(segment_all, repeats=args.repeats)


def overlapped(args: argparse.Namespace) -> Mapping[str, Any]:
    """Measure ``glmedsa predict``, without the loading of the model."""
    predictor = _predictor(args)
    command.load_predictor = lambda *_: predictor
    with _folder(args) as folder, silence():

        def segment_all() -> None:
            assert run(["predict", str(folder), "--output", str(folder)]) == 0

        return measure(segment_all, repeats=args.repeats)


VARIANTS = {
    REFERENCE: encoder,
    "one after the other": in_turn,
    "glmedsa predict": overlapped,
}


def _predictor(args: argparse.Namespace) -> Predictor:
    return Predictor(random_sam(args.model), fingerprint="", precision="auto")


@contextmanager
def _folder(args: argparse.Namespace) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        write_copies(photograph(args.megapixels), args.images, Path(name))
        yield Path(name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=list(ARCHITECTURES), default="vit_b")
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--megapixels", type=int, default=6)
    result = main(__doc__.split("\n")[0], VARIANTS, parser)
    if result:
        show(result, reference=REFERENCE)
