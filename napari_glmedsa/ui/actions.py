"""What the docks can do, by key and from napari's command palette."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

SEGMENT, WORKLIST = "Segment", "Worklist"
MEASURE, FINE_TUNE = "Measure", "Fine-tune"
DOCKS = (SEGMENT, WORKLIST, MEASURE, FINE_TUNE)

_NO_RUN = "No run of this kind is shown: choose one on the page Runs first."
_NO_LIST = "The list is empty: choose a folder, or show others, in the Worklist dock."
_NO_PHOTOGRAPH = "No photograph of the list is open: press Next first."
_NO_PROJECT = "There is no project yet: choose one in the Fine-tune dock first."


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a dock can do.

    Attributes
    ----------
    dock : str
        Which one.
    name : str
        In the code.
    title : str
        In the palette and the documentation.
    key : str
        As napari spells it; Ctrl is Cmd on a Mac. Empty if there is none.
    button : str
        Where in the dock's form the button that does it is; empty if the dock itself
        knows how.
    otherwise : str
        What to tell when that button cannot be pressed.
    """

    dock: str
    name: str
    title: str
    key: str = ""
    button: str = ""
    otherwise: str = ""

    @property
    def command(self) -> str:
        """Id of its command in the palette."""
        return f"napari-glmedsa.{self.function}"

    @property
    def function(self) -> str:
        """What `commands` calls it."""
        return f"{self.dock.replace('-', '').lower()}_{self.name}"


_segment = partial(Action, SEGMENT)
_worklist = partial(Action, WORKLIST)
_measure = partial(Action, MEASURE)
_finetune = partial(Action, FINE_TUNE)

ACTIONS = (
    _segment("undo", "Undo the latest step", "Ctrl+Z"),
    _segment("redo", "Redo the step that was undone", "Ctrl+Shift+Z"),
    _segment("use_clicks", "Take clicks in hand", "Shift+C"),
    _segment("use_box", "Take the box in hand", "Shift+B"),
    _segment("use_scribble", "Take the scribble in hand", "Shift+D"),
    _segment("use_lasso", "Take the lasso in hand", "Shift+O"),
    _segment("use_brush", "Take napari's brush in hand", "Shift+W"),
    _segment("swap_mark", "Swap lesion and background", "G"),
    _segment("choose_1", "Choose or leave the model's proposal 1", "Ctrl+1"),
    _segment("choose_2", "Choose or leave the model's proposal 2", "Ctrl+2"),
    _segment("choose_3", "Choose or leave the model's proposal 3", "Ctrl+3"),
    _segment("clear", "Clear the lesion in the making", "Shift+X"),
    _segment("accept", "Accept the lesion in the making", "Shift+Enter"),
    _segment("next_lesion", "Go to the next accepted lesion", "."),
    _segment("previous_lesion", "Go to the accepted lesion before", ","),
    _segment("reopen", "Open the chosen lesion again", "Shift+R"),
    _segment("merge", "Merge the chosen lesions", "Shift+M"),
    _segment("delete", "Delete the chosen lesion", "Shift+Delete"),
    _segment("fill_holes", "Fill holes of the lesion in the making", "Shift+H"),
    _segment("largest_piece", "Keep the largest piece of the lesion", "Shift+G"),
    _segment("smooth_outline", "Smooth the outline of the lesion", "Shift+N"),
    _segment("swap_look", "Swap outline and filled mask", "Shift+I"),
    _segment("more_opaque", "Show the mask more opaque", "Shift+Right"),
    _segment("less_opaque", "Show the mask less opaque", "Shift+Left"),
    _segment("protect", "Protect accepted lesions from the brush, or not"),
    _segment("start_from_file", "Start from a mask file"),
    _segment(
        "save_mask",
        "Save the mask as a PNG",
        button="save_button",
        otherwise="There is no mask to save yet: click on the lesion first.",
    ),
    _segment(
        "manage_models",
        "Download, add, check and remove models",
        button="manage_button",
    ),
    _segment(
        "take_over",
        "Take over a photograph that somebody else works on",
        button="take_over_button",
        otherwise="Nobody else works on this photograph.",
    ),
    _segment(
        "replace_theirs",
        "Replace outlines that somebody else accepted",
        button="replace_button",
        otherwise="Nobody else has outlined these lesions otherwise.",
    ),
    _segment(
        "go_on",
        "Continue with the photograph of last time",
        button="continue_button",
        otherwise="There is a photograph already, or none was open before.",
    ),
    _worklist("next", "Next photograph", "PageDown", "next_button", _NO_LIST),
    _worklist("previous", "Photograph before", "PageUp", "previous_button", _NO_LIST),
    _worklist(
        "flag",
        "Flag the photograph, or take that back",
        "Shift+F",
        "flag_button",
        _NO_PHOTOGRAPH,
    ),
    _worklist(
        "skip",
        "Skip the photograph, or take that back",
        "Shift+S",
        "skip_button",
        _NO_PHOTOGRAPH,
    ),
    _worklist("choose", "Choose a folder or a project", button="choose_button"),
    _worklist(
        "rank",
        "Rank by uncertainty, or stop ranking",
        button="rank_button",
        otherwise=_NO_LIST,
    ),
    _worklist(
        "export",
        "Export the accepted masks",
        button="export_button",
        otherwise=_NO_LIST,
    ),
    _measure(
        "ruler",
        "Take the ruler in hand, or put it down",
        "Shift+U",
        "ruler_button",
        "Open a photograph first, then measure.",
    ),
    _measure(
        "forget",
        "Forget the ruler and its scale",
        button="forget_button",
        otherwise="This photograph has no scale to forget.",
    ),
    _measure(
        "save",
        "Save the measurements as CSV",
        button="save_button",
        otherwise="There is nothing measured to save yet: outline a lesion first.",
    ),
    _finetune("choose", "Choose a project", button="choose_button"),
    _finetune(
        "images",
        "List the project's images",
        button="images_button",
        otherwise=_NO_PROJECT,
    ),
    _finetune(
        "start",
        "Start a run",
        button="setup.start_button",
        otherwise="There is nothing to train on yet: accept some masks into a project.",
    ),
    _finetune("pause", "Pause the run", button="run.pause_button", otherwise=_NO_RUN),
    _finetune(
        "resume", "Resume the run", button="run.resume_button", otherwise=_NO_RUN
    ),
    _finetune(
        "cancel", "Cancel the run", button="run.cancel_button", otherwise=_NO_RUN
    ),
    _finetune(
        "activate",
        "Activate the run's adapter",
        button="run.activate_button",
        otherwise=_NO_RUN,
    ),
    _finetune(
        "roll_back",
        "Roll back to the model that was active before",
        button="run.roll_back_button",
        otherwise="No other model was active before.",
    ),
    _finetune(
        "reveal",
        "Reveal the folder of the run",
        button="run.reveal_button",
        otherwise=_NO_RUN,
    ),
)
"""All of them. A test holds the keys against napari's own."""


def named(dock: str, name: str) -> Action:
    """Return an action of a dock, by name."""
    return next(one for one in ACTIONS if (one.dock, one.name) == (dock, name))
