"""The scale that a photograph's file tells, kept when the photograph comes in."""

from pathlib import Path

from napari_glmedsa.calibration import (
    Calibration,
    keep_calibration,
    read_calibration,
)
from napari_glmedsa.dicom import is_dicom, pixel_spacing
from napari_glmedsa.errors import (
    ImageFormatError,
    MeasurementError,
    MissingPackageError,
    ProjectError,
)


def keep_scale(project: Path, image_id: str, file: Path | None) -> None:
    """Keep what a DICOM photograph says of its pixels, unless a scale is known.

    Parameters
    ----------
    project : Path
        The project's folder.
    image_id : str
        What the project calls the image.
    file : Path or None
        Where it came from. A file that is gone, or no DICOM, tells nothing.

    Raises
    ------
    OutputError
        If the project cannot be written to.
    """
    if file is None or not is_dicom(file):
        return
    try:
        if read_calibration(project, image_id) is not None:
            return
        spacing = pixel_spacing(file)
        scale = Calibration.from_spacing(spacing, "dicom") if spacing else None
    except (ImageFormatError, MissingPackageError, MeasurementError, ProjectError):
        return  # oblong pixels, say; a scale that is damaged is told by the check
    if scale is not None:
        keep_calibration(project, image_id, scale)
