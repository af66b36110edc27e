"""What the docks tell without being asked: tooltips, colours, the next click."""

import os
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QPushButton,
    QScrollBar,
    QTabBar,
    QWidget,
)
from segmenting import CLICK, click, layer
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_glmedsa.adapters import GLMedSAConfig
from napari_glmedsa.process_id import ProcessId
from napari_glmedsa.project.claims import Holder
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.session import SessionState
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.ui import next_click, styles
from napari_glmedsa.ui.export_dialog import ExportDialog
from napari_glmedsa.ui.finetune_widget import FineTuneWidget
from napari_glmedsa.ui.measurement_widget import MeasurementWidget
from napari_glmedsa.ui.project_dialog import ProjectDialog
from napari_glmedsa.ui.project_names import project_names
from napari_glmedsa.ui.segment_widget import SegmentWidget
from napari_glmedsa.ui.training_form import TrainingForm
from napari_glmedsa.ui.worklist_widget import WorklistWidget

pytestmark = pytest.mark.ui

CONTROLS = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
)
"""What a user can press, drag or type into."""

INNER = (QAbstractSpinBox, QComboBox, QAbstractItemView)
"""Qt builds these from parts, whose tooltip is theirs."""

# ---------------------------------------------------------------------------- tooltips


def is_part(widget: QWidget) -> bool:
    """Say whether a widget is a piece of another control, or only scrolls."""
    if isinstance(widget, QScrollBar):
        return True
    parent = widget.parentWidget()
    while parent is not None:
        if isinstance(parent, (*INNER, QTabBar)):
            return True
        parent = parent.parentWidget()
    return False


def is_control(widget: QWidget) -> bool:
    return isinstance(widget, CONTROLS) and not is_part(widget)


def untold(dock: QWidget) -> list[str]:
    """Return the controls of a dock that no tooltip explains."""
    found = []
    for widget in dock.findChildren(QWidget):
        if isinstance(widget, QTabBar):
            found += [
                f"tab {widget.tabText(place)}"
                for place in range(widget.count())
                if not widget.tabToolTip(place)
            ]
        elif is_control(widget) and not widget.toolTip():
            named = isinstance(widget, QAbstractButton | QLineEdit)
            words = widget.text() if named else widget.accessibleName()
            found.append(f"{type(widget).__name__} {words}")
    return found


def controls(dock: QWidget) -> int:
    return sum(is_control(one) for one in dock.findChildren(QWidget))


@pytest.mark.parametrize(
    ("kind", "n_at_least"),
    [
        (SegmentWidget, 25),
        (WorklistWidget, 8),
        (MeasurementWidget, 4),
        (FineTuneWidget, 30),
    ],
)
def test_every_control_of_a_dock_has_a_tooltip(
    make_napari_viewer_proxy, models, kind, n_at_least
):
    viewer = make_napari_viewer_proxy()
    widget = kind(viewer, models)
    viewer.window.add_dock_widget(widget)  # which takes it apart in the end
    assert controls(widget.native) >= n_at_least
    assert untold(widget.native) == []
    (widget.session.close if kind is SegmentWidget else widget.close_work)()


def test_every_control_of_the_dialogs_has_a_tooltip(qtbot, tmp_path):
    parent = QWidget()
    qtbot.addWidget(parent)
    for dialog, n_at_least in (
        (ProjectDialog(parent), 15),
        (ExportDialog(tmp_path / "moles", parent), 12),
    ):
        assert controls(dialog) >= n_at_least
        assert untold(dialog) == []
        dialog.close_down()


def test_a_tooltip_comes_back_when_an_adapter_is_not_continued_any_more(qtbot):
    form = TrainingForm(TrainingConfig())
    qtbot.addWidget(form)
    before = form.ratio.toolTip()
    form.keep_adapter(GLMedSAConfig())
    assert form.ratio.toolTip() != before
    form.keep_adapter(None)
    assert form.ratio.toolTip() == before != ""


# ----------------------------------------------------------------------------- colours

GROUNDS = {
    "palest skin": "#f3ddd0",
    "pink skin": "#eec3ae",
    "inflamed skin": "#d98880",
    "tanned skin": "#c99a76",
    "brown skin": "#7c4f35",
    "darkest skin": "#3d2419",
    "light brown lesion": "#b07850",
    "dark brown lesion": "#54301c",
    "black lesion": "#14100e",
    "red lesion": "#a5382e",
    "blue-grey veil": "#5d6676",
    "white scar": "#d9cfcd",
}
"""What outlines lie on; the skins are from the lightest to the darkest type."""

WELL_APART = 25.0
"""CIEDE2000: ten times what one sees side by side."""
APART_AT_ALL = 20.0


def lab(colour: str):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return rgb2lab(np.array(parts))


def distance(one: str, other: str) -> float:
    return float(deltaE_ciede2000(lab(one), lab(other)))


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("colour", [*styles.OBJECT_COLORS, styles.TOOL_COLOR])
def test_an_outline_is_seen_on_every_skin_and_lesion(colour, ground):
    assert distance(colour, GROUNDS[ground]) > WELL_APART


@pytest.mark.parametrize("name", styles.OUTLINE_COLORS)
def test_the_outlines_that_are_compared_are_seen_on_every_ground(name):
    colour = styles.OUTLINE_COLORS[name]
    assert min(distance(colour, one) for one in GROUNDS.values()) > WELL_APART


def test_neighbouring_lesions_have_colours_that_are_told_apart():
    colours = styles.OBJECT_COLORS
    following = zip(colours, (*colours[1:], colours[0]), strict=True)
    assert all(distance(one, other) > APART_AT_ALL for one, other in following)


def test_clicks_are_seen_by_their_fill_or_by_their_rim():
    for colour in styles.CLICK_COLORS.values():
        for ground in GROUNDS.values():
            rim = distance("#ffffff", ground)
            assert max(rim, distance(colour, ground)) > WELL_APART
    assert len(set(styles.CLICK_SYMBOLS.values())) == len(styles.CLICK_SYMBOLS)


@pytest.mark.parametrize("pigment", ["brown", "dark"])
def test_the_outline_of_a_drawn_lesion_stands_out_from_what_is_under_it(pigment):
    sample = draw_lesion(seed=1, size=(120, 160), pigment=pigment)
    under = rgb2lab(sample.image).reshape(-1, 3)
    for colour in styles.OBJECT_COLORS:
        apart = deltaE_ciede2000(np.broadcast_to(lab(colour), under.shape), under)
        assert np.quantile(apart, 0.01) > WELL_APART


# ------------------------------------------------------------------ what a click does


def told(dock) -> str:
    """Return what the status bar says."""
    return str(dock.viewer.help)


def test_the_empty_viewer_asks_for_a_photograph(dock, wait):
    wait(lambda: told(dock) == next_click.EMPTY)


def test_while_the_photograph_is_read_the_answer_is_promised(
    request, models, photo, wait
):
    models.opened.clear()  # before the dock asks for the model
    dock = request.getfixturevalue("dock")
    dock.viewer.add_image(photo, name="photo")
    wait(lambda: "lesion" in dock.viewer.layers)
    wait(lambda: "when the photograph is read" in told(dock))
    assert told(dock).startswith("Click on the lesion")
    models.opened.set()
    wait(lambda: dock.widget.session.state is SessionState.READY)
    wait(lambda: "when the photograph is read" not in told(dock))


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        (["use_clicks"], "Click on the lesion."),
        (["swap_mark"], "Click on what is not lesion."),
        (["swap_mark", "swap_mark"], "Click on the lesion."),
        (["use_box"], "Drag a box around the lesion."),
        (["use_scribble"], "Drag a line over the lesion."),
        (["use_scribble", "swap_mark"], "Drag a line over what is not lesion."),
        (["use_lasso"], "Draw around the lesion."),
        (["use_brush"], "The brush adds to lesion 1."),
    ],
)
def test_the_status_bar_says_what_the_next_click_does(ready, wait, actions, words):
    for action in actions:
        ready.widget.act(action)
    wait(lambda: told(ready).startswith(words))
    wait(lambda: ready.widget.form.hint.value.startswith(words))


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("erase", "The eraser takes away from lesion 1."),
        ("fill", "A click fills with lesion 1."),
        ("polygon", "Click a polygon, Enter fills it with lesion 1."),
        ("pick", "A click picks a lesion for the brush."),
        ("pan_zoom", "Drag to move the photograph."),
    ],
)
def test_it_knows_naparis_tools_on_the_mask(ready, wait, mode, words):
    ready.widget.act("use_brush")
    ready.mask.mode = mode
    wait(lambda: told(ready) == words)


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("select", "Drag a click to move it, Delete removes it."),
        ("pan_zoom", "Drag to move the photograph."),
    ],
)
def test_it_knows_naparis_tools_on_the_clicks(ready, wait, mode, words):
    ready.clicks.mode = mode
    wait(lambda: told(ready) == words)


def test_it_says_that_the_brush_would_change_an_accepted_lesion(ready, wait):
    click(ready, CLICK, wait=wait)
    ready.widget.act("accept")
    ready.widget.act("use_brush")
    wait(lambda: told(ready) == "The brush adds to lesion 2.")
    ready.mask.selected_label = 1
    wait(lambda: told(ready) == "The brush adds to the accepted lesion 1.")
    ready.mask.selected_label = 0
    wait(lambda: told(ready) == "The brush adds to the skin.")


def test_it_says_when_somebody_else_has_the_photograph(ready, wait):
    ready.widget._work.holder = Holder("Ada", ProcessId.of(os.getpid()), "", age=60.0)
    ready.widget._work.changed.emit()
    wait(lambda: told(ready).startswith("Click on the lesion."))
    assert "Somebody else has this photograph" in told(ready)
    ready.widget._work.holder = None
    ready.widget._work.changed.emit()
    assert "Somebody else" not in told(ready)


def test_the_photograph_itself_is_left_to_napari(ready, wait):
    ready.viewer.layers.selection.active = layer(ready, "photo")
    wait(lambda: ready.widget.form.hint.value.startswith("Press Click"))


def hover(dock, position: str) -> None:
    """Let napari say where the mouse is, as it does when the mouse moves."""
    known = {"layer_base": "lesion", "source_type": "", "plugin": ""}
    dock.viewer.status = {**known, "coordinates": position}


def told_at_position(dock) -> str:
    return str(dock.viewer.status["coordinates"])


def test_over_the_picture_it_stands_after_the_position(ready, wait):
    ready.widget.act("use_box")
    wait(lambda: told(ready) == "Drag a box around the lesion.")
    hover(ready, "[3 4]")
    assert told_at_position(ready) == "[3 4]  ·  Drag a box around the lesion."
    ready.widget.act("use_lasso")
    wait(lambda: told_at_position(ready) == "[3 4]  ·  Draw around the lesion.")
    hover(ready, "[5 6]")
    assert told_at_position(ready) == "[5 6]  ·  Draw around the lesion."
    ready.viewer.layers.selection.active = layer(ready, "photo")
    wait(lambda: told_at_position(ready) == "[5 6]")


def test_two_docks_that_tell_different_things_do_not_tell_them_for_ever(ready, wait):
    second = ready.open()
    wait(lambda: second._trio is not None)
    first = ready.widget
    for _ in range(3):
        first._next_click.tell(first._trio, is_taken=True)
        second._next_click.tell(second._trio, is_taken=False)
    hover(ready, "[3 4]")
    said = told_at_position(ready)
    assert said.count("·") == 1
    assert told(ready).startswith("Click on the lesion.")
    second.session.close()


def test_off_the_picture_and_after_the_dock_the_status_is_naparis(ready, wait):
    ready.viewer.status = "Ready"
    assert ready.viewer.status == "Ready"
    hover(ready, "[3 4]")
    wait(lambda: told_at_position(ready) != "[3 4]")
    ready.viewer.window.remove_dock_widget(ready.widget.native)
    wait(lambda: ready.widget._closed)
    assert told_at_position(ready) == "[3 4]"
    hover(ready, "[5 6]")
    assert told_at_position(ready) == "[5 6]"


def test_a_project_in_a_folder_of_photographs_is_called_after_the_folder():
    names = project_names(
        [
            Path("clinic/glmedsa_project"),
            Path("moles"),
            Path("a/ward/glmedsa_project"),
            Path("b/ward"),
        ]
    )
    assert names[:2] == ["clinic", "moles"]
    assert names[2:] == [f"ward ({Path('a/ward')})", f"ward ({Path('b')})"]


# ---------------------------------------------------------------------- room on screen


def test_all_docks_fit_a_small_window_unfolded_and_beside_naparis_own(
    make_napari_viewer_proxy, models, photo, wait
):
    viewer = make_napari_viewer_proxy(show=True)
    window = viewer.window.__wrapped__._qt_window
    window.resize(1280, 800)
    segment = SegmentWidget(viewer, models)
    others = [
        kind(viewer, models)
        for kind in (WorklistWidget, MeasurementWidget, FineTuneWidget)
    ]
    for widget in (segment, *others):
        tabify = widget is not segment
        viewer.window.add_dock_widget(widget, area="right", tabify=tabify)
    viewer.add_image(photo, name="photo")
    wait(lambda: "lesion mask" in viewer.layers)
    segment.form.lesions_fold.expand(animate=False)
    segment.form.finishing_fold.expand(animate=False)
    for mode in ("use_box", "use_brush", "use_clicks"):
        segment.act(mode)
        QApplication.processEvents()
        least = window.minimumSizeHint()
        assert max(window.height(), least.height()) <= 800, mode
        assert max(window.width(), least.width()) <= 1280, mode
    segment.session.close()
    for widget in others:
        widget.close_work()


def test_no_button_of_the_segment_dock_is_squeezed(dock):
    form = dock.widget.form
    form.finishing_fold.expand(animate=False)
    window = dock.viewer.window.__wrapped__._qt_window
    window.resize(1280, 800)
    window.show()
    QApplication.processEvents()
    for button in form.native.findChildren(QPushButton):
        if button.isVisible() and button.text():
            words = button.fontMetrics().horizontalAdvance(button.text())
            assert button.width() >= words, button.text()
