"""The DICOM photograph that a mask belongs to: found again, or made."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa import __version__
from napari_glmedsa.dicom import is_dicom, opened, read_dicom
from napari_glmedsa.errors import GLMedSAError, ImageFormatError
from napari_glmedsa.extras import require
from napari_glmedsa.project import image_id

if TYPE_CHECKING:
    from pydicom import Dataset

MANUFACTURER = "napari-glmedsa"


class DicomSources:
    """The DICOM photographs of a folder, found by their pixels.

    Parameters
    ----------
    folder : Path or None
        Where to look, also in folders below; None has none.

    Raises
    ------
    ImageFormatError
        If there is no such folder.
    """

    def __init__(self, folder: Path | None) -> None:
        if folder is not None and not folder.is_dir():
            raise ImageFormatError(
                f"There is no folder {folder}; name the one with the DICOM photographs."
            )
        self._folder = folder
        self._found: dict[str, Path] = {}
        self._unread: list[Path] | None = None

    def find(self, image: str, *, file_name: str) -> Path | None:
        """Return the file whose pixels have this id; it is looked for by name first."""
        if image in self._found:
            return self._found[image]
        unread = self._files()
        unread.sort(key=lambda path: path.name == file_name)  # read from the end
        while unread:
            path = unread.pop()
            try:
                self._found.setdefault(image_id(read_dicom(path)), path)
            except GLMedSAError:  # no photograph, or not one that can be read
                continue
            if image in self._found:
                return self._found[image]
        return None

    def _files(self) -> list[Path]:
        if self._unread is None:
            self._unread = [] if self._folder is None else list(_below(self._folder))
        return self._unread


def read_source(path: Path) -> "Dataset":
    """Return a DICOM photograph's whole dataset; raises as `read_dicom`."""
    with opened(path) as dataset:
        return dataset


def secondary_capture(
    image: NDArray[np.uint8], *, mm_per_pixel: float | None = None
) -> "Dataset":
    """Return a photograph that never was DICOM as a secondary capture.

    The same photograph gets the same identifiers each time. The patient is not known.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB; it is kept without loss.
    mm_per_pixel : float, optional
        Becomes the Pixel Spacing.

    Raises
    ------
    MissingPackageError
        If highdicom is not installed.
    """
    require("highdicom", task="DICOM SEG")
    from highdicom.sc import SCImage
    from pydicom.uid import generate_uid

    own_id = image_id(image)
    study, series, instance = (
        generate_uid(entropy_srcs=[MANUFACTURER, part, own_id])
        for part in ("study", "series", "photograph")
    )
    dataset = SCImage(
        image,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=study,
        series_instance_uid=series,
        series_number=1,
        sop_instance_uid=instance,
        instance_number=1,
        manufacturer=MANUFACTURER,
        software_versions=__version__,
        pixel_spacing=None if mm_per_pixel is None else (mm_per_pixel, mm_per_pixel),
        patient_orientation=("L", "F"),
    )
    dataset.PatientOrientation = []  # nobody knows how the camera was held
    return dataset


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*"), reverse=True) if is_dicom(path))
