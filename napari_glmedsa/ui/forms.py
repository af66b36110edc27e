"""Parts of the docks: pickers, a row of buttons, a paragraph, a progress bar."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from magicgui.widgets import ComboBox, Container, Label, ProgressBar, PushButton, Widget
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QWidget,
)
from superqt import QCollapsible

from napari_glmedsa.jobs import Job
from napari_glmedsa.registry import ModelSpec
from napari_glmedsa.ui.pytorch import prepare_pytorch

AUTO = "auto"

_EQUAL_WIDTH = QSizePolicy.Policy.Ignored

PROGRESS_HEIGHT = 8
LEADING = 7
BUTTON_MARGIN = 8
"""Pixels that words need beside them at least."""

DISCLAIMER = "Research software, not a medical device."


class Picker(Protocol):
    """A box with a label: magicgui's `ComboBox`, and what looks like it."""

    @property
    def label(self) -> str:
        """What the box is about."""

    @property
    def native(self) -> QWidget:
        """The box."""


def image_picker(viewer: ViewerModel) -> ComboBox:
    """Return a picker of the viewer's image layers.

    The first choice is the image that the user is at, or else the topmost. napari
    refreshes the choices of a dock's top widget, which passes that on.
    """

    def images(_: Widget) -> list[Image]:
        return [layer for layer in viewer.layers if isinstance(layer, Image)]

    picker = ComboBox(
        label="Image",
        choices=images,
        tooltip="The photograph to segment: a 2-D image layer, grey or colour",
    )
    active = viewer.layers.selection.active
    offered = images(picker)
    if offered:
        picker.value = active if active in offered else offered[-1]
    return narrow(picker)


def model_picker(specs: Sequence[ModelSpec]) -> ComboBox:
    """Return a picker of models; the value is a ModelSpec."""
    picker = ComboBox(
        label="Model",
        tooltip="Another model keeps your clicks and answers them anew",
    )
    offer_models(picker, specs)
    return narrow(picker)


def offer_models(
    picker: ComboBox,
    specs: Sequence[ModelSpec],
    to_download: Sequence[ModelSpec] = (),
) -> None:
    """Offer the models there are now; the picked one stays picked if it is there.

    After them come those whose base must be downloaded first.
    """
    choices = [(_model_name(spec), spec) for spec in specs]
    choices += [(f"{spec.adapter} (needs {spec.base})", spec) for spec in to_download]
    # As a function: a list would be forgotten when napari moves the dock.
    picker.choices = lambda _: choices


def offer(picker: ComboBox, choices: Sequence[tuple[str, object]]) -> None:
    """Offer (word, value) pairs in this order; what is picked stays so if it can."""
    picked = picker.value
    with picker.changed.blocked():
        picker.choices = lambda _: ()  # magicgui would keep the order of before
        picker.choices = lambda _: choices
        if picked in picker.choices:
            picker.value = picked
    if picker.value != picked:
        picker.changed.emit(picker.value)


def device_picker() -> ComboBox:
    """Return a picker of computing devices; see `offer_devices`."""
    return narrow(
        ComboBox(
            label="Device",
            choices=[AUTO, "cpu"],
            tooltip="Where the model computes; auto takes the fastest",
        )
    )


def precision_picker() -> ComboBox:
    """Return a picker of what the image encoder computes in."""
    return narrow(
        ComboBox(
            label="Precision",
            choices=[
                ("auto precision", AUTO),
                ("fp32, exact", "fp32"),
                ("bf16, half", "bf16"),
                ("fp16, half", "fp16"),
            ],
            tooltip="What photographs are encoded in; auto takes bf16 where that is "
            "faster, and moves an edge by a pixel here and there",
        )
    )


def find_devices(_: Job) -> list[str]:
    """Return the names of usable devices; in the worker, as it imports PyTorch."""
    prepare_pytorch()
    from napari_glmedsa.inference import available_devices

    return available_devices()


def offer_devices(picker: ComboBox, names: Sequence[str]) -> None:
    """Offer the devices that this computer turned out to have."""
    picker.choices = lambda _: [AUTO, *names]


def button_row(*buttons: PushButton) -> Container[PushButton]:
    """Return buttons side by side, equally wide where their words allow it."""
    row = Container(widgets=buttons, layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    for button in buttons:
        words = button.native.fontMetrics().horizontalAdvance(button.text)
        button.native.setMinimumWidth(words + BUTTON_MARGIN)
        button.native.setSizePolicy(
            QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed
        )
    return row


@dataclass(frozen=True, slots=True)
class PickerRow:
    """A picker and what is beside it, as one row."""

    picker: Picker
    native: QWidget

    @property
    def label(self) -> str:
        """What the box is about."""
        return self.picker.label


def beside(picker: Picker, right: Widget, *, stretch: int = 0) -> PickerRow:
    """Put a button or another picker to the right of a picker.

    The right one is as wide as it wants, or has a share of `stretch` of the row.
    """
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(picker.native, 1)
    layout.addWidget(right.native, stretch)
    return PickerRow(picker, row)


def picker_rows(*pickers: Picker) -> QWidget:
    """Return pickers one below the other, with their labels in a column."""
    rows = QWidget()
    layout = QFormLayout(rows)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
    for picker in pickers:
        layout.addRow(picker.label, picker.native)
    return rows


def paragraph(text: str = "", *, lines: int = 1) -> Label:
    """Return wrapped text that keeps room for some lines, so that nothing jumps."""
    label = Label(value=text)
    label.native.setWordWrap(True)
    label.native.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
    # A little more than the font says now: napari's style makes it larger.
    line = label.native.fontMetrics().lineSpacing() + LEADING
    label.native.setMinimumHeight(lines * line)
    label.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


def fold(
    title: str, content: QWidget, tooltip: str = "Unfold, or fold away"
) -> QCollapsible:
    """Return a widget folded away below a title; `retitle` changes that."""
    folded = QCollapsible("", None, QIcon(), QIcon())
    folded.setDuration(0)
    folded.addWidget(content)
    for widget in (folded, folded.content()):  # superqt would indent it twice
        if (layout := widget.layout()) is not None:
            layout.setContentsMargins(0, 0, 0, 0)
    folded.toggleButton().setToolTip(tooltip)
    folded.setProperty("title", title)
    folded.toggled.connect(lambda _: retitle(folded, folded.property("title")))
    retitle(folded, title)
    return folded


def retitle(folded: QCollapsible, title: str) -> None:
    """Give a fold another title."""
    folded.setProperty("title", title)
    # Superqt's own arrows do not know napari's themes.
    folded.setText(f"{'▾' if folded.isExpanded() else '▸'} {title}")


def scrolled(content: QWidget) -> QScrollArea:
    """Return a widget that scrolls up and down where a window has no room for it."""
    area = QScrollArea()
    area.setWidget(content)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    style = area.style()
    if style is not None:
        bar = style.pixelMetric(QStyle.PixelMetric.PM_ScrollBarExtent)
        area.setMinimumWidth(content.minimumWidth() + bar)
    return area


def progress_bar() -> ProgressBar:
    """Return a thin bar that keeps its place while it is invisible."""
    bar = ProgressBar(min=0, max=1, value=0)
    policy = bar.native.sizePolicy()
    policy.setRetainSizeWhenHidden(True)
    bar.native.setSizePolicy(policy)
    bar.native.setTextVisible(False)
    bar.native.setFixedHeight(PROGRESS_HEIGHT)
    return bar


def narrow(picker: ComboBox) -> ComboBox:
    """Let a long name be cut rather than make the dock wide."""
    narrow_box(picker.native)
    return picker


def narrow_box(box: QComboBox) -> None:
    """Do to a box of Qt's what `narrow` does."""
    box.setSizeAdjustPolicy(
        QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    box.setMinimumContentsLength(12)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)


def _model_name(spec: ModelSpec) -> str:
    return spec.adapter or f"{spec.base} (no adapter)"
