"""Photographs that show the same lesion: copies that differ in size, side or coding."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 16
_LIMIT = 24  # differing bits of 256
_ROWS = 1024  # compared with all at once


def perceptual_hash(image: NDArray[np.uint8]) -> str:
    """Return 256 bits, in hex, that resizing and recoding hardly change.

    Each bit says whether a cell of a 16 x 16 grid is darker than the next one.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    """
    grey = Image.fromarray(image).convert("L")
    small = grey.resize((_SIDE + 1, _SIDE), Image.Resampling.BOX)
    cells = np.asarray(small, dtype=np.int16)
    return np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes().hex()


def find_lookalikes(
    hashes: Mapping[str, str], among: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the pairs of images whose hashes nearly agree, as they are or mirrored.

    Parameters
    ----------
    hashes, among : mappings of str to str
        Image id to `perceptual_hash`; every image of the first is compared with
        every other one of the second. An empty hash resembles nothing.
    """
    names = [image for image, text in hashes.items() if text]
    others = [image for image, text in among.items() if text]
    rows = _signs([hashes[image] for image in names])
    columns = _signs([among[image] for image in others])
    agreement = _SIDE * _SIDE - 2 * _LIMIT
    for start in range(0, len(names), _ROWS):
        some = rows[start : start + _ROWS]
        for these in (some, _mirrored(some)):
            for row, column in np.argwhere(these @ columns.T >= agreement):
                if names[start + row] != others[column]:
                    yield names[start + row], others[column]


def _mirrored(signs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cells change places, and what was darker than its neighbour is now lighter."""
    return -signs.reshape(-1, _SIDE, _SIDE)[:, :, ::-1].reshape(signs.shape)


def _signs(hashes: list[str]) -> NDArray[np.float32]:
    data = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8)
    bits = np.unpackbits(data).reshape(-1, _SIDE * _SIDE)
    return bits.astype(np.float32) * 2 - 1
