"""A photograph made small, without decoding more of it than is needed."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from napari_glmedsa.dicom import is_dicom, read_dicom
from napari_glmedsa.errors import ImageFormatError, MissingPackageError
from napari_glmedsa.images import MAX_PIXELS
from napari_glmedsa.project.annotations import DECODE_ERRORS

# A closed list, as for photographs: Pillow would also start other programs.
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000")
_DEEP = ("I", "F", "I;16", "I;16B", "I;16L")


def read_thumbnail(path: Path, side: int) -> NDArray[np.uint8]:
    """Return a photograph with at most `side` pixels along its longer side.

    It is only to be recognised: a photograph of more than 8 bits is stretched between
    its darkest and its brightest pixel. DICOM is decoded whole.

    Parameters
    ----------
    path : Path
        The file.
    side : int
        In pixels.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        RGB.

    Raises
    ------
    ImageFormatError
        If it cannot be made small.
    """
    if is_dicom(path):
        return _of_dicom(path, side)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes that are fine here
            with Image.open(path, formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError("too large")
                image.draft("RGB", (2 * side, 2 * side))  # a JPEG is decoded small
                small = ImageOps.exif_transpose(image)
                small.thumbnail((side, side), reducing_gap=2.0)
                if small.mode in _DEEP:
                    return _stretched(np.asarray(small, dtype=np.float64))
                return np.array(small.convert("RGB"))
    except (*DECODE_ERRORS, TypeError, LookupError, ArithmeticError) as error:
        raise _has_none(path) from error


def _of_dicom(path: Path, side: int) -> NDArray[np.uint8]:
    try:
        small = Image.fromarray(read_dicom(path))
    except (ImageFormatError, MissingPackageError) as error:
        raise _has_none(path) from error
    small.thumbnail((side, side), reducing_gap=2.0)
    return np.array(small)


def _has_none(path: Path) -> ImageFormatError:
    return ImageFormatError(
        f"{path} has no thumbnail; open it to see what is wrong with it."
    )


def _stretched(values: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    share = np.nan_to_num((values - low) / max(high - low, 1e-12))
    return np.repeat((255 * share[..., None]).astype(np.uint8), 3, axis=2)
