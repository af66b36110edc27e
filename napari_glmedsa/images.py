"""Image and mask files: read whatever a camera or viewer wrote, write PNG."""

import errno
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_glmedsa.dicom import DICOM_SUFFIXES, is_dicom, read_dicom
from napari_glmedsa.errors import ImageFormatError, OutputError
from napari_glmedsa.files import atomic_write
from napari_glmedsa.inference import Prompts
from napari_glmedsa.overlay import draw_overlay
from napari_glmedsa.pixels import DECODE_ERRORS, MAX_PIXELS, read_pixels

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "read_image",
    "read_mask",
    "write_image",
    "write_mask",
    "write_overlay",
    "written_by_us",
]

IMAGE_SUFFIXES = DICOM_SUFFIXES | {
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2")
}
"""Endings (lower case) by which a file in a folder is taken for an image."""

_SOFTWARE = "napari-glmedsa"
_MASK_GREYS_LIMIT = 0.1  # a mask is black and white, but for a soft or JPEG-ed edge


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as it is meant to be seen.

    The camera's EXIF orientation is applied, colour spaces and palettes become
    RGB, transparency is dropped, other bit depths go through `to_rgb_uint8`.

    Parameters
    ----------
    path : Path
        PNG, JPEG, TIFF, BMP, WebP, GIF, JPEG 2000, PPM or DICOM with one image in it
        and at most `MAX_PIXELS` pixels.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB values; row 0 is the top.

    Raises
    ------
    ImageFormatError
        With one sentence that names the file and says what is wrong with it.
    MissingPackageError
        If it is a DICOM file and pydicom is not installed.
    """
    if is_dicom(path):
        return read_dicom(path)
    from napari_glmedsa.inference import to_rgb_uint8  # imports torch; writers need not

    pixels = read_pixels(path)
    try:
        return to_rgb_uint8(pixels)
    except ImageFormatError as error:
        raise ImageFormatError(f"{path}: {error}") from error


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask file: black background, anything else is lesion.

    A file whose brightest value is in the upper half of its range (0/255 masks,
    also after JPEG) is cut at half of that value, a darker one (0/1 masks, label
    maps) above zero.

    Parameters
    ----------
    path : Path
        Any image format of `read_image`.

    Returns
    -------
    ndarray of bool, shape (H, W)
        True on the lesion.

    Raises
    ------
    ImageFormatError
        Also when the file looks like a photograph rather than a mask.
    """
    pixels = read_pixels(path)
    if pixels.ndim == 3:
        # Colours say nothing in a mask: the brightest channel, without alpha.
        pixels = pixels[..., : 3 if pixels.shape[2] > 2 else 1].max(axis=2)
    if pixels.dtype == np.bool_:
        return pixels
    if not np.issubdtype(pixels.dtype, np.integer):
        return np.asarray(pixels > 0.5)
    white = int(pixels.max())
    if white < 1 << (8 * pixels.dtype.itemsize - 1):
        return np.asarray(pixels > 0)
    greys = (pixels > white // 8) & (pixels < white // 8 * 7)
    if greys.mean() > _MASK_GREYS_LIMIT:
        raise ImageFormatError(
            f"{path} looks like a photograph, not like a mask (black and white);"
            " check which folder holds the masks."
        )
    return np.asarray(pixels > white // 2)


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an RGB image, (H, W, 3) uint8, as PNG; see `write_mask`."""
    _write_png(path, Image.fromarray(image))


def write_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    """Write a mask as 8-bit PNG, 0 and 255, whole or not at all.

    Parameters
    ----------
    path : Path
        Where; an existing file is replaced.
    mask : ndarray of bool, shape (H, W)
        True on the lesion.

    Raises
    ------
    OutputError
        The file cannot be written; nothing is left behind.
    """
    _write_png(path, Image.fromarray(mask.astype(np.uint8) * np.uint8(255)))


def write_overlay(
    path: Path,
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    prompts: Prompts,
) -> None:
    """Write the image with the mask's outline and the clicks drawn on it, as PNG.

    Parameters
    ----------
    path : Path
        Where; as `write_mask`.
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mask : ndarray of bool, shape (H, W)
        True on the lesion.
    prompts : Prompts
        Clicks and box, in (x, y) pixels of `image`.
    """
    drawn = draw_overlay(
        image, mask, prompts.point_coords, prompts.point_labels, prompts.box
    )
    _write_png(path, drawn)


def written_by_us(path: Path) -> bool:
    """Say whether a PNG was written by this module and not edited since.

    Programs that save a PNG anew do not keep its `Software` entry, so a mask that
    somebody corrected by hand counts as theirs.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return image.info.get("Software") == _SOFTWARE
    except DECODE_ERRORS:
        return False


def _write_png(path: Path, image: Image.Image) -> None:
    entries = PngInfo()
    entries.add_text("Software", _SOFTWARE)
    try:
        with atomic_write(path) as partial:
            # The partial file's name has no ending to tell the format by. Level 3
            # is three times as fast as the default and a few per cent larger.
            image.save(partial, format="PNG", compress_level=3, pnginfo=entries)
    except OSError as error:
        remedy = "choose a folder that you may write to and that has room"
        if error.errno == errno.ENAMETOOLONG:
            remedy = "give the image a shorter name"
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); {remedy}."
        ) from error
