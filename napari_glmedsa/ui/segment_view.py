"""All that the "Segment" dock says about an image, at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from napari_glmedsa.session import SessionState
from napari_glmedsa.ui.layers import LayerTrio
from napari_glmedsa.ui.styles import LESION
from napari_glmedsa.ui.workbench import Workbench

CLICKING, BRUSHING = "click", "brush"
"""What the user has in hand for clicks, and to paint with."""


@dataclass(frozen=True, slots=True)
class View:
    """All that the form shows, besides the pickers.

    Attributes
    ----------
    state : SessionState
        What the worker is at.
    has_image : bool
        Whether there is an image to click on.
    next_label : str
        What the next plain click says.
    tool : str
        What the user has in hand: `CLICKING`, `BRUSHING`, a `Tool`, or nothing of it.
    next_click : str
        What it does, in a sentence.
    has_prompts : bool
        Whether the current object has clicks, a box or another prompt.
    undo, redo : str or None
        Name of the step that can be taken back, or made again.
    scores : sequence of float
        What the model expects of its proposals.
    choice : int
        Which one is shown, 0 for its own choice.
    area, pixels : int
        Size of the current object and of the image.
    quality : float or None
        The model's own estimate of the current object's IoU.
    has_mask : bool
        Whether there is any object to save.
    problem : str
        One sentence, if something went wrong.
    project : str
        One sentence about the project that accepted masks go into.
    project_lacks : bool
        Whether the project lacks accepted objects of this image.
    is_taken : bool
        Whether somebody else works on this image.
    is_disputed : bool
        Whether somebody else has accepted other outlines of it meanwhile.
    offer : str
        One sentence about what the user was at last.
    """

    state: SessionState
    has_image: bool = False
    next_label: str = LESION
    tool: str = ""
    next_click: str = ""
    has_prompts: bool = False
    undo: str | None = None
    redo: str | None = None
    scores: Sequence[float] = ()
    choice: int = 0
    area: int = 0
    pixels: int = 1
    quality: float | None = None
    has_mask: bool = False
    problem: str = ""
    project: str = ""
    project_lacks: bool = False
    is_taken: bool = False
    is_disputed: bool = False
    offer: str = ""

    @classmethod
    def of(
        cls,
        bench: Workbench,
        state: SessionState,
        *,
        next_click: str,
        problem: str,
        project: str,
        project_lacks: bool,
        is_taken: bool,
        is_disputed: bool,
        offer: str,
    ) -> Self:
        """Return what is to be seen of a workbench; the rest is as above."""
        trio, episode, answer = bench.trio, bench.episode, bench.answer
        if trio is None:
            return cls(state, problem=problem, project=project, offer=offer)
        area = trio.mask.object_area
        history = episode and episode.history
        return cls(
            state,
            has_image=True,
            next_label=trio.clicks.next_label,
            tool=_tool_in_hand(trio),
            next_click=next_click,
            has_prompts=not trio.prompts().is_empty,
            undo=history.undo_name if history else None,
            redo=history.redo_name if history else None,
            scores=answer.candidates if answer else (),
            choice=trio.choice,
            area=area,
            pixels=trio.n_pixels,
            quality=answer.iou_prediction if answer else None,
            has_mask=area > 0 or trio.mask.has_objects,
            problem=problem,
            project=project,
            project_lacks=project_lacks,
            is_taken=is_taken,
            is_disputed=is_disputed,
        )

    @property
    def accept_saves(self) -> bool:
        """Whether nothing is to be accepted, but something accepted to be saved."""
        return self.area == 0 and self.project_lacks


def _tool_in_hand(trio: LayerTrio) -> str:
    if trio.clicks.is_active:
        return CLICKING
    mask = trio.mask.layer
    if mask is not None and trio.mask.is_selected and str(mask.mode) == "paint":
        return BRUSHING
    return trio.strokes.tool or ""
