"""Finished masks in the formats of other programs, on their way into a project."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.dicom import is_dicom, is_segmentation, opened
from napari_glmedsa.errors import GLMedSAError, ImageFormatError
from napari_glmedsa.export import coco, dicom_seg_reader, label_map
from napari_glmedsa.extras import require
from napari_glmedsa.images import read_image
from napari_glmedsa.pairs import (
    MASK_ENDING,
    Pairing,
    check_sizes,
    images_in,
    pair_by_stem,
)
from napari_glmedsa.project.arrivals import ReadPair

IncomingFormat = Literal["isic-png", "label-map", "tiff", "coco", "dicom-seg"]
"""Formats of `export` that hold masks; `tiff` is a label map, too."""


@dataclass(frozen=True, eq=False)
class Incoming:
    """Photographs with their masks, and how they are read.

    Attributes
    ----------
    pairs : sequence of (Path, Path)
        Photograph and file of its mask.
    read : callable or None
        Reads such a pair, for `napari_glmedsa.project.arrivals.import_pairs`; None is
        its own way.
    remarks : sequence of str
        A sentence each about what is left out.
    """

    pairs: Sequence[tuple[Path, Path]]
    read: ReadPair | None
    remarks: Sequence[str] = ()


def incoming(format_name: IncomingFormat, images: Path, masks: Path) -> Incoming:
    """Find out which mask belongs to which photograph.

    Parameters
    ----------
    format_name : IncomingFormat
        What the masks are. PNG and TIFF masks go by the photographs' names, COCO by
        the names in it, DICOM SEG by the photograph that it refers to or, if that is
        no DICOM file in `images`, by name.
    images : Path
        Folder of photographs.
    masks : Path
        Folder of masks; for COCO the JSON file. A single DICOM SEG is fine, too.

    Raises
    ------
    ImageFormatError
        If nothing fits together or cannot be read.
    MissingPackageError
        If the format needs a package that is not installed.
    """
    match format_name:
        case "isic-png":
            pairing = pair_by_stem(images, masks)
            return Incoming(pairing.pairs, None, tuple(pairing.remarks()))
        case "label-map" | "tiff":
            pairing = pair_by_stem(images, masks)
            return Incoming(pairing.pairs, _read_label_map, tuple(pairing.remarks()))
        case "coco":
            return _of_coco(images, masks)
        case "dicom-seg":
            return _of_dicom(images, masks)


def _of_coco(images: Path, file: Path) -> Incoming:
    photographs = images_in(images)
    outlined: dict[Path, coco.CocoImage] = {}
    absent: list[Path] = []
    by_name = {path.name: path for path in photographs}
    by_stem = {path.stem: path for path in photographs}
    for image in coco.read(file):
        stem = Path(image.file_name).stem
        found = by_name.get(image.file_name) or by_stem.get(stem)
        if found is None:
            absent.append(Path(image.file_name or "an image without a name"))
        elif found in outlined:
            raise ImageFormatError(
                f"{file} has two images called {found.name}; keep one of them."
            )
        else:
            outlined[found] = image
    pairing = Pairing(
        [(path, file) for path in photographs if path in outlined],
        [path for path in photographs if path not in outlined],
        absent,
    )
    _refuse_nothing(pairing, images, file)

    def read(photograph: Path, _: Path) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        return _fitting(
            read_image(photograph), outlined[photograph].label_map(), photograph, file
        )

    return Incoming(pairing.pairs, read, tuple(pairing.remarks()))


def _of_dicom(images: Path, masks: Path) -> Incoming:
    require("pydicom", task="DICOM SEG")
    files, remarks = _segmentations(masks)
    photographs = [path for path in images_in(images) if path not in files]
    by_uid, by_stem = _by_uid(photographs), {path.stem: path for path in photographs}
    pairing = Pairing()
    for file in files:
        stem = file.stem
        if stem.lower().endswith(MASK_ENDING):
            stem = stem[: -len(MASK_ENDING)]
        found = by_uid.get(dicom_seg_reader.source_uid(file)) or by_stem.get(stem)
        if found is None:
            pairing.without_image.append(file)
        else:
            pairing.pairs.append((found, file))
    paired = {photograph for photograph, _ in pairing.pairs}
    pairing.without_mask.extend(path for path in photographs if path not in paired)
    _refuse_nothing(pairing, images, masks)

    def read(photograph: Path, file: Path) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        masks = dicom_seg_reader.read(file).label_map
        return _fitting(read_image(photograph), masks, photograph, file)

    return Incoming(pairing.pairs, read, (*remarks, *pairing.remarks()))


def _segmentations(masks: Path) -> tuple[list[Path], list[str]]:
    """Return the DICOM SEG files, and a sentence about each that is damaged."""
    if masks.is_file():
        return [masks], []
    try:
        candidates = [path for path in sorted(masks.iterdir()) if is_dicom(path)]
    except OSError as error:
        raise ImageFormatError(
            f"The folder {masks} cannot be read ({error.strerror}); check its name."
        ) from error
    found: list[Path] = []
    damaged: list[str] = []
    for path in candidates:
        try:
            found += [path] if is_segmentation(path) else []
        except ImageFormatError as error:
            damaged.append(str(error))
    return found, damaged


def _by_uid(photographs: Sequence[Path]) -> Mapping[str, Path]:
    known: dict[str, Path] = {}
    for path in photographs:
        if is_dicom(path):
            try:
                with opened(path, tags=["SOPInstanceUID"]) as dataset:
                    known[str(dataset.get("SOPInstanceUID", ""))] = path
            except GLMedSAError:  # reading it will say why
                continue
    known.pop("", None)
    return known


def _refuse_nothing(pairing: Pairing, images: Path, masks: Path) -> None:
    if not pairing.pairs:
        raise ImageFormatError(
            f"No mask in {masks} belongs to a photograph in {images}; name the folder"
            " of the photographs that were outlined."
        )


def _read_label_map(
    photograph: Path, file: Path
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    return _fitting(read_image(photograph), label_map.read(file), photograph, file)


def _fitting(
    image: NDArray[np.uint8], labels: NDArray[np.uint16], photograph: Path, file: Path
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    check_sizes(image, labels, (photograph, file))
    return image, labels
