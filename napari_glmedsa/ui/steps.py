"""What the steps of an image's history are called, and what follows from them."""

from __future__ import annotations

from napari_glmedsa.history import History

CLICK, MOVE, REMOVE, CLEAR = "click", "moved click", "removed click", "clear"
BOX, SCRIBBLE, LASSO, START = "box", "scribble", "lasso", "starting mask"
PREDICTION, CANDIDATE = "prediction", "candidate"
ACCEPT, DELETE, MERGE, REOPEN = "accept", "delete", "merge", "re-open"
FROM_PROJECT = "lesions of the project"

EDIT = "edit"
BY_HAND = ("brush", "eraser", "fill", "polygon", EDIT)
"""Steps of napari's own tools."""
CLEAN_UPS = ("fill holes", "largest piece", "smooth outline")
_BY_MODEL = (PREDICTION, CANDIDATE, CLICK, MOVE, REMOVE, BOX, SCRIBBLE, LASSO)

POINTING = {CLICK, MOVE, REMOVE, BOX, SCRIBBLE, LASSO, PREDICTION}
"""Steps that are nothing but prompts, and their answers."""

OF_MODE = {"paint": "brush", "erase": "eraser", "fill": "fill", "polygon": "polygon"}
"""What a stroke is called that is made in one of napari's modes."""


def is_painted(history: History) -> bool:
    """Whether the object in the making was changed by hand since the model's answer."""
    for step in reversed(history.steps[: history.position]):
        if step.before.object_id != step.after.object_id:
            again = step.before.objects.get(step.after.object_id)
            return again is not None and again.hand_edited
        if step.name in (*BY_HAND, *CLEAN_UPS) and step.patch is not None:
            return True
        if step.name in _BY_MODEL and step.patch is not None:
            return False
    return False


def is_made(history: History) -> bool:
    """Whether the mask of now is what it should be, without another answer."""
    if _is_answered(history):
        return len(history) > 0
    return any(step.patch is not None for step in history.steps[history.position :])


def _is_answered(history: History) -> bool:
    """Whether the latest prompts have brought a mask already."""
    for step in reversed(history.steps[: history.position]):
        if step.name in _BY_MODEL:
            return step.patch is not None
        if step.before.object_id != step.after.object_id:
            return True
    return True
