"""How large a pixel is on the skin: measured, never guessed, and kept per image.

There are no presets of devices: no manufacturer states millimetres per pixel that hold
whatever the camera, the zoom and the size of the saved picture are. A contact plate
with a printed scale, or DICOM's Pixel Spacing, does (DICOM PS3.17, TTTT.1).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, get_args

from napari_glmedsa.errors import MeasurementError, OutputError, ProjectError
from napari_glmedsa.files import NONSENSE, read_json, write_json

Source = Literal["ruler", "dicom", "layer", "given"]
Point = tuple[float, float]

PLAUSIBLE = (1e-4, 10.0)
"""Millimetres per pixel that skin is photographed with, from near to the whole body."""

_SQUARE = 1e-3  # by how much height and width of a pixel may differ
_SHORTEST = 10.0  # pixels; a shorter ruler is read too coarsely
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Calibration:
    """Millimetres per pixel of one image, and how they are known.

    Attributes
    ----------
    mm_per_pixel : float
        Height and width of a pixel on the skin.
    source : {"ruler", "dicom", "layer", "given"}
        A known length in the picture, DICOM's Pixel Spacing, the scale of a napari
        layer in a unit of length, or a number that the user gave.
    line : ((x, y), (x, y)) or None
        Ends of the ruler, in pixels of the image.
    length_mm : float or None
        What is between them.
    created : str
        When, as UTC in ISO 8601.
    """

    mm_per_pixel: float
    source: Source
    line: tuple[Point, Point] | None = None
    length_mm: float | None = None
    created: str = ""

    @classmethod
    def from_ruler(cls, start: Point, end: Point, *, length_mm: float) -> Self:
        """Measure a pixel by a known length in the picture.

        Parameters
        ----------
        start, end : (x, y)
            In pixels of the image.
        length_mm : float
            Distance on the skin.

        Raises
        ------
        MeasurementError
            If the points are closer than 10 pixels, or the result is not plausible.
        """
        pixels = math.dist(start, end)
        if not pixels >= _SHORTEST:
            raise MeasurementError(
                f"The ruler is {pixels:.1f} pixels long, too short to measure by; draw"
                " it along a longer part of the scale."
            )
        now = datetime.now(UTC).isoformat(timespec="seconds")
        mm = _plausible(length_mm / pixels)
        return cls(mm, "ruler", (start, end), length_mm, now)

    @classmethod
    def from_spacing(cls, spacing: tuple[float, float], source: Source) -> Self:
        """Take a pixel's (height, width) in mm; raises MeasurementError if not square.

        Areas and angles of a picture with oblong pixels would be wrong.
        """
        height, width = spacing
        if not abs(height - width) <= _SQUARE * max(height, width):
            raise MeasurementError(
                f"The pixels are {height:g} mm high and {width:g} mm wide; only square"
                " pixels can be measured in mm, so resample the picture first."
            )
        return cls(_plausible((height + width) / 2), source)

    @property
    def sentence(self) -> str:
        """What the user reads."""
        if self.length_mm is not None and self.line is not None:
            pixels = math.dist(*self.line)
            how = f"ruler: {self.length_mm:g} mm are {pixels:.0f} px"
        else:
            how = {
                "ruler": "by a ruler",
                "dicom": "DICOM Pixel Spacing",
                "layer": "scale of the layer",
                "given": "as given",
            }[self.source]
        return f"{self.mm_per_pixel:.4g} mm per pixel ({how})"

    def to_json(self) -> dict[str, Any]:
        """Return the calibration as plain JSON types."""
        return {
            "mm_per_pixel": self.mm_per_pixel,
            "source": self.source,
            "line": self.line and [list(point) for point in self.line],
            "length_mm": self.length_mm,
            "created": self.created,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; ValueError, TypeError or KeyError if it is not."""
        source, line = document["source"], document.get("line")
        length = document.get("length_mm")
        if source not in get_args(Source):
            raise ValueError(source)
        return cls(
            mm_per_pixel=_plausible(float(document["mm_per_pixel"])),
            source=source,
            line=None if line is None else (_point(line[0]), _point(line[1])),
            length_mm=None if length is None else float(length),
            created=str(document.get("created", "")),
        )


def calibration_file(project: Path, image_id: str) -> Path:
    """Return where a project keeps an image's calibration, beside its record."""
    if not _ID.fullmatch(image_id):  # it must not lead out of the folder
        raise ProjectError(f"{image_id} is not the id of an image in a project.")
    return project / "images" / f"{image_id}.calibration.json"


def read_calibration(project: Path, image_id: str) -> Calibration | None:
    """Return an image's calibration as the project keeps it, None if it has none.

    Raises
    ------
    ProjectError
        If the file is damaged or makes no sense.
    """
    path = calibration_file(project, image_id)
    try:
        return Calibration.from_json(read_json(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProjectError(
            f"{path} cannot be read ({error.strerror}); check its permissions."
        ) from error
    except NONSENSE as error:
        raise ProjectError(
            f"{path} is damaged; delete it and calibrate the image once more."
        ) from error


def keep_calibration(
    project: Path, image_id: str, calibration: Calibration | None
) -> None:
    """Write an image's calibration whole, or with None take it away.

    The image need not be in the project yet.

    Raises
    ------
    OutputError
        If the project cannot be written to; the former calibration stays.
    """
    path = calibration_file(project, image_id)
    try:
        if calibration is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(exist_ok=True)
            write_json(path, calibration.to_json())
    except OSError as error:
        raise OutputError(
            f"The project {project} cannot keep the scale ({error.strerror or error});"
            " give it room and permission."
        ) from error


def _plausible(mm_per_pixel: float) -> float:
    low, high = PLAUSIBLE
    if not low <= mm_per_pixel <= high:
        raise MeasurementError(
            f"A pixel would be {mm_per_pixel:g} mm large, but photographs of skin have"
            f" {low:g} to {high:g} mm per pixel; check the length."
        )
    return mm_per_pixel


def _point(numbers: Any) -> Point:
    x, y = map(float, numbers)
    return x, y
