"""Image and mask files: read whatever a camera or viewer wrote, write PNG."""

import errno
import logging
import stat
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from napari_glmedsa.errors import ImageFormatError, OutputError
from napari_glmedsa.files import atomic_write
from napari_glmedsa.inference import Prompts
from napari_glmedsa.overlay import draw_overlay

MAX_PIXELS = 150_000_000
"""Larger images are refused: decoded and embedded they would fill the memory."""

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2"}
)
"""Endings (lower case) by which a file in a folder is taken for an image."""

# A closed list: Pillow would otherwise also start Ghostscript for an EPS file.
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "DIB", "WEBP", "GIF", "JPEG2000", "PPM")
_DECODE_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, KeyError),
    *(struct.error, zlib.error, OverflowError),
)
_SOFTWARE = "napari-glmedsa"
_MASK_GREYS_LIMIT = 0.1  # a mask is black and white, but for a soft or JPEG-ed edge


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as it is meant to be seen.

    The camera's EXIF orientation is applied, colour spaces and palettes become
    RGB, transparency is dropped, other bit depths go through `to_rgb_uint8`.

    Parameters
    ----------
    path : Path
        PNG, JPEG, TIFF, BMP, WebP, GIF, JPEG 2000 or PPM with one image in it and
        at most `MAX_PIXELS` pixels.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB values; row 0 is the top.

    Raises
    ------
    ImageFormatError
        With one sentence that names the file and says what is wrong with it.
    """
    from napari_glmedsa.inference import to_rgb_uint8  # imports torch; writers need not

    pixels = _read_pixels(path)
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
    pixels = _read_pixels(path)
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
    except _DECODE_ERRORS:
        return False


def _read_pixels(path: Path) -> NDArray[Any]:
    _check_is_file(path)
    try:
        # Pillow warns at 89 megapixels and about every oddity in the metadata; the
        # first is fine up to our own limit, the second is nothing a user can mend.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                _check_size(path, image.width * image.height)
                _check_single_page(path, image)
                return _to_array(ImageOps.exif_transpose(image))
    except ImageFormatError:
        raise
    except MemoryError as error:
        raise ImageFormatError(
            f"{path} does not fit into this machine's memory; reduce its size first."
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageFormatError(_too_large(path)) from error
    except PermissionError as error:
        raise ImageFormatError(
            f"{path} may not be read; check its permissions."
        ) from error
    except UnidentifiedImageError as error:
        if path.suffix.lower() in {".tif", ".tiff"}:
            return _read_unusual_tiff(path)
        raise ImageFormatError(
            f"{path} is not an image that can be read; save it as PNG, JPEG or TIFF."
        ) from error
    except _DECODE_ERRORS as error:
        raise ImageFormatError(_damaged(path)) from error


def _read_unusual_tiff(path: Path) -> NDArray[Any]:
    """Read the TIFF files that Pillow does not know, such as floating-point RGB."""
    from skimage.io import imread

    chatter = logging.getLogger("tifffile")  # what it says, the sentences here say
    chatter.disabled = True
    try:
        pixels = np.asarray(imread(path))
    except (*_DECODE_ERRORS, RuntimeError) as error:
        raise ImageFormatError(_damaged(path)) from error
    finally:
        chatter.disabled = False
    if pixels.ndim < 2 or pixels.size == 0:
        raise ImageFormatError(_damaged(path))
    if pixels.ndim > 3 or (pixels.ndim == 3 and pixels.shape[2] > 4):
        raise ImageFormatError(
            f"{path} holds a stack of shape {' x '.join(map(str, pixels.shape))}; save"
            " the one image you want as its own file."
        )
    _check_size(path, pixels.shape[0] * pixels.shape[1])
    return pixels


def _to_array(image: Image.Image) -> NDArray[Any]:
    match image.mode:
        case "1" | "L" | "LA" | "RGB" | "RGBA" | "I" | "F":
            return np.array(image)
        case mode if mode.startswith("I;16"):
            return np.array(image).astype(np.uint16)
        case "P" | "PA":  # by way of RGBA, as a transparent colour is a colour too
            return np.array(image.convert("RGBA").convert("RGB"))
        case "La":
            return np.array(image.convert("LA"))
        case "RGBa":
            return np.array(image.convert("RGBA"))
        case _:  # CMYK, YCbCr, LAB, HSV
            return np.array(image.convert("RGB"))


def _check_is_file(path: Path) -> None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageFormatError(
            f"There is no file {path}; check its name and folder."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageFormatError(
            f"{path} cannot be read ({reason}); check its name and permissions."
        ) from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageFormatError(f"{path} is a folder; name an image file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise ImageFormatError(f"{path} is not a file; name an image file.")
    if status.st_size == 0:
        raise ImageFormatError(f"{path} is empty (0 bytes); copy it once more.")


def _check_single_page(path: Path, image: Image.Image) -> None:
    pages = getattr(image, "n_frames", 1)
    # Phones put a preview behind the photograph (MPO); the first one is meant.
    if pages > 1 and image.format != "MPO":
        raise ImageFormatError(
            f"{path} holds {pages} images; save the one you want as its own file."
        )


def _check_size(path: Path, n_pixels: int) -> None:
    if n_pixels > MAX_PIXELS:
        raise ImageFormatError(_too_large(path))


def _too_large(path: Path) -> str:
    limit = MAX_PIXELS // 1_000_000
    return f"{path} has more than {limit} megapixels; crop or reduce it first."


def _damaged(path: Path) -> str:
    return f"{path} is damaged or cut off; copy or export it once more."


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
