"""DICOM photographs: what is seen in them, and how large a pixel is on the skin."""

import logging
import math
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.errors import GLMedSAError, ImageFormatError
from napari_glmedsa.extras import require
from napari_glmedsa.pixels import MAX_PIXELS

if TYPE_CHECKING:
    from pydicom import Dataset

DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
"""Endings (lower case) by which a file in a folder is taken for DICOM."""

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"
"""SOP classes of masks."""

PHOTOGRAPHS = {
    "1.2.840.10008.5.1.4.1.1.77.1.4": "VL photographic",
    "1.2.840.10008.5.1.4.1.1.77.1.7": "dermoscopic photography",
    "1.2.840.10008.5.1.4.1.1.7": "secondary capture",
    "1.2.840.10008.5.1.4.1.1.7.2": "secondary capture",
    "1.2.840.10008.5.1.4.1.1.7.3": "secondary capture",
    "1.2.840.10008.5.1.4.1.1.7.4": "secondary capture",
}
"""SOP classes that are read, and what they are called."""

# Nothing else is read from a file: who the patient is stays in it.
_LUTS = [
    f"{segmented}{colour}PaletteColorLookupTable{part}"
    for colour in ("Red", "Green", "Blue")
    for segmented, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
]
_TAGS: list[Any] = [
    *("SOPClassUID", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames"),
    *("PlanarConfiguration", "Rows", "Columns", "BitsAllocated", "BitsStored"),
    *("HighBit", "PixelRepresentation", "PixelSpacing", "PixelData"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", *_LUTS),
]
_DECODERS = {  # by how pydicom's names of compressions begin
    "JPEG 2000": "pylibjpeg pylibjpeg-openjpeg",
    "High-Throughput": "pylibjpeg pylibjpeg-openjpeg",
    "JPEG-LS": "pyjpegls",
    "RLE": "pylibjpeg pylibjpeg-rle",
    "JPEG": "pylibjpeg pylibjpeg-libjpeg",
}
_LOGGERS = ("pydicom", "pydicom.pixels.decoders.base")
_MAGIC, _PREAMBLE = b"DICM", 128
_DAMAGE = (
    *(OSError, ValueError, AttributeError, LookupError, TypeError, RuntimeError),
    *(EOFError, struct.error, OverflowError),
)


def is_dicom(path: Path) -> bool:
    """Say whether a file is DICOM, by its content; needs no pydicom."""
    try:
        with path.open("rb") as stream:
            return stream.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC
    except (OSError, ValueError):  # no such file, or no such name
        return False


def is_segmentation(path: Path) -> bool:
    """Say whether a DICOM file holds masks; raises as `read_dicom`."""
    with opened(path, tags=["SOPClassUID"]) as dataset:
        kind = str(dataset.get("SOPClassUID", ""))
        if not kind:
            raise ImageFormatError(
                f"{path} does not say what kind of DICOM file it is; copy or export it"
                " once more."
            )
    return kind in {SEGMENTATION, LABEL_MAP_SEGMENTATION}


def read_dicom(path: Path) -> NDArray[np.uint8]:
    """Read a DICOM photograph as it is meant to be seen.

    Palettes, YBR colours, inverted greys and 9 to 16 bits become plain RGB.
    Nothing about the patient is read.

    Parameters
    ----------
    path : Path
        A single dermoscopic, VL photographic or secondary-capture image, uncompressed
        or compressed in a way that pydicom and its installed decoders know.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB; row 0 is the top.

    Raises
    ------
    ImageFormatError
        If the file is damaged, no photograph, too large, or holds several images, or
        if a decoder is missing.
    MissingPackageError
        If pydicom is not installed.
    """
    with opened(path, tags=_TAGS) as dataset:
        _check_is_photograph(path, dataset)
        _check_can_be_decoded(path, dataset)
        return _to_rgb(dataset)


def pixel_spacing(path: Path) -> tuple[float, float] | None:
    """Return a pixel's height and width on the skin in mm, if the file tells.

    Only `Pixel Spacing` says so: `Imager Pixel Spacing` is measured on the sensor and
    `Nominal Scanned Pixel Spacing` on a print. Raises as `read_dicom`.
    """
    with opened(path, tags=["PixelSpacing"]) as dataset:
        height, width = (float(mm) for mm in dataset.get("PixelSpacing") or (0, 0))
    is_length = all(math.isfinite(mm) and mm > 0 for mm in (height, width))
    return (height, width) if is_length else None


@contextmanager
def opened(path: Path, *, tags: list[Any] | None = None) -> Iterator["Dataset"]:
    """Yield a file's dataset; whatever is wrong with it becomes one sentence.

    Parameters
    ----------
    path : Path
        A DICOM file.
    tags : list, optional
        Keywords that are read, default all.
    """
    require("pydicom", task="Reading DICOM files")
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        # Pydicom's warnings quote what is wrong, which may be a name.
        with warnings.catch_warnings(), _silent_log():
            warnings.simplefilter("ignore")
            yield pydicom.dcmread(path, specific_tags=tags)
    except GLMedSAError:
        raise
    except MemoryError as error:
        raise ImageFormatError(
            f"{path} does not fit into this machine's memory; reduce its size first."
        ) from error
    except InvalidDicomError as error:
        raise ImageFormatError(
            f"{path} is not a DICOM file; check where it came from."
        ) from error
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ImageFormatError(
            f"{path} cannot be read ({error.strerror}); check its name and permissions."
        ) from error
    except _DAMAGE:
        # Without its cause, whose words may quote the patient's data.
        raise ImageFormatError(
            f"{path} is damaged or cut off; copy or export it once more."
        ) from None


@contextmanager
def _silent_log() -> Iterator[None]:
    """Let pydicom log nothing in this thread: it quotes as well, and says it twice."""
    here = threading.get_ident()

    def is_elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != here

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(is_elsewhere)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_elsewhere)


def _check_is_photograph(path: Path, dataset: "Dataset") -> None:
    kind = dataset.get("SOPClassUID")
    if kind not in PHOTOGRAPHS:
        name = getattr(kind, "name", "") or "file of no known kind"
        raise ImageFormatError(
            f"{path} is no photograph but DICOM of the kind {name}; choose a"
            " dermoscopic, VL photographic or secondary-capture image."
        )
    if "PixelData" not in dataset:
        raise ImageFormatError(f"{path} holds no pixels; export it once more.")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise ImageFormatError(
            f"{path} holds {frames} images; save the one you want as its own file."
        )
    if int(dataset.Rows) * int(dataset.Columns) > MAX_PIXELS:
        raise ImageFormatError(
            f"{path} has more than {MAX_PIXELS // 1_000_000} megapixels; crop or"
            " reduce it first."
        )


def _check_can_be_decoded(path: Path, dataset: "Dataset") -> None:
    from pydicom.pixels.decoders.base import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return
    try:
        if get_decoder(syntax).is_available:
            return
    except NotImplementedError:
        pass
    remedy = "save it uncompressed"
    for beginning, packages in _DECODERS.items():
        if syntax.name.startswith(beginning):
            remedy = f"install one with: pip install {packages}"
            break
    raise ImageFormatError(
        f"{path} is compressed as {syntax.name}, for which no decoder is installed;"
        f" {remedy}."
    )


def _to_rgb(dataset: "Dataset") -> NDArray[np.uint8]:
    from pydicom.pixels.processing import apply_color_lut

    values = dataset.pixel_array  # YBR is RGB already
    bits = int(dataset.BitsStored)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)
        bits = 8 * values.dtype.itemsize
    elif int(dataset.get("PixelRepresentation") or 0):
        values = values.astype(np.int64) + (1 << (bits - 1))
    top = (1 << bits) - 1
    if top != np.iinfo(np.uint8).max:
        clipped = np.clip(values, 0, top).astype(np.int64)
        values = (clipped * 255 + top // 2) // top
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        values = 255 - values
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    return np.ascontiguousarray(values[..., :3], dtype=np.uint8)
