"""One undo and redo over clicks, boxes, strokes, choices, and what was accepted."""

import random

import numpy as np
import pytest
from napari.layers import Image, Labels, Points, Shapes
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtWidgets import QApplication
from segmenting import CLICK, answered, click, drawn, layer

from napari_glmedsa.session import SessionState
from napari_glmedsa.ui import convert

pytestmark = pytest.mark.ui

OTHER = (20.0, 100.0)


def history(dock):
    return dock.widget._bench.episode.history


def steps(dock) -> list[str]:
    return [step.name for step in history(dock).steps[: history(dock).position]]


def state(dock) -> tuple:
    """Return all that undo and redo have to bring back."""
    trio = dock.widget._trio
    objects = {label: one.provenance for label, one in trio.mask.objects.items()}
    prompts = convert.fingerprint(trio.prompts())
    pixels = dock.mask.data.tobytes()
    return pixels, prompts, trio.mask.object_id, objects, trio.choice


def press(dock, keys) -> None:
    """Press keys as napari does it, with whatever layer is active."""
    pressed = coerce_keybinding(keys)
    active = dock.viewer.layers.selection.active
    keymaps = [active.keymap] if active is not None else []
    for keymap in [*keymaps, dock.viewer.keymap]:
        if pressed in keymap:
            keymap[pressed](dock.viewer)
            return
    pytest.fail(f"nobody listens to {keys}")


def settle(dock, wait) -> None:
    jobs = dock.widget._jobs
    for _ in range(3):  # what is done to a layer, or by a job, comes one event later
        wait(lambda: dock.widget.session.state is SessionState.READY)
        wait(lambda: not dock.widget._bench.is_waiting)
        wait(lambda: not jobs._pending and jobs._running is None)
        QApplication.processEvents()


def paint(dock, at, label=None) -> None:
    """Do what napari's brush does, to the end of the stroke."""
    dock.mask.mode = "paint" if label is None else "erase"
    dock.mask.brush_size = 7
    with dock.mask.block_history():
        current = dock.widget._trio.mask.object_id
        dock.mask.selected_label = current
        dock.mask.paint(at, current if label is None else label)


def draw_box(dock, wait, corners=((20, 30), (70, 100))) -> None:
    dock.widget.act("use_box")
    (top, left), (bottom, right) = corners
    box = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
    layer(dock, "lesion box").add(box, shape_type="rectangle")
    wait(lambda: "box" in steps(dock))


def scribble(dock, wait, kind="path", name="scribble") -> None:
    dock.widget.act(f"use_{name}")
    path = np.array([(40, 50), (40, 80), (60, 80)], dtype=float)
    layer(dock, "lesion box").add(path, shape_type=kind)
    wait(lambda: name in steps(dock))


@pytest.fixture
def worked(ready, wait):
    """A lesion of which everything was done once."""
    states = [state(ready)]

    def did(what) -> None:
        settle(ready, wait)
        if state(ready) != states[-1]:
            states.append(state(ready))
        assert len(states) == history(ready).position + 1, what

    click(ready, CLICK, wait=wait)
    did("click")
    click(ready, OTHER, "background")
    did("background click")
    paint(ready, (10, 10))
    wait(lambda: "brush" in steps(ready))
    did("brush")
    ready.widget.act("fill_holes")
    ready.widget.act("largest_piece")
    settle(ready, wait)
    did("clean-up") if "largest piece" in steps(ready) else None
    draw_box(ready, wait)
    did("box")
    ready.widget.act("choose_2")
    wait(lambda: "candidate" in steps(ready))
    did("candidate")
    ready.widget.act("accept")
    did("accept")
    click(ready, (80.0, 20.0))
    did("second lesion")
    scribble(ready, wait)
    did("scribble")
    ready.widget.act("clear")
    did("clear")
    scribble(ready, wait, "polygon", "lasso")
    did("lasso")
    ready.widget.act("accept")
    did("second accept")
    ready.widget.act("delete")
    did("delete")
    return ready, states


def test_all_that_was_done_is_taken_back_and_done_again_in_its_order(worked, wait):
    dock, states = worked
    for wanted in reversed(states[:-1]):
        press(dock, "Ctrl-Z")
        settle(dock, wait)
        assert state(dock) == wanted
    assert not dock.mask.data.any()
    assert len(dock.clicks.data) == 0
    for wanted in states[1:]:
        press(dock, "Ctrl-Shift-Z")
        settle(dock, wait)
        assert state(dock) == wanted


@pytest.mark.parametrize("active", ["photo", "lesion", "lesion mask", "lesion box"])
def test_the_keys_work_whichever_layer_is_active(ready, wait, active):
    click(ready, CLICK, wait=wait)
    after = state(ready)
    ready.widget.act("use_box")
    ready.viewer.layers.selection.active = layer(ready, active)
    press(ready, "Ctrl-Z")
    assert not ready.mask.data.any()
    assert len(ready.clicks.data) == 0
    press(ready, "Ctrl-Shift-Z")
    assert state(ready) == after


@pytest.mark.parametrize("kind", [Image, Labels, Points, Shapes])
def test_napari_itself_has_no_keys_for_it_but_on_labels(kind):
    known = coerce_keybinding("Ctrl-Z") in kind.class_keymap
    assert known == (kind is Labels) or not known


def test_one_undo_takes_back_a_click_with_its_answer(ready, wait):
    click(ready, CLICK, wait=wait)
    settle(ready, wait)
    assert steps(ready) == ["click"]


def test_brush_strokes_are_undone_one_by_one(ready, wait):
    seen = [ready.mask.data.copy()]
    for column in (10, 30, 50):
        paint(ready, (5, column))
        wait(lambda: steps(ready).count("brush") == len(seen))
        seen.append(ready.mask.data.copy())
    for before in reversed(seen[:-1]):
        ready.widget.act("undo")
        assert np.array_equal(ready.mask.data, before)
    assert steps(ready) == []


def test_a_new_deed_after_undo_replaces_what_was_taken_back(ready, wait):
    click(ready, CLICK, wait=wait)
    ready.widget.act("undo")
    click(ready, OTHER, wait=wait)
    settle(ready, wait)
    assert not ready.widget.form.redo_button.enabled
    assert steps(ready) == ["click"]


def test_the_buttons_say_what_they_take_back(ready, wait):
    form = ready.widget.form
    assert not form.undo_button.enabled
    click(ready, CLICK, wait=wait)
    assert form.undo_button.tooltip == "Take back: click (Ctrl+Z)"
    form.undo_button.native.click()
    assert not form.undo_button.enabled
    assert form.redo_button.tooltip == "Make again: click (Ctrl+Shift+Z)"


def test_the_history_outlives_the_dock(ready, wait):
    click(ready, CLICK, wait=wait)
    settle(ready, wait)
    before = ready.mask.data.copy()
    ready.viewer.window.remove_dock_widget(ready.widget.native)
    wait(lambda: ready.widget._closed)
    ready.widget = ready.open()
    wait(lambda: ready.widget._bench.episode)
    settle(ready, wait)
    assert np.array_equal(ready.mask.data, before)
    ready.widget.act("undo")
    assert not ready.mask.data.any()
    ready.widget.act("redo")
    assert np.array_equal(ready.mask.data, before)


def test_more_than_a_hundred_deeds_are_taken_back(ready, wait):
    for number in range(120):
        ready.mask.data_setitem((np.array([number % 90]), np.array([number])), 1)
        ready.widget._bench.episode.flush()
    assert history(ready).position == 120
    for _ in range(120):
        ready.widget.act("undo")
    assert not ready.mask.data.any()


def random_deed(dock, rng) -> None:
    """Do one of all the things that can be done, somewhere."""
    at, to = ([rng.uniform(3, 92), rng.uniform(3, 124)] for _ in range(2))
    act, strokes = dock.widget.act, ("lesion box", "rectangle", "path", "polygon")
    kind = rng.choice(["click"] * 4 + ["paint"] * 4 + ["stroke"] * 2 + ["act"] * 7)
    if kind == "click":
        click(dock, at, rng.choice(["lesion", "background"]))
    elif kind == "paint":
        paint(dock, tuple(map(int, at)), rng.choice([None, None, 0]))
    elif kind == "stroke":
        name = rng.choice(["box", "scribble", "lasso"])
        act(f"use_{name}")
        shape = strokes[1 + ["box", "scribble", "lasso"].index(name)]
        corners = [at, [at[0], to[1]], to, [to[0], at[1]]]
        layer(dock, strokes[0]).add(np.array(corners), shape_type=shape)
    else:
        names = (
            "accept",
            "accept",
            "undo",
            "undo",
            "redo",
            "delete",
            "reopen",
            "clear",
        )
        tidy = ("fill_holes", "largest_piece", "smooth_outline")
        act(rng.choice([*names, *tidy, "choose_1", "choose_2", "choose_3"]))


@pytest.mark.parametrize("seed", range(2))
def test_n_times_undo_and_n_times_redo_give_the_same_bytes(ready, wait, seed):
    rng, states = random.Random(seed), {0: state(ready)}
    while history(ready).position < 100:
        random_deed(ready, rng)
        settle(ready, wait)
        states[history(ready).position] = state(ready)
    last = history(ready).position
    for position in reversed(range(last)):
        ready.widget.act("undo")
        settle(ready, wait)
        assert history(ready).position == position
        assert state(ready) == states.get(position, state(ready)), position
    for position in range(1, last + 1):
        ready.widget.act("redo")
        settle(ready, wait)
        assert state(ready) == states.get(position, state(ready)), position
    assert len(states) > 90  # hardly a deed was two steps
    assert len(history(ready)) == last


# ------------------------------------------------------------- proposals


def test_the_chosen_proposal_is_what_is_shown_and_what_is_accepted(ready, wait):
    click(ready, CLICK, wait=wait)
    settle(ready, wait)
    answer = ready.widget._bench.answer
    best = drawn(ready).copy()
    for number in (1, 2, 3):
        ready.widget.form.candidates.buttons[number - 1].click()
        settle(ready, wait)
        wait(lambda number=number: ready.widget._trio.choice == number)
        assert np.array_equal(drawn(ready), answer.candidate(number - 1).mask)
    ready.widget.act("choose_3")  # again: back to the model's own choice
    wait(lambda: ready.widget._trio.choice == 0)
    assert np.array_equal(drawn(ready), best)


def test_without_an_answer_there_is_nothing_to_choose_from(ready, messages):
    ready.widget.act("choose_1")
    assert any("click on the lesion" in message for message in messages())


# ------------------------------------------------------------- several lesions


@pytest.fixture
def two(ready, wait):
    """Two accepted lesions."""
    click(ready, CLICK, wait=wait)
    ready.widget.act("accept")
    click(ready, (5.0, 5.0))
    settle(ready, wait)
    wait(lambda: drawn(ready, 2).any())
    ready.widget.act("accept")
    return ready


def test_a_lesion_is_opened_again_with_its_clicks_and_its_label(two, wait):
    before = drawn(two, 1).copy()
    two.widget.form.lesions.list.setCurrentRow(0)
    two.widget.act("reopen")
    settle(two, wait)
    assert two.clicks.data.tolist() == [list(CLICK)]
    assert np.array_equal(drawn(two, 1), before)
    assert two.widget._trio.mask.object_id == 1
    assert list(two.widget._trio.mask.objects) == [2]
    two.widget.act("accept")
    assert sorted(two.widget._trio.mask.objects) == [1, 2]
    assert two.widget._trio.mask.object_id == 3


def test_merged_lesions_have_one_label_and_the_clicks_of_both(two):
    both = (drawn(two, 1) | drawn(two, 2)).copy()
    two.widget.form.lesions.list.selectAll()
    two.widget.act("merge")
    assert np.array_equal(drawn(two, 1), both)
    objects = two.widget._trio.mask.objects
    assert list(objects) == [1]
    assert len(objects[1].provenance.point_coords) == 2
    two.widget.act("undo")
    assert list(two.widget._trio.mask.objects) == [1, 2]


def test_a_deleted_lesion_comes_back_by_undo(two):
    before = two.mask.data.copy()
    two.widget.form.lesions.list.setCurrentRow(0)
    two.widget.form.lesions.delete_button.click()
    assert not drawn(two, 1).any()
    assert list(two.widget._trio.mask.objects) == [2]
    two.widget.act("undo")
    assert np.array_equal(two.mask.data, before)


def test_next_and_previous_go_round_the_lesions(two):
    chosen = []
    for name in ("next_lesion", "next_lesion", "next_lesion", "previous_lesion"):
        two.widget.act(name)
        chosen.append(two.widget.form.lesions.labels)
    assert chosen == [(1,), (2,), (1,), (2,)]


def test_a_new_mask_eats_an_accepted_one_only_when_asked_to(ready, wait):
    click(ready, CLICK, wait=wait)
    ready.widget.act("accept")
    before = drawn(ready, 1).copy()
    mask = np.ones(before.shape, dtype=bool)
    ready.widget._corrections.start_from(mask)
    assert np.array_equal(drawn(ready, 1), before)
    ready.widget.act("undo")
    ready.widget.form.finishing.protect.click()
    ready.widget._corrections.start_from(mask)
    assert not drawn(ready, 1).any()


def test_undoing_an_accept_with_another_lesion_in_the_making_keeps_that_one(two, wait):
    click(two, (80.0, 20.0))
    settle(two, wait)
    two.widget.act("undo")
    two.widget.act("undo")
    assert two.widget._trio.mask.object_id == 2
    assert list(two.widget._trio.mask.objects) == [1]


def test_an_answer_is_awaited_before_a_lesion_is_accepted(ready, wait):
    click(ready, CLICK, wait=wait)
    click(ready, OTHER, "background")
    ready.widget.act("accept")
    wait(lambda: ready.widget._trio.mask.objects)
    known = ready.widget._trio.mask.objects[1].provenance
    assert known.point_labels == (1, 0)
    answered(ready, wait)
