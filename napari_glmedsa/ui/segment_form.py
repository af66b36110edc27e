"""What one sees of the "Segment" dock: pickers, buttons, progress and words."""

from dataclasses import dataclass

from magicgui.widgets import Container, PushButton, Widget
from napari.components import ViewerModel

from napari_glmedsa.session import SessionState
from napari_glmedsa.ui import forms
from napari_glmedsa.ui.project_picker import ProjectPicker
from napari_glmedsa.ui.styles import BACKGROUND, LESION

_BUSY = {
    SessionState.LOADING: "Loading the model.",
    SessionState.ENCODING: "Reading the photograph.",
}


ACCEPT, SAVE_AGAIN = "Accept", "Save to project"

MIN_WIDTH = 300
"""Pixels in which every word fits."""


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
    n_clicks : int
        Clicks of the current object.
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
    """

    state: SessionState
    has_image: bool = False
    next_label: str = LESION
    n_clicks: int = 0
    area: int = 0
    pixels: int = 1
    quality: float | None = None
    has_mask: bool = False
    problem: str = ""
    project: str = ""
    project_lacks: bool = False

    @property
    def accept_saves(self) -> bool:
        """Whether nothing is to be accepted, but something accepted to be saved."""
        return self.area == 0 and self.project_lacks


class SegmentForm(Container[Widget]):
    """The widgets of the dock, without any behaviour.

    Parameters
    ----------
    viewer : ViewerModel
        Whose image layers are offered.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.image = forms.image_picker(viewer)
        self.model = forms.model_picker(())
        self.manage_button = PushButton(
            text="Manage…", tooltip="Download, add, check and remove models"
        )
        self.device = forms.device_picker()
        self.project = ProjectPicker()
        self.progress = forms.progress_bar()
        self.hint = forms.paragraph(lines=2)
        self.lesion_button = PushButton(
            text="Lesion", tooltip="The next left click marks the lesion (T swaps)"
        )
        self.background_button = PushButton(
            text="Background",
            tooltip="The next left click marks what is not lesion (T swaps)",
        )
        self.undo_button = PushButton(
            text="Undo click", tooltip="Take back the newest click"
        )
        self.clear_button = PushButton(
            text="Clear", tooltip="Remove the clicks and the outline being made"
        )
        self.result = forms.paragraph(lines=2)
        self.accept_button = PushButton(
            text=ACCEPT,
            tooltip="Keep this outline, in the project if there is one, and start the "
            "next lesion",
        )
        self.save_button = PushButton(
            text="Save mask…", tooltip="Write all lesions as a black and white PNG"
        )
        self.project_status = forms.paragraph(lines=2)
        for button in (self.lesion_button, self.background_button):
            button.native.setCheckable(True)
        super().__init__(
            widgets=[
                self.progress,
                self.hint,
                forms.button_row(self.lesion_button, self.background_button),
                forms.button_row(self.undo_button, self.clear_button),
                self.result,
                forms.button_row(self.accept_button, self.save_button),
                self.project_status,
                forms.paragraph(forms.DISCLAIMER),
            ],
            labels=False,
        )
        # magicgui would give every label its own width.
        model = forms.with_button(self.model, self.manage_button)
        rows = forms.picker_rows(self.image, model, self.device, self.project)
        self.native.layout().insertWidget(0, rows)
        self.native.setMinimumWidth(MIN_WIDTH)

    def reset_choices(self, *_: object) -> None:
        """Offer the image layers that the viewer has now."""
        self.image.reset_choices()

    def show_view(self, view: View) -> None:
        """Show how things are."""
        busy = view.state in _BUSY
        self.progress.native.setVisible(busy)
        if view.state is SessionState.LOADING:
            self.progress.native.setRange(0, 0)  # Qt's way to say "no idea how long"
        self.lesion_button.value = view.has_image and view.next_label == LESION
        self.background_button.value = view.has_image and view.next_label == BACKGROUND
        self.lesion_button.enabled = self.background_button.enabled = view.has_image
        self.undo_button.enabled = view.n_clicks > 0
        self.clear_button.enabled = view.n_clicks > 0 or view.area > 0
        self.accept_button.enabled = view.area > 0 or view.accept_saves
        self.accept_button.text = SAVE_AGAIN if view.accept_saves else ACCEPT
        self.save_button.enabled = view.has_mask
        self.hint.value = view.problem or _hint(view)
        self.result.value = _result(view)
        self.project_status.value = view.project

    def show_progress(self, done: int, depth: int) -> None:
        """Show how far the encoder has come through the image."""
        self.progress.native.setRange(0, depth)
        self.progress.native.setValue(done)


def _hint(view: View) -> str:
    if not view.has_image:
        return "Open a photograph, then click on the lesion."
    if view.next_label == LESION:
        click = "Click on the lesion. Shift+click (or T) for what is not lesion."
    else:
        click = "Click on what is not lesion. T goes back to the lesion."
    busy = _BUSY.get(view.state)
    return f"{busy} You can click already." if busy else click


def _result(view: View) -> str:
    if not view.area:
        return ""
    share = 100 * view.area / view.pixels
    area = f"Area {view.area:,} px ({share:.1f} %)"
    if view.quality is None:
        return area
    return f"{area}\nEstimated quality (IoU) {view.quality:.2f}"
