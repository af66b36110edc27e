"""Label maps as grey PNG or TIFF files: 0 is skin, every other number is an object."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.errors import ImageFormatError
from napari_glmedsa.export.place import whole_folder
from napari_glmedsa.export.subject import Step, Written, silent, subjects
from napari_glmedsa.pairs import MASK_ENDING
from napari_glmedsa.pixels import read_pixels
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.project.annotations import (
    MAX_LABEL,
    encode_label_map,
    present_labels,
)

FileType = Literal["png", "tiff"]

_SUFFIXES: dict[FileType, str] = {"png": ".png", "tiff": ".tif"}


def write(
    project: AnnotationProject,
    ids: Sequence[str],
    output: Path,
    *,
    file_type: FileType = "png",
    overwrite: bool = False,
    step: Step = silent,
) -> Written:
    """Write a label map for every image, 8-bit if its labels allow it, else 16-bit.

    The files are called `<stem>_segmentation.png` or `.tif`; for the other parameters
    and errors see `isic_png.write`.
    """
    n_images = n_objects = 0
    name = "tiff" if file_type == "tiff" else "label-map"
    with whole_folder(output, format_name=name, overwrite=overwrite) as folder:
        for subject in subjects(project, ids, step):
            label_map = project.label_map(subject.id)
            file = folder / f"{subject.stem}{MASK_ENDING}{_SUFFIXES[file_type]}"
            file.write_bytes(encode(label_map, file_type))
            n_images += 1
            n_objects += len(present_labels(label_map))
    return Written(output, n_images, n_objects)


def encode(label_map: NDArray[np.uint16], file_type: FileType) -> bytes:
    """Return a label map (H, W) as the bytes of a file."""
    if file_type == "png":
        return encode_label_map(label_map)
    import tifffile

    small = int(label_map.max(initial=0)) <= np.iinfo(np.uint8).max
    stream = io.BytesIO()
    tifffile.imwrite(
        stream,
        label_map.astype(np.uint8) if small else label_map,
        photometric="minisblack",
        compression="zlib",
    )
    return stream.getvalue()


def read(path: Path) -> NDArray[np.uint16]:
    """Read a label map.

    Parameters
    ----------
    path : Path
        A grey PNG or TIFF of whole numbers, of any depth. Black and white (0 and the
        largest number of the file's depth) is one object.

    Returns
    -------
    ndarray of uint16, shape (H, W)
        0 is skin.

    Raises
    ------
    ImageFormatError
        If it is a picture of colours or fractions, or has labels beyond 65535.
    """
    return checked(read_pixels(path), named=str(path))


def checked(pixels: NDArray[Any], *, named: str) -> NDArray[np.uint16]:
    """Return an array as a label map, or raise as `read`."""
    if pixels.ndim != 2 or pixels.dtype.kind not in "bui":
        raise ImageFormatError(
            f"{named} is no label map (one whole number per pixel); save it as a grey"
            " picture, 0 for skin and 1, 2, ... for the lesions."
        )
    low, high = int(pixels.min(initial=0)), int(pixels.max(initial=0))
    top = 1 if pixels.dtype.kind == "b" else np.iinfo(pixels.dtype).max
    if high == top and bool(np.all((pixels == 0) | (pixels == top))):  # black and white
        return np.asarray(pixels != 0).astype(np.uint16)
    if low < 0 or high > MAX_LABEL:
        raise ImageFormatError(
            f"{named} has the label {low if low < 0 else high}; labels go from 1 to"
            f" {MAX_LABEL}, so number the lesions anew."
        )
    return pixels.astype(np.uint16)
