"""What the model was asked about an image, and what its answer is for."""

from __future__ import annotations

from napari_glmedsa.inference.prompts import Prompts
from napari_glmedsa.session import SegmentationSession
from napari_glmedsa.ui import convert

NO_STEP = -1
"""Position in a history that no step belongs to."""


class Question:
    """The newest prompts, on their way to the model and back.

    Parameters
    ----------
    session : SegmentationSession
        Answers prompts.

    Attributes
    ----------
    is_open : bool
        Whether the newest prompts are not answered yet.
    only_look : bool
        Whether the answer is not to be drawn: its candidates are wanted.
    then_accept : bool
        Whether the answer is to be accepted at once.
    """

    def __init__(self, session: SegmentationSession) -> None:
        self._session = session
        self._prompts: tuple[bytes, ...] = ()
        self._step = NO_STEP
        self.is_open = self.only_look = self.then_accept = False

    def is_about(self, prompts: Prompts) -> bool:
        """Whether just these prompts were asked last."""
        return convert.fingerprint(prompts) == self._prompts

    def ask(self, prompts: Prompts, *, step: int = NO_STEP) -> None:
        """Ask for the mask of prompts; the answer belongs to a step of the history."""
        self._prompts, self._step = convert.fingerprint(prompts), step
        self.is_open = not prompts.is_empty
        self.only_look = self.then_accept = False
        self._session.set_prompts(prompts)

    def attach_to(self, step: int) -> None:
        """Let the answer belong to a step that was made after the question."""
        self._step = step

    def look(self, prompts: Prompts, *, is_made: bool, step: int) -> None:
        """Ask again for what is on the screen.

        Parameters
        ----------
        prompts : Prompts
            As they are shown.
        is_made : bool
            Whether their mask is shown, too, and only its candidates are wanted.
        step : int
            Which one the answer belongs to, if it is drawn.
        """
        self.ask(prompts, step=NO_STEP if is_made else step)
        self.only_look = is_made
        self.is_open = self.is_open and not is_made

    def belongs_to(self, step: int) -> bool:
        """Whether the answer belongs to the step at a position of the history."""
        return step == self._step

    def end(self) -> None:
        """Take note of an answer; another one is another model's, and a step."""
        self.is_open = self.only_look = False
        self._step = NO_STEP

    def give_up(self) -> None:
        """Expect no answer any more."""
        self.is_open = self.then_accept = False
