"""Photographs to measure with: drawn lesions, enlarged, because drawing takes long."""

import contextlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from napari_glmedsa.samples import draw_lesion

_DRAWN = (272, 408)


def photograph(megapixels: float) -> np.ndarray:
    """Return an image (H, W, 3) uint8 of about that size, 3:2."""
    times = max(1, round((megapixels * 1e6 / (_DRAWN[0] * _DRAWN[1])) ** 0.5))
    image = draw_lesion(seed=0, size=_DRAWN).image
    return image.repeat(times, axis=0).repeat(times, axis=1)


def write_copies(image: np.ndarray, n: int, folder: Path) -> list[Path]:
    """Write equal JPEG files: each is read and encoded anew."""
    paths = [folder / f"{index:03}.jpg" for index in range(n)]
    Image.fromarray(image).save(paths[0], quality=92)
    content = paths[0].read_bytes()
    for path in paths[1:]:
        path.write_bytes(content)
    return paths


@contextmanager
def silence() -> Iterator[None]:
    """Let the command say nothing; what is measured prints its own figures."""
    with (
        Path(os.devnull).open("w") as nothing,
        contextlib.redirect_stderr(nothing),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        yield
