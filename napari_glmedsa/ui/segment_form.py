"""What one sees of the "Segment" dock: pickers, buttons, progress and words."""

from collections.abc import Mapping

from magicgui.widgets import Container, PushButton, Widget
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtWidgets import QLayout, QWidget

from napari_glmedsa.provenance import Provenance
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui import forms
from napari_glmedsa.ui.candidates import CandidatePanel
from napari_glmedsa.ui.finishing import Finishing
from napari_glmedsa.ui.keymap import keys_of
from napari_glmedsa.ui.lesion_list import LesionList
from napari_glmedsa.ui.project_picker import ProjectPicker
from napari_glmedsa.ui.segment_view import BRUSHING, CLICKING, View
from napari_glmedsa.ui.styles import BACKGROUND, LESION

BUSY = {
    SessionState.LOADING: "Loading the model.",
    SessionState.ENCODING: "Reading the photograph.",
}
"""What it is at while there is no answer yet."""

ACCEPT, SAVE_AGAIN = "Accept", "Save to project"

MIN_WIDTH = 336
"""Pixels in which every word fits."""


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
        self.precision = forms.precision_picker()
        self.project = ProjectPicker()
        self.progress = forms.progress_bar()
        self.hint = forms.paragraph(lines=2)
        self.tools = {
            CLICKING: _button("Click", "use_clicks", "Click on the lesion"),
            "box": _button("Box", "use_box", "Drag a box around it"),
            "scribble": _button("Scribble", "use_scribble", "Drag a line over it"),
            "lasso": _button("Lasso", "use_lasso", "Draw around it"),
            BRUSHING: _button("Brush", "use_brush", "Paint with napari's brush"),
        }
        self.lesion_button = PushButton(
            text="Lesion", tooltip="The next left click marks the lesion (T swaps)"
        )
        self.background_button = PushButton(
            text="Background",
            tooltip="The next left click marks what is not lesion (T swaps)",
        )
        self.undo_button = _button("Undo", "undo", "Take the latest step back")
        self.redo_button = _button("Redo", "redo", "Make it again")
        self.clear_button = _button(
            "Clear", "clear", "Remove the prompts and the outline being made"
        )
        self.result = forms.paragraph(lines=2)
        self.candidates = CandidatePanel()
        self.accept_button = _button(
            ACCEPT,
            "accept",
            "Keep this outline, in the project if there is one, and start the next "
            "lesion",
        )
        self.save_button = PushButton(
            text="Save mask…", tooltip="Write all lesions as a black and white PNG"
        )
        self.lesions, self.finishing = LesionList(), Finishing()
        self.lesions_fold = forms.fold(
            "Lesions", self.lesions, "What is accepted: go on with it, merge, delete"
        )
        self.finishing_fold = forms.fold(
            "Tidy, start, look",
            self.finishing,
            "Tidy the outline, start from a finished mask, change how it looks",
        )
        self.project_status = forms.paragraph(lines=2)
        self.take_over_button = PushButton(
            text="Take over",
            tooltip="Work on this photograph although somebody else does",
        )
        self.replace_button = PushButton(
            text="Replace theirs",
            tooltip="Save your outlines in place of those that somebody else accepted",
        )
        self.continue_button = PushButton(
            text="Continue", tooltip="Open that photograph again, with all that you did"
        )
        for sometimes in (
            self.continue_button,
            self.take_over_button,
            self.replace_button,
        ):
            sometimes.visible = False
        marks = (self.lesion_button, self.background_button)
        for button in (*self.tools.values(), *marks):
            button.native.setCheckable(True)
        super().__init__(
            widgets=[
                self.progress,
                self.hint,
                self.continue_button,
                forms.button_row(*self.tools.values()),
                forms.button_row(*marks),
                forms.button_row(self.undo_button, self.redo_button, self.clear_button),
                self.result,
                forms.button_row(self.accept_button, self.save_button),
                self.project_status,
                self.take_over_button,
                self.replace_button,
                forms.paragraph(forms.DISCLAIMER),
            ],
            labels=False,
        )
        # magicgui would give every label its own width.
        model = forms.beside(self.model, self.manage_button)
        device = forms.beside(self.device, self.precision, stretch=1)
        rows = forms.picker_rows(self.image, model, device, self.project)
        layout = self.native.layout()
        layout.insertWidget(0, rows)
        for above, widget in (
            (self.accept_button, self.candidates),
            (self.project_status, self.lesions_fold),
            (self.project_status, self.finishing_fold),
        ):
            layout.insertWidget(_row_of(layout, above.native), widget)
        layout.addStretch()
        self.native.setMinimumWidth(MIN_WIDTH)

    def reset_choices(self, *_: object) -> None:
        """Offer the image layers that the viewer has now."""
        self.image.reset_choices()

    def show_view(self, view: View) -> None:
        """Show how things are."""
        busy = view.state in BUSY
        self.progress.native.setVisible(busy)
        if view.state is SessionState.LOADING:
            self.progress.native.setRange(0, 0)  # Qt's way to say "no idea how long"
        self.lesion_button.value = view.has_image and view.next_label == LESION
        self.background_button.value = view.has_image and view.next_label == BACKGROUND
        self.lesion_button.enabled = self.background_button.enabled = view.has_image
        for tool, button in self.tools.items():
            button.enabled = view.has_image
            button.value = view.has_image and view.tool == tool
        self.undo_button.enabled = view.undo is not None
        self.redo_button.enabled = view.redo is not None
        self.undo_button.tooltip = _tooltip("undo", _of("Take back", view.undo))
        self.redo_button.tooltip = _tooltip("redo", _of("Make again", view.redo))
        self.clear_button.enabled = view.has_prompts or view.area > 0
        self.accept_button.enabled = view.area > 0 or view.accept_saves
        self.accept_button.text = SAVE_AGAIN if view.accept_saves else ACCEPT
        self.save_button.enabled = view.has_mask
        self.hint.value = view.problem or _hint(view)
        self.result.value = _result(view)
        self.project_status.value = view.project
        self.take_over_button.visible = view.is_taken
        self.replace_button.visible = view.is_disputed and not view.is_taken
        self.continue_button.visible = not view.has_image and bool(view.offer)
        self.candidates.show_candidates(view.scores, view.choice)
        self.finishing.set_cleanable(view.area > 0)
        self.finishing.start_button.setEnabled(view.has_image)

    def show_lesions(
        self, objects: Mapping[int, Provenance], layer: Labels | None
    ) -> None:
        """Show the accepted lesions, in the colours of a layer."""
        count = f" ({len(objects)})" if objects else ""
        forms.retitle(self.lesions_fold, f"Lesions{count}")
        self.lesions.show_lesions(objects, layer)

    def show_progress(self, done: int, depth: int) -> None:
        """Show how far the encoder has come through the image."""
        self.progress.native.setRange(0, depth)
        self.progress.native.setValue(done)


def _hint(view: View) -> str:
    if not view.has_image:
        return view.offer or "Open a photograph, then click on the lesion."
    busy = BUSY.get(view.state)
    if busy:
        return f"{busy} You can click already."
    return view.next_click or "Press Click, then click on the lesion."


def _result(view: View) -> str:
    if not view.area:
        return ""
    share = 100 * view.area / view.pixels
    area = f"Area {view.area:,} px ({share:.1f} %)"
    if view.quality is None:
        return area
    return f"{area}\nEstimated quality (IoU) {view.quality:.2f}"


def _of(what: str, step: str | None) -> str:
    return what if step is None else f"{what}: {step}"


def _tooltip(action: str, words: str) -> str:
    return f"{words} ({keys_of(action)})"


def _button(text: str, action: str, words: str) -> PushButton:
    return PushButton(text=text, tooltip=_tooltip(action, words))


def _row_of(layout: QLayout, widget: QWidget) -> int:
    """Return in which row of a layout a widget is, perhaps within a row of several."""
    for row in range(layout.count()):
        item = layout.itemAt(row)
        inside = None if item is None else item.widget()
        if inside is not None and (inside is widget or inside.isAncestorOf(widget)):
            return row
    return layout.count()
