"""What napari asks to save a Labels layer in the formats of other programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_glmedsa.errors import ImageFormatError, OutputError
from napari_glmedsa.ui import convert
from napari_glmedsa.ui.companion import OURS
from napari_glmedsa.ui.palette import TO_SAVE, for_files
from napari_glmedsa.ui.saving import source_name

# Napari has asked already whether a file may be replaced.


@contextmanager
def _said_by_napari() -> Iterator[None]:
    """Let no ValueError out: napari would say that nobody can write such a file."""
    try:
        yield
    except ImageFormatError as error:
        raise OutputError(str(error)) from error


@for_files(TO_SAVE)
@_said_by_napari()
def write_isic_png(path: str, data: Any, _: dict[str, Any]) -> list[str]:
    """Write all objects as one black and white mask, 0 and 255, 8-bit PNG.

    Parameters
    ----------
    path : str
        The file; one of this name is replaced. The same for the other functions here.
    data : array-like of whole numbers, shape (H, W)
        The layer's; 0 is skin.

    Raises
    ------
    OutputError
        If the layer is no label map of one image, or the file cannot be written.
    """
    from napari_glmedsa.export.isic_png import one_mask
    from napari_glmedsa.images import write_mask

    write_mask(Path(path), one_mask(_label_map(data)))
    return [path]


@for_files(TO_SAVE)
@_said_by_napari()
def write_label_map(path: str, data: Any, _: dict[str, Any]) -> list[str]:
    """Write a label map as TIFF, 8-bit if its labels allow it, else 16-bit.

    For the rest see `write_isic_png`.
    """
    from napari_glmedsa.export.label_map import encode

    return _write(Path(path), encode(_label_map(data), "tiff"))


@for_files(TO_SAVE)
@_said_by_napari()
def write_coco(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write the objects as COCO run lengths; for the rest see `write_isic_png`.

    The image in it is named after the photograph's file.
    """
    from napari_glmedsa.export.coco import document_of

    label_map = _label_map(data)
    image = _photograph(meta, label_map.shape)
    name = Path(path).stem if image is None else source_name(image)
    document = document_of(label_map, file_name=name)
    return _write(Path(path), json.dumps(document).encode())


@for_files(TO_SAVE)
@_said_by_napari()
def write_dicom_seg(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write the objects as DICOM SEG, about the photograph that they lie on.

    If that was not opened from a DICOM file, a secondary capture of it is written
    beside, `<stem>_photograph.dcm`.

    Raises
    ------
    OutputError
        As `write_isic_png`, and if it is not clear which photograph it is.
    MissingPackageError
        If highdicom is not installed.
    """
    from napari_glmedsa.dicom import is_dicom
    from napari_glmedsa.export.dicom_seg import segmentation
    from napari_glmedsa.export.dicom_source import read_source, secondary_capture
    from napari_glmedsa.export.place import whole_file
    from napari_glmedsa.inference import to_rgb_uint8

    label_map = _label_map(data)
    image = _photograph(meta, label_map.shape)
    if image is None:
        raise ImageFormatError(
            "DICOM SEG belongs to a photograph; open the one that this mask was made"
            " on, and hide or remove other images of its size."
        )
    file, opened = Path(path), image.source.path
    if opened is not None and is_dicom(Path(opened)):
        with whole_file(file, overwrite=True) as partial:
            dataset = segmentation(read_source(Path(opened)), label_map)
            dataset.save_as(partial, enforce_file_format=True)
        return [path]
    photograph = file.with_name(f"{file.stem}_photograph.dcm")
    source = secondary_capture(to_rgb_uint8(np.asarray(convert.image_array(image))))
    dataset = segmentation(source, label_map)
    with whole_file(file, overwrite=True) as partial:
        dataset.save_as(partial, enforce_file_format=True)
        # Last, so that nothing is replaced if the mask cannot be written.
        with whole_file(photograph, overwrite=_is_same(photograph, source)) as beside:
            source.save_as(beside, enforce_file_format=True)
    return [path, str(photograph)]


def _label_map(data: Any) -> NDArray[np.uint16]:
    from napari_glmedsa.export.label_map import checked

    pixels = np.asarray(data)
    if pixels.ndim != 2:
        raise ImageFormatError(
            f"The layer has {pixels.ndim} dimensions; only the labels of a single image"
            " can be saved in this format."
        )
    # Of 64 bits, for 255 is a label here, and not white.
    return checked(pixels.astype(np.int64), named="The layer")


def _photograph(meta: dict[str, Any], size: tuple[int, ...]) -> Image | None:
    """Return the image that a Labels layer was made on, or the only one of its size."""
    viewer = napari.current_viewer()
    layers = () if viewer is None else viewer.layers
    images = [one for one in layers if isinstance(one, Image) and one.ndim == 2]
    made_on = meta.get("metadata", {}).get(OURS, {}).get("image")
    own = [one for one in images if made_on and one.unique_id == made_on]
    fitting = [one for one in images if convert.image_size(one) == size]
    seen = [one for one in fitting if one.visible]
    for found in (own, fitting, seen):
        if len(found) == 1:
            return found[0]
    return None


def _is_same(file: Path, source: Any) -> bool:
    """Say whether a file is the photograph that would be written to it."""
    from napari_glmedsa.dicom import is_dicom, opened

    if not is_dicom(file):
        return False
    with opened(file, tags=["SOPInstanceUID"]) as dataset:
        return bool(dataset.get("SOPInstanceUID") == source.SOPInstanceUID)


def _write(path: Path, content: bytes) -> list[str]:
    from napari_glmedsa.files import atomic_write

    try:
        with atomic_write(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); choose a folder"
            " that you may write to and that has room."
        ) from error
    return [str(path)]
