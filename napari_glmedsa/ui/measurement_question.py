"""From layers to a question for the worker; and the scale that a layer remembers."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from napari.layers import Image, Labels

from napari_glmedsa.calibration import Calibration
from napari_glmedsa.ui import convert
from napari_glmedsa.ui.companion import OURS
from napari_glmedsa.ui.measurement_desk import Question
from napari_glmedsa.ui.measurement_subject import Subject

_SCALE = "calibration"


def question(subject: Subject) -> Question:
    """Return what the worker needs; the user may go on painting."""
    image = subject.image
    marks = image.metadata.get(OURS, {})
    return Question(
        pixels=convert.image_array(image),
        labels=None if subject.mask is None else _copy(subject.mask),
        calibration=noted_calibration(image),
        project=Path(marks["project"]) if marks.get("project") else None,
        image_id=str(marks.get("image_id") or ""),
        spacing=_spacing(image),
        path=Path(image.source.path) if image.source.path else None,
    )


def note_calibration(image: Image, calibration: Calibration | None) -> None:
    """Note a scale with the layer, where it outlives the dock."""
    pixels = convert.image_array(image)
    try:
        of: Any = weakref.ref(pixels)
    except TypeError:
        of = None
    image.metadata.setdefault(OURS, {})[_SCALE] = calibration, of


def noted_calibration(image: Image) -> Calibration | None:
    """Return the scale that was noted about the photograph in a layer."""
    calibration: Calibration | None
    calibration, of = image.metadata.get(OURS, {}).get(_SCALE, (None, None))
    # Another photograph may have come into the layer meanwhile.
    same = of is None or of() is convert.image_array(image)
    return calibration if same else None


def _copy(mask: Labels) -> Any:
    labels = mask.data[0] if mask.multiscale else mask.data
    return labels.copy()


def _spacing(image: Image) -> tuple[float, float] | None:
    """Return a pixel's (height, width) in mm, if the layer has a unit of length."""
    sides = list(zip(image.scale[-2:], image.units[-2:], strict=True))
    if not all(unit.is_compatible_with("mm") for _, unit in sides):
        return None
    height, width = (float((size * unit).to("mm").magnitude) for size, unit in sides)
    return height, width
