"""DICOM Segmentation files of any program, read as label maps."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.dicom import LABEL_MAP_SEGMENTATION, SEGMENTATION, opened
from napari_glmedsa.errors import ImageFormatError
from napari_glmedsa.export.objects import stacked
from napari_glmedsa.pixels import MAX_PIXELS

if TYPE_CHECKING:
    from pydicom import Dataset

TRACKING = "object {}"
"""Tracking ID of an object in the files that this program writes."""

# Nothing else is read: who the patient is stays in the file.
_TAGS: list[Any] = [
    *("SOPClassUID", "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelData", "SegmentationType", "SegmentSequence"),
    *("MaximumFractionalValue", "SharedFunctionalGroupsSequence"),
    "PerFrameFunctionalGroupsSequence",
]
_OBJECT = re.compile(r"object (\d{1,5})")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a DICOM SEG file says.

    Attributes
    ----------
    label_map : ndarray of uint16, shape (H, W)
        0 is skin.
    source_uid : str
        SOP Instance UID of the photograph, empty if the file does not name it.
    """

    label_map: NDArray[np.uint16]
    source_uid: str


def read(path: Path) -> Segmentation:
    """Read the masks of one photograph; nothing about the patient is read.

    Where segments overlap, the one with the smaller number keeps the pixels. Fractions
    count from one half.

    Raises
    ------
    ImageFormatError
        If the file is damaged, no DICOM SEG, or about several photographs.
    MissingPackageError
        If pydicom is not installed.
    """
    with opened(path, tags=_TAGS) as dataset:
        kind = str(dataset.get("SOPClassUID", ""))
        if kind not in {SEGMENTATION, LABEL_MAP_SEGMENTATION}:
            raise ImageFormatError(
                f"{path} is no DICOM SEG (masks), but another kind of DICOM file;"
                " choose the file with the masks."
            )
        size = int(dataset.Rows), int(dataset.Columns)
        n_frames = int(dataset.get("NumberOfFrames") or 1)
        if size[0] * size[1] > MAX_PIXELS:
            raise ImageFormatError(
                f"{path} has more than {MAX_PIXELS // 1_000_000} megapixels; crop or"
                " reduce it first."
            )
        frames = dataset.pixel_array.reshape(n_frames, *size)
        groups = dataset.PerFrameFunctionalGroupsSequence
        sources = {_source_of(group) for group in groups} - {""}
        if kind == SEGMENTATION:
            numbers = [int(_segment_of(group, dataset)) for group in groups]
        else:
            numbers = sorted(set(np.unique(frames[0]).tolist()) - {0})
        if len(sources) > 1 or len(set(numbers)) != len(numbers):
            raise ImageFormatError(
                f"{path} is about several photographs; save the masks of each as a file"
                " of its own."
            )
        if kind == SEGMENTATION:
            masks = [_is_inside(frame, dataset) for frame in frames]
        else:
            masks = [frames[0] == number for number in numbers]
        order = sorted(range(len(numbers)), key=lambda index: numbers[index])
        named = _labels(dataset)
        label_map = stacked(
            [masks[index] for index in order],
            [named.get(numbers[index]) for index in order],
            size=size,
        )
    return Segmentation(label_map, next(iter(sources), ""))


def source_uid(path: Path) -> str:
    """Return the UID of the photograph that a DICOM SEG is about, or an empty one."""
    with opened(path, tags=["PerFrameFunctionalGroupsSequence"]) as dataset:
        groups = dataset.get("PerFrameFunctionalGroupsSequence") or ()
        sources = {_source_of(group) for group in groups} - {""}
    return sources.pop() if len(sources) == 1 else ""


def _labels(dataset: "Dataset") -> dict[int, int]:
    """Return the objects' labels by segment number, as `write` notes them."""
    labels = {}
    for segment in dataset.get("SegmentSequence") or ():
        noted = _OBJECT.fullmatch(str(segment.get("TrackingID", "")))
        if noted:
            labels[int(segment.SegmentNumber)] = int(noted[1])
    return labels


def _segment_of(group: "Dataset", dataset: "Dataset") -> Any:
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [group])[0]
    where = group if "SegmentIdentificationSequence" in group else shared
    return where.SegmentIdentificationSequence[0].ReferencedSegmentNumber


def _source_of(group: "Dataset") -> str:
    for derivation in group.get("DerivationImageSequence") or ():
        for source in derivation.get("SourceImageSequence") or ():
            return str(source.ReferencedSOPInstanceUID)
    return ""


def _is_inside(frame: NDArray[Any], dataset: "Dataset") -> NDArray[np.bool_]:
    if dataset.get("SegmentationType") != "FRACTIONAL":
        return np.asarray(frame > 0)
    return np.asarray(2 * frame.astype(int) >= int(dataset.MaximumFractionalValue))
