"""Keys and commands: none is napari's, all are documented, none fails."""

import re
from pathlib import Path

import numpy as np
import pytest
from app_model.types import KeyBinding, KeyCode, KeyMod, _constants
from app_model.types import OperatingSystem as System
from napari._app_model import get_app_model
from napari.layers import Image, Labels, Points, Shapes
from napari.utils.shortcuts import default_shortcuts
from npe2 import PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtGui import QAction, QKeySequence, QShortcut
from qtpy.QtWidgets import QDialog, QFileDialog
from segmenting import CLICK, click, layer

import napari_glmedsa
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.ui.actions import ACTIONS, DOCKS, SEGMENT, WORKLIST
from napari_glmedsa.ui.finetune_widget import FineTuneWidget
from napari_glmedsa.ui.keymap import ON_THE_CLICKS, OVERRIDDEN, binding, keys_of
from napari_glmedsa.ui.measurement_widget import MeasurementWidget
from napari_glmedsa.ui.segment_widget import SegmentWidget
from napari_glmedsa.ui.worklist_widget import WorklistWidget

pytestmark = pytest.mark.ui

PACKAGE = Path(napari_glmedsa.__file__).parent
PAGE = PACKAGE.parent / "docs" / "how-to" / "keyboard.md"
LAYERS = (Image, Labels, Points, Shapes)
NONE = "\N{EN DASH}"
WITH_KEYS = [action for action in ACTIONS if action.key]


@pytest.fixture
def manifest():
    return PluginManifest.from_file(PACKAGE / "napari.yaml")


@pytest.fixture
def docks(make_napari_viewer_proxy, models, monkeypatch):
    """A viewer with all four docks, in which dialogs are cancelled at once."""
    for name in ("getExistingDirectory", "getOpenFileName", "getSaveFileName"):
        monkeypatch.setattr(QFileDialog, name, lambda *_, **__: "")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: ("", ""))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: ("", ""))
    viewer, opened = make_napari_viewer_proxy(), {}
    kinds = (SegmentWidget, WorklistWidget, MeasurementWidget, FineTuneWidget)
    for name, kind in zip(DOCKS, kinds, strict=True):
        opened[name] = kind(viewer, models)
        viewer.window.add_dock_widget(opened[name], name=name, tabify=True)
    yield viewer
    opened.pop(SEGMENT).session.close()
    for widget in opened.values():
        widget.close_work()


def run(command: str) -> None:
    """Do what napari does when somebody picks a command in the palette."""
    get_app_model().commands.execute_command(command).result()


# ---------------------------------------------------------------- napari's own keys


def keys_of_napari(viewer) -> dict[tuple[str, str], KeyBinding]:
    """Return every key that napari binds, by (where, what)."""
    bound: dict[tuple[str, str], KeyBinding] = {}
    for what, keys in default_shortcuts.items():
        for key in keys:
            bound["shortcut", f"{what} {key}"] = key
    for kind in (type(viewer.__wrapped__), *LAYERS):
        for base in kind.__mro__:
            for key in getattr(base, "class_keymap", {}):
                where = kind.__name__ if kind in LAYERS else "Viewer"
                bound[where, str(key)] = key
    for rule in get_app_model().keybindings:
        bound["menu", f"{rule.command_id} {rule.keybinding}"] = rule.keybinding
    window = viewer.window.__wrapped__._qt_window
    sequences = [one.key() for one in window.findChildren(QShortcut)]
    sequences += [
        key for one in window.findChildren(QAction) for key in one.shortcuts()
    ]
    for sequence in sequences:
        text = sequence.toString(QKeySequence.SequenceFormat.PortableText)
        bound["window", text] = KeyBinding.from_str(text)
    return bound


def test_all_of_naparis_keys_are_known(make_napari_viewer_proxy):
    known = keys_of_napari(make_napari_viewer_proxy())
    per_place = {where: 0 for where, _ in known}
    for where, _ in known:
        per_place[where] += 1
    assert per_place["shortcut"] > 80
    assert per_place["menu"] > 20
    assert {"Viewer", "Labels", "Points", "Shapes"} <= set(per_place)
    spelled = {str(key) for key in known.values()}
    # One of each: menu, viewer, Labels, Points, Shapes, Image.
    assert {"Ctrl+O", "Ctrl+Shift+P", "Ctrl+R", "M", "Shift+A", "Shift+L", "1"} <= (
        spelled
    )


def test_no_key_of_ours_is_one_of_naparis(make_napari_viewer_proxy):
    known = keys_of_napari(make_napari_viewer_proxy())
    ours = {binding(action.key): action for action in WITH_KEYS}
    clashes = {(where, str(key)) for (where, _), key in known.items() if key in ours}
    assert clashes == set(OVERRIDDEN)


def test_the_key_of_the_clicks_is_free_on_points_and_in_the_window(
    make_napari_viewer_proxy,
):
    known = keys_of_napari(make_napari_viewer_proxy())
    key = binding(ON_THE_CLICKS[0])
    shapes = [what for (_, what), own in known.items() if own == key]
    assert all("add_path" in what or what == ON_THE_CLICKS[0] for what in shapes)
    assert all(key not in base.class_keymap for base in (Points, Image, Labels))


def test_no_two_actions_have_the_same_key():
    keys = [binding(action.key) for action in WITH_KEYS]
    assert len(set(keys)) == len(keys)


def test_what_is_overridden_is_overridden_with_the_same_meaning():
    for where, key in OVERRIDDEN:
        assert where == "Labels"
        action = next(one for one in WITH_KEYS if one.key == key)
        own = Labels.class_keymap[binding(key)]
        assert own.__name__ == action.name  # undo and redo


def test_ctrl_is_cmd_on_a_mac(monkeypatch):
    monkeypatch.setattr(_constants, "_CURRENT", System.MACOS)
    wanted = KeyBinding.from_int(KeyMod.CtrlCmd | KeyMod.Shift | KeyCode.KeyZ)
    assert binding("Ctrl+Shift+Z") == wanted
    assert wanted.part0.meta
    assert keys_of("redo") == "Cmd+Shift+Z"


# ------------------------------------------------------------------------ keys pressed


@pytest.fixture
def done(ready):
    """The Segment dock, whose actions are noted instead of done."""
    names: list[str] = []
    actions = ready.widget._actions._actions
    for name in actions:
        actions[name] = lambda name=name: names.append(name)
    ready.done = names
    return ready


def over_the_picture(dock):
    return dock.viewer.window.__wrapped__._qt_viewer.canvas._key_map_handler


@pytest.mark.parametrize("active", ["photo", "lesion", "lesion mask", "lesion box"])
def test_every_key_reaches_its_action_whichever_layer_is_active(done, active):
    done.widget._trio.strokes.activate("box")
    done.viewer.layers.selection.active = layer(done, active)
    mine = [action for action in WITH_KEYS if action.dock == SEGMENT]
    for action in mine:
        over_the_picture(done).press_key(binding(action.key))
    assert done.done == [action.name for action in mine]


QT_KEYS = {
    ".": Qt.Key.Key_Period,
    ",": Qt.Key.Key_Comma,
    "Enter": Qt.Key.Key_Return,
    "Delete": Qt.Key.Key_Delete,
    "Left": Qt.Key.Key_Left,
    "Right": Qt.Key.Key_Right,
}
MODIFIERS = {
    "Ctrl": Qt.KeyboardModifier.ControlModifier,
    "Shift": Qt.KeyboardModifier.ShiftModifier,
}


def test_every_key_can_be_typed(done, qtbot):
    canvas = done.viewer.window.__wrapped__._qt_viewer.canvas.native
    mine = [action for action in WITH_KEYS if action.dock == SEGMENT]
    for action in mine:
        *held, key = action.key.split("+")
        modifiers = Qt.KeyboardModifier.NoModifier
        for one in held:
            modifiers |= MODIFIERS[one]
        typed = QT_KEYS.get(key) or getattr(Qt.Key, f"Key_{key}")
        qtbot.keyClick(canvas, typed, modifiers)
    assert done.done == [action.name for action in mine]


def test_keys_are_given_back_when_the_dock_is_closed(ready, wait):
    own = binding(keys_of("undo"))
    assert own in ready.viewer.keymap
    assert own in ready.mask.keymap
    ready.viewer.window.remove_dock_widget(ready.widget.native)
    wait(lambda: ready.widget._closed)
    left = {str(key) for key in ready.viewer.keymap} | {
        str(key) for key in ready.mask.keymap
    }
    assert not left & {action.key for action in WITH_KEYS}


def test_a_second_dock_keeps_its_keys_when_the_first_is_closed(ready, wait):
    second = ready.open()
    bound = ready.viewer.keymap[binding(keys_of("undo"))]
    ready.viewer.window.remove_dock_widget(ready.widget.native)
    wait(lambda: ready.widget._closed)
    assert ready.viewer.keymap[binding(keys_of("undo"))] is bound
    second.session.close()


# ------------------------------------------------------------------- the documentation


def rows_of(heading: str) -> list[tuple[str, ...]]:
    """Return the rows of the first table below a heading of the page."""
    below = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1]
    part = below.split("\n## ")[0].split("\n### ")[0]
    rows = [line.strip("|") for line in part.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in row.split("|")) for row in rows[2:]]


@pytest.mark.parametrize("dock", DOCKS)
def test_the_page_lists_exactly_the_actions_and_keys_that_there_are(dock):
    written = [(key.replace("`", ""), title) for key, title in rows_of(dock)]
    assert written == [
        (action.key or NONE, action.title) for action in ACTIONS if action.dock == dock
    ]


def test_the_page_says_where_keys_of_napari_are_overridden():
    written = {key.replace("`", ""): why for key, _, why in rows_of("Where we differ")}
    assert written == {key: why for (_, key), why in OVERRIDDEN.items()}


def test_the_page_tells_the_key_of_the_clicks():
    assert f"`{ON_THE_CLICKS[0]}`" in PAGE.read_text(encoding="utf-8")


# ------------------------------------------------------------------------- the palette


def palette() -> dict[str, str]:
    menus = get_app_model().menus
    items = menus.get_menu(menus.COMMAND_PALETTE_ID)
    return {item.command.id: item.command.title for item in items}


def test_every_action_is_a_command_of_the_palette(make_napari_viewer_proxy):
    make_napari_viewer_proxy()
    titles = palette()
    for action in ACTIONS:
        words = f"{action.title[0].lower()}{action.title[1:]}"
        assert titles[action.command] == f"{action.dock} - {words} (GL-Med-SA)"


def test_every_command_that_the_manifest_sends_to_the_docks_is_an_action(manifest):
    sent = {
        command.id
        for command in manifest.contributions.commands
        if "ui.commands:" in command.python_name
    }
    assert sent == {action.command for action in ACTIONS}


def test_a_command_whose_dock_is_closed_says_so_in_a_sentence(
    make_napari_viewer_proxy, messages
):
    make_napari_viewer_proxy()
    for action in ACTIONS:
        before = len(messages())
        run(action.command)
        assert messages()[before:] == [
            f"The {action.dock} dock is closed: open it in the menu Plugins."
        ]


ASKS = {"worklist_choose", "finetune_choose", "segment_manage_models"}
"""They ask the user, and need nothing for it."""


def test_a_command_without_a_photograph_says_what_lacks_in_a_sentence(
    docks, messages, qtbot
):
    for action in ACTIONS:
        before = len(messages())
        run(action.command)
        said = messages()[before:]
        if action.function in ASKS:
            assert said == [], action
        else:
            assert len(said) == 1, action
            assert re.fullmatch(r"[A-Z][^.]*\.", said[0]), said
    for window in docks.window.__wrapped__._qt_window.findChildren(QDialog):
        window.close()


def test_commands_of_files_say_where_files_are_opened_and_saved(
    make_napari_viewer_proxy, manifest, messages
):
    make_napari_viewer_proxy()
    files = [*manifest.contributions.readers, *manifest.contributions.writers]
    for command in files:
        before = len(messages())
        run(command.command)
        (said,) = messages()[before:]
        assert "File >" in said


def test_a_command_does_what_its_button_does(docks, wait):
    docks.add_image(draw_lesion(size=(96, 128)).image, name="photo")
    measure = docks.window.dock_widgets["Measure"].__wrapped__
    wait(lambda: measure.form.ruler_button.enabled)
    run("napari-glmedsa.measure_ruler")
    assert measure._ruler.is_in_hand
    run("napari-glmedsa.measure_ruler")
    assert not measure._ruler.is_in_hand


def test_a_command_of_segment_does_what_its_key_does(ready, wait):
    click(ready, CLICK, wait=wait)
    run("napari-glmedsa.segment_undo")
    assert not ready.mask.data.any()
    run("napari-glmedsa.segment_redo")
    assert ready.mask.data.any()


def test_nothing_to_accept_or_clear_is_said(ready, messages):
    for name, words in (("accept", "no outline to accept"), ("clear", "nothing to")):
        ready.widget.act(name)
        assert words in messages()[-1]


# --------------------------------------------------------------- how the mask is shown


def test_the_keys_of_opacity_stop_at_both_ends(ready):
    switch = ready.widget.form.finishing.opacity
    for name, end in (("less_opaque", 5), ("more_opaque", 100)):
        for _ in range(12):
            ready.widget.act(name)
        assert round(100 * ready.mask.opacity) == end == switch.value()


def test_opacity_by_key_outline_and_switch_agree(ready):
    switches = ready.widget.form.finishing
    assert switches.outline.isChecked() == (ready.mask.contour > 0)
    ready.widget.act("swap_look")
    assert ready.mask.contour == 0
    assert not switches.outline.isChecked()
    before = ready.mask.opacity
    ready.widget.act("more_opaque")
    assert np.isclose(ready.mask.opacity, before + 0.1)
    assert switches.opacity.value() == round(100 * ready.mask.opacity)
    ready.widget.act("protect")
    assert not ready.mask.preserve_labels
    assert not switches.protect.isChecked()


def test_the_list_of_photographs_has_the_keys_of_the_picture():
    from napari_glmedsa.ui.worklist_form import KEYS

    own = {action.key for action in WITH_KEYS if action.dock == WORKLIST}
    assert set(KEYS) == own
