"""SHA-256 of images, remembered while they are in memory and stay as they are."""

import hashlib
import weakref
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.waiting import cpu_cores

T = TypeVar("T")

_PART = 4 << 20  # bytes
_MAX_THREADS = 8


def sha256_pixels(image: NDArray[np.uint8]) -> str:
    """Return the hex SHA-256 of an image's type and shape and its parts' SHA-256s.

    The parts are hashed at once by as many threads as there are processors: one would
    take longer for a large photograph than going back to it may.

    Parameters
    ----------
    image
        (H, W, 3) uint8 RGB.
    """
    digest = hashlib.sha256(f"{image.dtype.str}{image.shape}".encode())
    for part in _of_parts(image, lambda part: hashlib.sha256(part).digest()):
        digest.update(part)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class _Known:
    memory: weakref.ref[NDArray[Any]]
    place: tuple[Any, ...]
    checksums: list[int]
    sha256: str


class PixelHashes:
    """Answers like `sha256_pixels`, several times faster for what it saw before.

    It goes by where the pixels are in memory, which is how somebody comes back to a
    photograph that is open; what is elsewhere is hashed. Checksums of all pixels tell
    whether they were changed there meanwhile. It is not made for people who mean
    harm: an array in this program is not something that they could exchange.
    """

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def sha256(self, image: NDArray[np.uint8]) -> str:
        """Return what `sha256_pixels` does.

        Parameters
        ----------
        image
            (H, W, 3) uint8 RGB.
        """
        if not image.flags.c_contiguous:
            return sha256_pixels(image)
        memory = _owner(image)
        place = (image.__array_interface__["data"][0], image.shape, image.dtype)
        checksums = _of_parts(image, zlib.crc32)
        known = self._known.get(id(memory))
        if (
            known is None
            or known.memory() is not memory
            or (known.place, known.checksums) != (place, checksums)
        ):
            memory_now = weakref.ref(memory)
            known = _Known(memory_now, place, checksums, sha256_pixels(image))
            self._forget_the_dead()
            self._known[id(memory)] = known
        return known.sha256

    def _forget_the_dead(self) -> None:
        for number, known in list(self._known.items()):
            if known.memory() is None:
                self._known.pop(number, None)  # another thread may have


def _of_parts(image: NDArray[np.uint8], compute: Callable[[memoryview], T]) -> list[T]:
    """Compute something of each part of the pixels, in their order."""
    pixels = np.ascontiguousarray(image).reshape(-1).data
    parts = [pixels[start : start + _PART] for start in range(0, len(pixels), _PART)]
    if len(parts) < 2:  # no threads for so little
        return [compute(part) for part in parts]
    with ThreadPoolExecutor(min(cpu_cores(), len(parts), _MAX_THREADS)) as threads:
        return list(threads.map(compute, parts))


def _owner(image: NDArray[Any]) -> NDArray[Any]:
    """Return the array that lives as long as the pixels do, as far as NumPy knows."""
    while isinstance(image.base, np.ndarray):
        image = image.base
    return image
