"""What the dock "Measure" says beside its numbers."""

from __future__ import annotations

from napari_glmedsa.ui.measurement_desk import Answer
from napari_glmedsa.ui.measurement_subject import Subject


def subject_words(subject: Subject | None) -> str:
    """Return what is being measured."""
    if subject is None:
        return "Open a photograph to measure."
    if subject.mask is None:
        return f"{subject.image.name}: nothing outlined yet."
    return f"{subject.mask.name} on {subject.image.name}"


def scale_words(answer: Answer, *, drawing: bool) -> str:
    """Return what a pixel is, and how the user can tell."""
    if drawing:
        return "Drag along a known length in the photograph, then set its length."
    if answer.calibration is not None:
        return answer.calibration.sentence
    return "No scale known: all is in pixels. The ruler makes it millimetres."


def advice(answer: Answer, subject: Subject | None) -> str:
    """Return what the user should know about the numbers."""
    if subject is None or subject.mask is None:
        return "Outline a lesion in the dock Segment, or in a Labels layer."
    if not answer.measured:
        return "No lesion is outlined yet."
    cut = [str(one.label) for one in answer.measured if one.touches_edge]
    if cut:
        return f"Cut off by the image's edge: lesion {', '.join(cut)}."
    return ""
