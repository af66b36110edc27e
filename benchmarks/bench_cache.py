"""Going back to an image: encoded anew, from memory, from disk."""

import argparse
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import main, measure, show
from photographs import photograph

from models import ARCHITECTURES, random_sam
from napari_glmedsa.inference import EmbeddingCache, Predictor, to_rgb_uint8

REFERENCE = "encoded anew"
CPU = torch.device("cpu")


def encoded(args: argparse.Namespace) -> Mapping[str, Any]:
    """Measure what an image costs that the cache does not know."""
    predictor, image = _predictor(args), photograph(args.megapixels)
    return measure(lambda: predictor.encode(to_rgb_uint8(image)), repeats=args.repeats)


def found(
    args: argparse.Namespace, *, memory_bytes: int, is_open: bool
) -> Mapping[str, Any]:
    """Measure what it costs when the cache does, until clicks may come.

    A photograph that is open is where its pixels were. Another one is hashed in full:
    here, one of two that take turns in the same place.
    """
    predictor, image = _predictor(args), photograph(args.megapixels)
    with tempfile.TemporaryDirectory() as folder:
        cache = EmbeddingCache(Path(folder), memory_bytes=memory_bytes)
        for _ in range(2):
            image[0, 0, 0] ^= 1
            cache.put(predictor.encode(image))

        def go_back() -> None:
            if not is_open:
                image[0, 0, 0] ^= 1
            key = predictor.embedding_key(to_rgb_uint8(image))
            embedding = cache.get(key, device=CPU)
            assert embedding is not None
            predictor.prepare(embedding)

        return measure(go_back, repeats=args.repeats)


def kept(args: argparse.Namespace) -> Mapping[str, Any]:
    """Measure what keeping a new embedding adds to its encoding."""
    predictor, image = _predictor(args), photograph(1)
    embedding = predictor.encode(image)
    with tempfile.TemporaryDirectory() as folder:
        cache = EmbeddingCache(Path(folder))
        return measure(lambda: cache.put(embedding), repeats=args.repeats)


VARIANTS = {
    REFERENCE: encoded,
    "open, from memory": partial(found, memory_bytes=1 << 30, is_open=True),
    "open, from disk": partial(found, memory_bytes=0, is_open=True),
    "hashed, from memory": partial(found, memory_bytes=1 << 30, is_open=False),
    "hashed, from disk": partial(found, memory_bytes=0, is_open=False),
    "keeping it": kept,
}


def _predictor(args: argparse.Namespace) -> Predictor:
    return Predictor(random_sam(args.model), fingerprint="", precision="auto")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=list(ARCHITECTURES), default="vit_b")
    parser.add_argument("--megapixels", type=int, default=24)
    result = main(__doc__.split("\n")[0], VARIANTS, parser)
    if result:
        show(result, reference=REFERENCE)
        for name, row in result["variants"].items():
            print(f"{name:26}{1000 * row['seconds']:9.1f} ms")
