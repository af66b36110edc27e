"""What the worker does for the dock "Measure": find the scale, measure, write files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.calibration import (
    Calibration,
    keep_calibration,
    read_calibration,
)
from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.jobs import Job
from napari_glmedsa.measurement import Measurements, measure, row, write_csv
from napari_glmedsa.project import image_id

_BY_HAND = ("ruler", "given")  # goes before what a file says of itself


@dataclass(frozen=True, eq=False)
class Question:
    """What is to be measured.

    Attributes
    ----------
    pixels : array-like
        Of the photograph, as its layer holds it.
    labels : (H, W) integers, or None
        A copy of the label map; None if there is none.
    calibration : Calibration or None
        What the user measured in this session.
    project : Path or None
        Folder of the project that the photograph belongs to, if it says so.
    image_id : str
        Of the photograph, if it is known.
    spacing : (height, width) or None
        Of a pixel in mm, by the scale and unit of the layer.
    path : Path or None
        The file that the photograph came from.
    """

    pixels: Any
    labels: NDArray[Any] | None
    calibration: Calibration | None = None
    project: Path | None = None
    image_id: str = ""
    spacing: tuple[float, float] | None = None
    path: Path | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What was found.

    Attributes
    ----------
    measured : tuple of Measurements
        Of every object.
    calibration : Calibration or None
        The scale, if it is known.
    problem : str
        A sentence, if something could not be done.
    """

    measured: tuple[Measurements, ...] = ()
    calibration: Calibration | None = None
    problem: str = ""


class MeasurementDesk:
    """Answers questions; only one thread may use it.

    Parameters
    ----------
    saves_into : callable
        Returns the project that accepted masks go into, None if nowhere.
    """

    def __init__(self, saves_into: Callable[[], Path | None]) -> None:
        self._saves_into = saves_into
        self._pixels: Any = None
        self._rgb: NDArray[np.uint8] | None = None
        self._id = ""

    def answer(self, question: Question, job: Job) -> Answer:
        """Measure every object, and keep a new scale in the project."""
        rgb = self._photograph(question)
        job.raise_if_cancelled()
        calibration, problem = self._scale(question)
        if question.labels is None:
            return Answer((), calibration, problem)
        measured: list[Measurements] = []
        try:
            scale = None if calibration is None else calibration.mm_per_pixel
            for one in measure(rgb, question.labels, mm_per_pixel=scale):
                measured.append(one)
                job.raise_if_cancelled()
        except GLMedSAError as error:
            problem = str(error)
        return Answer(tuple(measured), calibration, problem)

    def forget(self, question: Question) -> None:
        """Take the scale of a photograph out of its project."""
        self._photograph(question)
        project = self._project(question)
        if project is not None:
            keep_calibration(project, self._id, None)

    def _photograph(self, question: Question) -> NDArray[np.uint8]:
        if self._rgb is None or question.pixels is not self._pixels:
            rgb = _to_rgb(question.pixels)
            self._id = question.image_id or image_id(rgb)
            self._pixels, self._rgb = question.pixels, rgb
        return self._rgb

    def _project(self, question: Question) -> Path | None:
        folder = question.project or self._saves_into()
        is_one = folder is not None and (folder / "project.json").is_file()
        return folder if is_one else None

    def _scale(self, question: Question) -> tuple[Calibration | None, str]:
        """Return the scale and a sentence, if something is wrong with it."""
        project = self._project(question)
        try:
            known = project and read_calibration(project, self._id)
            found = _find(question, known or None)
        except GLMedSAError as error:
            return question.calibration, str(error)
        if project is None or found is None or found == known:
            return found, ""
        try:
            keep_calibration(project, self._id, found)
        except GLMedSAError as error:
            return found, str(error)
        return found, ""


def write_table(
    path: Path, source: str, measured: tuple[Measurements, ...], _: Job
) -> Path:
    """Write what was measured as CSV; not for the Qt thread."""
    write_csv(path, [{"image": source, **row(one)} for one in measured])
    return path


def _find(question: Question, known: Calibration | None) -> Calibration | None:
    if question.calibration is not None:
        return question.calibration
    if known is not None and known.source in _BY_HAND:
        return known
    if question.spacing is not None:
        return Calibration.from_spacing(question.spacing, "layer")
    return _of_file(question.path) or known


def _of_file(path: Path | None) -> Calibration | None:
    from napari_glmedsa.dicom import is_dicom, pixel_spacing

    if path is None or not is_dicom(path):
        return None
    spacing = pixel_spacing(path)
    return None if spacing is None else Calibration.from_spacing(spacing, "dicom")


def _to_rgb(pixels: Any) -> NDArray[np.uint8]:
    """Return a photograph as RGB; the usual kind without importing PyTorch."""
    is_plain = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8
    if is_plain and pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        return np.ascontiguousarray(pixels[..., :3])
    from napari_glmedsa.ui.pytorch import prepare_pytorch

    prepare_pytorch()
    from napari_glmedsa.inference import to_rgb_uint8

    return to_rgb_uint8(pixels)
