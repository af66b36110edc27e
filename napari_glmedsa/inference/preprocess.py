"""Any image layer's array to RGB uint8, and that to the model's square input."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from segment_anything.modeling import Sam
from torch import Tensor

from napari_glmedsa.errors import ImageFormatError
from napari_glmedsa.waiting import cpu_cores

Resize = Literal["longest_side", "square", "square_bicubic"]

_BIT_DEPTHS = (8, 12, 16, 32, 64)
_BAND = 1 << 20  # bytes of a photograph that are resized at once
_MAX_THREADS = 8


def to_rgb_uint8(array: Any) -> NDArray[np.uint8]:
    """Convert what an image layer can hold to plain RGB.

    Only values count, never a viewer's contrast limits.

    * bool: False is 0, True is 255.
    * integers: scaled from the smallest of 8, 12, 16, 32 or 64 bits that holds the
      largest value, so a 12-bit camera image in a uint16 array keeps its
      brightness.
    * floats: 0..1 if nothing lies outside, else 0..255 if nothing lies outside.
    * anything else, negative integers included: from minimum to maximum.

    Parameters
    ----------
    array
        (H, W), (H, W, 1) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB or
        (H, W, 4) RGBA; numpy, dask or anything with ``__array__``. Alpha is
        dropped.

    Returns
    -------
    NDArray[np.uint8]
        (H, W, 3).

    Raises
    ------
    ImageFormatError
        For stacks, empty images, complex numbers, NaN and infinity.
    """
    shape = tuple(getattr(array, "shape", None) or np.shape(array))
    if not (len(shape) == 2 or (len(shape) == 3 and shape[2] <= 4)):
        raise ImageFormatError(
            f"The image has shape {' x '.join(map(str, shape))}; only "
            "two-dimensional grey, RGB or RGBA images can be segmented, so choose one "
            "plane of a stack."
        )
    if 0 in shape:
        raise ImageFormatError("The image is empty (it has no pixels).")
    try:
        values = np.asarray(array)
    except MemoryError as error:
        raise ImageFormatError(
            f"The image ({' x '.join(map(str, shape))}) does not fit into memory; "
            "choose a smaller version of it."
        ) from error
    if values.dtype.kind not in "buif":
        raise ImageFormatError(
            f"Pixels of type {values.dtype} are not brightness values; convert the "
            "image to 8-bit, 16-bit or float."
        )
    if values.ndim == 2:
        values = values[..., None]
    colours = values[..., :3] if values.shape[2] >= 3 else values[..., :1]
    grey_or_rgb = _to_uint8(colours)
    return np.ascontiguousarray(np.broadcast_to(grey_or_rgb, (*values.shape[:2], 3)))


def _to_uint8(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    lowest, highest = values.min(), values.max()
    low, high = float(lowest), float(highest)
    if not np.isfinite([low, high]).all():
        raise ImageFormatError(
            "The image contains NaN or infinite values; replace them (for example by "
            "0) before segmenting."
        )
    floor = 0.0
    if low < 0:
        floor, full = low, high
    elif values.dtype.kind in "ui":
        # Not by `high`: as a float, the largest 64-bit number is rounded up to 2**64.
        full = float(min(2**b - 1 for b in _BIT_DEPTHS if 2**b > int(highest)))
    elif high <= 1:
        full = 1.0
    else:
        floor, full = (0.0, 255.0) if high <= 255 else (low, high)
    scale = 255.0 / (full - floor if full > floor else 1.0)
    precise = np.float32 if values.dtype.itemsize <= 2 else np.float64
    brightness: NDArray[np.floating[Any]] = np.asarray(values, precise)
    rounded: NDArray[np.uint8] = np.rint((brightness - floor) * scale).astype(np.uint8)
    return rounded


def resize_to_input(
    image: NDArray[np.uint8],
    length: int,
    how: Resize = "longest_side",
    *,
    check: Callable[[], None] | None = None,
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Shrink or enlarge an image for the model's square input, before padding.

    Parameters
    ----------
    image
        (H, W, 3) uint8.
    length
        Side of the input in pixels.
    how
        ``"longest_side"`` keeps the proportions, as SAM does; ``"square"`` fills
        the input, as the Med-SA release does; ``"square_bicubic"`` too, with the
        filter and the rounding (down) of MedSAM.
    check
        Called again and again while a large photograph is shrunk; what it raises ends
        that.

    Returns
    -------
    tuple
        The image and its (H, W). A side never becomes less than one pixel,
        where SAM itself would fail.
    """
    if how == "square_bicubic":
        return _stretched_bicubically(image, length), (length, length)
    scale = length / max(image.shape[:2])
    height, width = (max(1, int(side * scale + 0.5)) for side in image.shape[:2])
    size = (height, width) if how == "longest_side" else (length, length)
    return _resized(image, size, check), size


def _resized(
    image: NDArray[np.uint8],
    size: tuple[int, int],
    check: Callable[[], None] | None,
) -> NDArray[np.uint8]:
    """Resize as Pillow does, which SAM goes by; large photographs on all processors.

    Pillow narrows the rows first, rounds, and then shortens the columns. No row knows
    of another, so bands of rows give the same, without a copy of all pixels.
    """
    height, width = size
    if image.nbytes > _BAND and _rows_come_first(image, size):
        n_rows = max(1, _BAND // image[0].nbytes)
        bands = [image[top : top + n_rows] for top in range(0, len(image), n_rows)]
        with ThreadPoolExecutor(min(cpu_cores(), _MAX_THREADS)) as threads:
            narrowed = []
            for band in threads.map(partial(_bilinear, width=width), bands):
                narrowed.append(band)
                if check is not None:
                    check()
        image = np.concatenate(narrowed)
    return _bilinear(image, width=width, height=height)


def _rows_come_first(image: NDArray[np.uint8], size: tuple[int, int]) -> bool:
    """Say whether any Pillow begins with the rows: 13 and later may with columns.

    They do so for pictures that are about twice as high as wide, or become flatter.
    """
    height, width = image.shape[:2]
    flatter = abs(height / size[0] - width / size[1]) > 0.02 * width / size[1]
    return height <= 1.6 * width and not flatter


def _bilinear(
    image: NDArray[np.uint8], *, width: int, height: int | None = None
) -> NDArray[np.uint8]:
    size = (width, height or len(image))
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def _stretched_bicubically(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    from skimage import transform  # here, as hardly any model needs it

    # The channels together: one by one, values next to a whole number would be
    # rounded to another one than MedSAM's.
    stretched: NDArray[np.float64] = transform.resize(
        image, (side, side), order=3, preserve_range=True, anti_aliasing=True
    )
    return stretched.astype(np.uint8)


def model_input(
    sam: Sam,
    image: NDArray[np.uint8],
    *,
    check: Callable[[], None] | None = None,
) -> tuple[Tensor, tuple[int, int]]:
    """Turn an RGB image into SAM's input: resized, normalised, padded.

    Parameters
    ----------
    sam
        Gives the input size, mean, standard deviation and device; its attribute
        ``input_resize``, if there is one, says how to resize.
    image
        (H, W, 3) uint8.
    check
        As of `resize_to_input`.

    Returns
    -------
    tuple
        Tensor (1, 3, S, S) float32 and the (H, W) of the image in it.
    """
    length = sam.image_encoder.img_size
    resized, size = resize_to_input(image, length, input_resize(sam), check=check)
    tensor = torch.as_tensor(resized, device=sam.device).permute(2, 0, 1)[None]
    return sam.preprocess(tensor.contiguous()), size


def input_resize(sam: Sam) -> Resize:
    """Return how images are resized for this model; adapters may have changed it."""
    how: Resize = getattr(sam, "input_resize", "longest_side")
    return how
