"""An image file's pixels as they are stored, or one sentence why there are none."""

import itertools
import logging
import math
import stat
import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from napari_glmedsa.errors import ImageFormatError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

MAX_PIXELS = 150_000_000
"""Larger images are refused: decoded and embedded they would fill the memory."""

DECODE_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, KeyError),
    *(struct.error, zlib.error, OverflowError),
)
"""What Pillow raises on damaged files."""

_MAX_PAGES = 100  # an image has one, but for its planes, previews and smaller versions

# A closed list: Pillow would otherwise also start Ghostscript for an EPS file.
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "DIB", "WEBP", "GIF", "JPEG2000", "PPM")


def read_pixels(path: Path) -> NDArray[Any]:
    """Read an image file, turned as its camera's EXIF entry says.

    Parameters
    ----------
    path : Path
        As for `napari_glmedsa.images.read_image`.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C)
        Grey, grey and alpha, RGB or RGBA in the file's own depth; palettes and other
        colour spaces become RGB.

    Raises
    ------
    ImageFormatError
        With one sentence that names the file and says what is wrong with it.
    """
    _check_is_file(path)
    try:
        # Pillow warns at 89 megapixels and about every oddity in the metadata; the
        # first is fine up to our own limit, the second is nothing a user can mend.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read_by_pillow(path)
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
        raise ImageFormatError(
            f"{path} is not an image that can be read; save it as PNG, JPEG or TIFF."
        ) from error
    except DECODE_ERRORS as error:
        raise ImageFormatError(_damaged(path)) from error


def _read_by_pillow(path: Path) -> NDArray[Any]:
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _check_size(path, image.width * image.height)
            _check_single_page(path, image)
            return _to_array(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        if path.suffix.lower() not in {".tif", ".tiff"}:
            raise
        return _read_by_tifffile(path)


def _read_by_tifffile(path: Path) -> NDArray[Any]:
    """Read the TIFF files that Pillow does not know, such as floating-point RGB."""
    import tifffile

    chatter = logging.getLogger("tifffile")  # what it says, the sentences here say
    chatter.disabled = True
    try:
        with tifffile.TiffFile(path) as file:
            _check_pages(path, file)
            series = file.series[0]
            _check_header(path, series)
            pixels = series.asarray()
            if pixels.shape != series.shape:
                raise ImageFormatError(_damaged(path))
    except (ImageFormatError, MemoryError):
        raise
    except Exception as error:  # whatever tifffile finds in a damaged file
        raise ImageFormatError(_damaged(path)) from error
    finally:
        chatter.disabled = False
    return np.moveaxis(pixels, 0, 2) if _in_planes(pixels.shape) else pixels


def _check_pages(path: Path, file: "TiffFile") -> None:
    """Refuse more pages than an image has, and a page that leads back to a former one.

    Only some ways through tifffile notice such a circle; the others never end.
    """
    offsets = [page.offset for page in itertools.islice(file.pages, _MAX_PAGES + 1)]
    if len(set(offsets)) < len(offsets):
        raise ImageFormatError(_damaged(path))
    if len(offsets) > _MAX_PAGES:
        raise ImageFormatError(
            f"{path} holds more than {_MAX_PAGES} images; save the one you want as its"
            " own file."
        )


def _check_header(path: Path, series: "TiffPageSeries") -> None:
    """Refuse by its header what should not be decoded: it can claim any size.

    Strips and tiles that it claims and nobody stored would be filled with black, one by
    one, which takes minutes.
    """
    page, shape = series.keyframe, series.shape
    stored = page.is_contiguous or len(page.dataoffsets) >= math.prod(page.chunked)
    if len(shape) < 2 or 0 in shape or not stored:
        raise ImageFormatError(_damaged(path))
    height, width, *channels = shape[1:] + shape[:1] if _in_planes(shape) else shape
    if len(channels) > 1 or math.prod(channels) > 4:
        raise ImageFormatError(
            f"{path} holds a stack of shape {' x '.join(map(str, shape))}; save"
            " the one image you want as its own file."
        )
    _check_size(path, height * width)


def _in_planes(shape: tuple[int, ...]) -> bool:
    """Say whether each colour is a plane of its own, (C, H, W)."""
    return len(shape) == 3 and shape[0] in (3, 4) and shape[2] not in (3, 4)


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
