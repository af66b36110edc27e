"""What the user does to the mask of one image, and what the model makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_glmedsa.errors import GLMedSAError, PromptError
from napari_glmedsa.history import Document, Step
from napari_glmedsa.history.document import Recorder
from napari_glmedsa.session import SegmentationSession
from napari_glmedsa.ui import convert, steps
from napari_glmedsa.ui.accepted import provenance
from napari_glmedsa.ui.boxes import NOWHERE, Box
from napari_glmedsa.ui.episode import Episode
from napari_glmedsa.ui.layers import LayerTrio
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.ui.question import Question
from napari_glmedsa.ui.strokes import Stroke, Tool
from napari_glmedsa.ui.styles import LESION

if TYPE_CHECKING:  # the worker imports torch: here, it would halt the window
    from napari_glmedsa.inference import MaskPrediction

Background = Callable[[str, Callable[[Any], Any], Callable[[Any], object]], None]
"""Does something in the worker: a key, what to do, and where the result goes."""


class Workbench:
    """Takes prompts to the session and masks back; each is a step of the history.

    Parameters
    ----------
    session : SegmentationSession
        Answers prompts.
    main_thread : MainThread
        For what must wait until napari is done with its own.
    annotator : callable
        Says who is at work.
    """

    changed = Signal()
    """Something that the dock shows is different."""
    kept = Signal()
    """The accepted lesions are others than before."""
    in_trouble = Signal(GLMedSAError)
    """Steps are not written down any more."""
    warned = Signal(str)
    """The user wanted something that is not possible."""

    def __init__(
        self,
        session: SegmentationSession,
        main_thread: MainThread,
        annotator: Callable[[], str] = str,
    ) -> None:
        self.trio: LayerTrio | None = None
        self.episode: Episode | None = None
        self.answer: MaskPrediction | None = None
        self.model = ""
        self.annotator = annotator
        self._session, self._main_thread = session, main_thread
        self._question = Question(session)

    @property
    def is_waiting(self) -> bool:
        """Whether the newest prompts are not answered yet."""
        return self._question.is_open

    # One image after the other

    def enter(self, trio: LayerTrio) -> None:
        """Take the layers of another image."""
        self.trio = trio
        trio.clicks.changed.connect(self._on_clicks)
        trio.clicks.next_label_changed.connect(self._on_mark)
        trio.strokes.changed.connect(self._on_strokes_changed)
        trio.mask.painted.connect(self._on_painted)
        trio.mask.arrived.connect(self._on_arrived)

    def start(self) -> Episode | None:
        """Begin with the history of the image, whose mask layer is there now."""
        if self.trio is not None:
            self.episode = Episode(self.trio)
            self.episode.changed.connect(self.changed.emit)
            self.episode.accepted_changed.connect(self.kept.emit)
            self.episode.in_trouble.connect(self._on_trouble)
            self.look()
        return self.episode

    def restore(self, document: Document, journal: Recorder) -> None:
        """Go on where somebody left off."""
        if self.episode is not None:
            self.episode.restore(document, journal)
            self.look()

    def _on_trouble(self, error: GLMedSAError) -> None:
        self.in_trouble.emit(error)  # psygnal would try `emit` out with another number

    def leave(self) -> None:
        """Let go of the image."""
        if self.trio is not None:
            if self.episode is not None:
                self.episode.close()
            self.trio.clicks.changed.disconnect(self._on_clicks)
            self.trio.clicks.next_label_changed.disconnect(self._on_mark)
            self.trio.strokes.changed.disconnect(self._on_strokes_changed)
            self.trio.mask.painted.disconnect(self._on_painted)
            self.trio.mask.arrived.disconnect(self._on_arrived)
        if self._question.then_accept:
            self.warned.emit("Not accepted: its newest click is not answered yet.")
        self.trio = self.episode = self.answer = None
        self._question.then_accept = False

    def ask_again(self) -> None:
        """Ask for what the layers say now: one of them was removed."""
        # Without its clicks a mask stays what it is, until somebody clicks again.
        if self.trio is not None and self.trio.clicks.layer is None:
            self._question.ask(self.trio.prompts())

    def give_up(self) -> None:
        """Expect no answer any more: the worker failed."""
        self._question.give_up()

    # What the model says

    def take_answer(self, prediction: MaskPrediction) -> None:
        """Draw what the model answered, unless it only was to be looked at."""
        trio, episode = self.trio, self.episode
        if trio is None or episode is None or not self._session.is_current(prediction):
            return
        self.answer, question = prediction, self._question
        if question.only_look:
            trio.count_as_shown(prediction)
        elif (box := trio.show(prediction)) is not None:
            joins = question.belongs_to(episode.history.position)
            with self.changed.blocked():
                (episode.join if joins else episode.note)(steps.PREDICTION, box)
        question.end()
        if question.then_accept:
            self.accept()
        self.changed.emit()

    # What the user points at

    def use(self, tool: Tool | None) -> None:
        """Take a tool in hand, None for clicks."""
        if self.trio is not None:
            if tool is None:
                self.trio.clicks.activate()
            else:
                self.trio.strokes.activate(tool)
            self.changed.emit()

    def use_brush(self) -> None:
        """Take napari's brush in hand, for the lesion in the making."""
        if self.trio is not None:
            self.trio.mask.activate_brush()
            self.changed.emit()

    def mark(self, label: str) -> None:
        """Let clicks and scribbles say lesion, or background."""
        if self.trio is not None:
            if self.trio.strokes.tool != "scribble":
                self.trio.clicks.activate()
            self.trio.clicks.next_label = label

    def _on_clicks(self) -> None:
        trio = self.trio
        if trio is None:
            return
        # Not now: napari is still busy adding the click.
        self._main_thread.call(self._drop_outside_clicks)
        if self.episode is None:
            return
        before = len(self.episode.document.sheet.prompts.point_coords)
        more = len(trio.clicks.prompts().point_coords) - before
        name = steps.CLICK if more > 0 else steps.REMOVE if more else steps.MOVE
        is_dragging = trio.clicks.is_dragging and name == steps.MOVE
        self._prompted(
            name, joins=is_dragging and name == self.episode.history.undo_name
        )

    def _on_mark(self, _: str) -> None:
        self.changed.emit()

    def _drop_outside_clicks(self) -> None:
        if self.trio is not None:
            try:
                self.trio.clicks.check_inside()
            except PromptError as error:
                self.warned.emit(str(error))
                self.trio.clicks.remove_outside()

    def _on_strokes_changed(self) -> None:
        self._main_thread.call(self._take_stroke)

    def _take_stroke(self) -> None:
        trio = self.trio
        if trio is None or self.episode is None:
            return
        stroke = trio.strokes.collect()
        if stroke is not None:
            self._take_in(trio, stroke)
        self._prompted(stroke.tool if stroke else steps.BOX)

    def _take_in(self, trio: LayerTrio, stroke: Stroke) -> None:
        frame, is_lesion = self._session.low_res_frame, trio.clicks.next_label == LESION
        size = convert.image_size(trio.image)
        try:
            trio.show_prompts(
                stroke.added_to(
                    trio.prompts(), is_lesion=is_lesion, size=size, frame=frame
                )
            )
        except GLMedSAError as error:
            self.warned.emit(str(error))

    def _prompted(self, name: str, *, joins: bool = False) -> None:
        trio, episode = self.trio, self.episode
        if trio is None or episode is None or self._question.is_about(trio.prompts()):
            return
        prompts = trio.prompts()
        trio.choice = 0
        self._question.ask(prompts)  # the worker computes while the rest is done
        box = trio.mask.clear_object() if prompts.is_empty else NOWHERE
        with self.changed.blocked():
            (episode.join if joins else episode.note)(name, box)
        self._question.attach_to(episode.history.position)
        self.changed.emit()

    def look(self) -> None:
        """Ask again for what is on the screen, which was changed otherwise."""
        if self.trio is not None and self.episode is not None:
            history, self.answer = self.episode.history, None
            prompts, made = self.trio.prompts(), steps.is_made(history)
            self._question.look(prompts, is_made=made, step=history.position)
            self.changed.emit()

    # What the user does with the mask

    def undo(self) -> None:
        """Take the latest step back."""
        if self.episode is not None:
            self._went(self.episode.undo(), "There is nothing to undo.")

    def redo(self) -> None:
        """Make the step again that was taken back last."""
        if self.episode is not None:
            self._went(self.episode.redo(), "There is nothing to do again.")

    def _went(self, step: Step | None, otherwise: str) -> None:
        if step is None:
            self.warned.emit(otherwise)
            return
        self.look()

    def clear(self) -> None:
        """Remove the lesion in the making and its prompts."""
        if self.trio is not None and self.episode is not None:
            self.trio.clear()
            self.episode.note(steps.CLEAR)
            self.look()

    def accept(self) -> None:
        """Keep the lesion in the making, after the newest click is answered."""
        trio, episode = self.trio, self.episode
        if trio is None or episode is None or not trio.mask.object_area:
            return
        # What the newest click changes belongs to what is accepted.
        self._question.then_accept = self._question.is_open
        if self._question.is_open:
            return
        episode.flush()
        prompts = self.answer.prompts if self.answer else trio.prompts()
        asked = None if prompts.is_empty else prompts
        source = provenance(asked, model=self.model, annotator=self.annotator())
        if steps.is_painted(episode.history):
            source = replace(source, hand_edited=True)
        trio.accept(source)
        episode.note(steps.ACCEPT)
        self.look()
        self.kept.emit()

    # What napari's tools do

    def _on_painted(self, _: object) -> None:
        # Not now: napari may say so just before it changes the pixels.
        self._main_thread.call(self._flush)

    def _on_arrived(self, box: Box) -> None:
        if self.episode is not None:
            self.episode.adopt(box)

    def _flush(self) -> None:
        if self.episode is not None:
            self.episode.flush()
