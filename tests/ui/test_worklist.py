"""The Worklist dock in a viewer: photograph after photograph."""

import os
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog
from segmenting import answered, layer

from napari_glmedsa.activation import ActiveModel
from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.registry import ModelSpec
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui import commands, worklist_ranking, worklist_thumbnails
from napari_glmedsa.ui.canvas_guard import CanvasGuard
from napari_glmedsa.ui.companion import OURS
from napari_glmedsa.ui.segment_widget import SegmentWidget
from napari_glmedsa.ui.worklist_form import FLAG, NEXT, PREVIOUS, SKIP
from napari_glmedsa.ui.worklist_view import ENTRY
from napari_glmedsa.ui.worklist_widget import WorklistWidget
from napari_glmedsa.worklist import Order, Shown, Status, Uncertainty, Worklist

pytestmark = pytest.mark.ui

NAMES = ["mole1.png", "mole2.png", "mole3.png"]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "moles"
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        Image.fromarray(draw_lesion(seed=seed, size=(48, 64)).image).save(folder / name)
    return folder


@pytest.fixture
def place(make_napari_viewer_proxy, models):
    """A viewer in which worklists can be opened."""
    viewer, opened = make_napari_viewer_proxy(), []

    def open_dock() -> WorklistWidget:
        widget = WorklistWidget(viewer, models)
        viewer.window.add_dock_widget(widget, name="Worklist")
        opened.append(widget)
        return widget

    yield SimpleNamespace(viewer=viewer, open=open_dock, models=models)
    for widget in opened:
        widget.close_work()


@pytest.fixture
def widget(place, folder, wait):
    widget = place.open()
    widget.open_folder(folder)
    wait(lambda: names(widget) == NAMES)
    return widget


def rows(widget):
    return list(widget.form.list.photographs.entries)


def names(widget):
    return [entry.name for entry in rows(widget)]


def photographs(place):
    return [one for one in place.viewer.layers if OURS in one.metadata]


def is_shown(place, name):
    return [one.name for one in photographs(place)] == [name]


def press(place, key) -> None:
    """Press a key that is bound in the viewer."""
    bound = {str(name): action for name, action in place.viewer.keymap.items()}
    bound[key.replace("-", "+")](place.viewer)


# --------------------------------------------------------------------- the list itself


def test_without_a_folder_the_dock_asks_for_one(place, wait):
    widget = place.open()
    assert "Choose a folder" in widget.form.words.value
    for button in (widget.form.next_button, widget.form.flag_button):
        assert not button.enabled


def test_a_folder_is_listed_with_thumbnails(widget, wait):
    view = widget.form.list
    view.show()
    index = view.photographs.index(0)
    assert index.data() == "mole1.png"
    assert "new" in index.data(int(Qt.ItemDataRole.AccessibleTextRole))
    thumbnails = view.photographs._thumbnails
    wait(lambda: thumbnails.get(index.data(ENTRY)) is not None)
    size = thumbnails.get(index.data(ENTRY)).deviceIndependentSize()
    assert (size.width(), size.height()) == (32, 24)  # never enlarged; two per pixel


def test_masks_go_into_the_project_of_the_folder(widget, place, folder):
    root = folder / "glmedsa_project"
    assert widget.worklist.project.root == root
    assert RecentProjects(place.models.root).saves_into() == root


def test_another_folder_is_chosen_by_hand(place, folder, wait, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    widget = place.open()
    widget.form.choose_button.native.click()
    wait(lambda: names(widget) == NAMES)
    assert widget.form.folder.value in (folder, folder / "glmedsa_project")


def test_the_filter_shows_what_is_wanted(widget, wait):
    worklist = widget.worklist
    worklist.mark(rows(widget)[1], "skipped", by="Ada")
    wait(lambda: names(widget) == ["mole1.png", "mole3.png"])
    widget.form.shown.value = Shown.SKIPPED
    assert names(widget) == ["mole2.png"]
    tooltip = rows(widget)[0]
    assert tooltip.by == "Ada"
    widget.form.shown.value = Shown.ALL
    assert names(widget) == NAMES


def test_by_uncertainty_the_most_uncertain_comes_first(widget, wait):
    worklist = widget.worklist
    for entry, part in zip(rows(widget), (0.9, 0.3, 0.6), strict=True):
        known = worklist.identify(entry, worklist.read(entry))
        worklist.remember("model", known, Uncertainty(part, 1.0, 1.0))
    widget.form.order.value = Order.UNCERTAINTY
    wait(lambda: names(widget) == ["mole2.png", "mole3.png", "mole1.png"])


# ------------------------------------------------------- one photograph after the other


def test_next_and_previous_walk_through_the_folder(widget, place, wait):
    press(place, NEXT)
    wait(lambda: is_shown(place, "mole1.png"))
    widget.form.next_button.native.click()
    wait(lambda: is_shown(place, "mole2.png"))
    press(place, PREVIOUS)
    wait(lambda: is_shown(place, "mole1.png"))
    marks = photographs(place)[0].metadata[OURS]
    assert marks["project"] == str(widget.worklist.project.root)
    assert marks["path"].endswith("mole1.png")
    assert marks["image_id"] == widget.current.image_id
    pixels = widget.worklist.read(widget.current)
    np.testing.assert_array_equal(photographs(place)[0].data, pixels)


def test_what_somebody_else_works_on_is_passed_over(widget, place, wait, monkeypatch):
    worklist, entry = widget.worklist, rows(widget)[0]
    known = worklist.identify(entry, worklist.read(entry))
    claim = worklist.project.claim(known.image_id, annotator="Ada")
    claim.take()
    monkeypatch.setattr("napari_glmedsa.worklist.holders.os.getpid", lambda: -1)
    wait(lambda: rows(widget)[0].holder)
    index = widget.form.list.photographs.index(0)
    assert "Ada" in index.data(int(Qt.ItemDataRole.ToolTipRole))
    assert "in use" in index.data(int(Qt.ItemDataRole.AccessibleTextRole))
    widget.go(1)
    wait(lambda: is_shown(place, "mole2.png"))


def test_layers_that_leave_take_their_graphics_along(widget, place, wait):
    """Also without the Segment dock; else the next drawing ends the process."""
    widget.go(1)
    wait(lambda: is_shown(place, "mole1.png"))
    assert widget.native.window().findChild(CanvasGuard) is not None


def test_the_list_ends(widget, place, wait, messages):
    widget.go(-1)  # from nowhere, that is the last
    wait(lambda: is_shown(place, "mole3.png"))
    widget.go(1)
    assert any("end of the list" in words for words in messages())
    assert widget.current.name == "mole3.png"


def test_a_click_on_a_row_opens_it(widget, place, wait):
    view = widget.form.list
    view.clicked.emit(view.photographs.index(1))
    wait(lambda: is_shown(place, "mole2.png"))


def test_keys_work_in_the_list_as_well(widget, place, wait, qtbot):
    qtbot.keyClick(widget.form.list, Qt.Key.Key_PageDown)
    wait(lambda: is_shown(place, "mole1.png"))
    qtbot.keyClick(widget.form.list, Qt.Key.Key_F, Qt.KeyboardModifier.ShiftModifier)
    wait(lambda: widget.current.status is Status.FLAGGED)


def test_skip_goes_on_and_flag_can_be_taken_back(widget, place, wait):
    press(place, NEXT)
    wait(lambda: is_shown(place, "mole1.png"))
    press(place, SKIP)
    wait(lambda: is_shown(place, "mole2.png"))
    wait(lambda: names(widget) == ["mole2.png", "mole3.png"])
    press(place, FLAG)
    wait(lambda: widget.current.status is Status.FLAGGED)
    wait(lambda: widget.form.flag_button.text == "Unflag")
    press(place, FLAG)
    wait(lambda: widget.current.status is Status.NEW)


def test_what_is_accepted_elsewhere_is_done_here(widget, wait):
    worklist, entry = widget.worklist, rows(widget)[0]
    pixels = worklist.read(entry)
    worklist.identify(entry, pixels)
    own_id = worklist.project.add_image(pixels, source=entry.name)
    mask = np.zeros(pixels.shape[:2], bool)
    mask[5:9, 5:9] = True
    worklist.project.save_annotation(own_id, mask, [Provenance()])
    wait(lambda: names(widget) == ["mole2.png", "mole3.png"])


def test_an_unreadable_photograph_is_one_sentence_and_one_can_go_on(
    place, folder, wait, messages
):
    (folder / "mole2.png").write_bytes(b"no image")
    widget = place.open()
    widget.open_folder(folder)
    wait(lambda: names(widget) == NAMES)
    widget.go(1)
    wait(lambda: is_shown(place, "mole1.png"))
    widget.go(1)
    wait(lambda: any("mole2.png" in words for words in messages()))
    assert "mole2.png" in widget.form.words.value
    assert is_shown(place, "mole1.png")  # and nothing was taken away
    widget.go(1)
    wait(lambda: is_shown(place, "mole3.png"))


def test_a_folder_without_photographs_is_one_sentence(place, tmp_path, wait, messages):
    widget = place.open()
    widget.open_folder(tmp_path / "gone")
    wait(lambda: any("cannot be read" in words for words in messages()))
    assert widget.worklist is None


def test_a_full_project_loses_no_photograph(widget, place, wait, messages):
    press(place, NEXT)
    wait(lambda: is_shown(place, "mole1.png"))
    marks = widget.worklist.project.root / "worklist" / "marks"
    marks.parent.mkdir(exist_ok=True)
    marks.write_text("in the way")
    press(place, FLAG)
    wait(lambda: any("cannot be written to" in words for words in messages()))
    assert is_shown(place, "mole1.png")


def test_ten_thousand_photographs_are_listed_and_few_thumbnails_made(
    place, tmp_path, wait, monkeypatch
):
    monkeypatch.setattr(worklist_thumbnails, "KEPT", 30)
    folder = tmp_path / "many"
    folder.mkdir()
    first = folder / "0.png"
    Image.fromarray(draw_lesion(size=(32, 32)).image).save(first)
    for number in range(1, 10_000):
        os.link(first, folder / f"{number}.png")
    widget = place.open()
    began = time.process_time()  # of this program, however busy the computer is
    widget.open_folder(folder)
    wait(lambda: len(rows(widget)) == 10_000)
    assert time.process_time() - began < 2
    view = widget.form.list
    thumbnails = view.photographs._thumbnails
    for row in range(0, 10_000, 100):
        thumbnails.get(rows(widget)[row])
    wait(lambda: not thumbnails._busy)
    wait(lambda: 0 < len(thumbnails) <= 30)


# --------------------------------------------------------------------------- restarts


def test_the_same_photograph_is_there_after_a_restart(widget, place, wait):
    widget.form.order.value = Order.DATE
    widget.form.shown.value = Shown.ALL
    widget.open_photograph(rows(widget)[1])
    shown = widget.current.name
    wait(lambda: is_shown(place, shown))
    widget.close_work()
    place.viewer.layers.clear()
    again = place.open()
    wait(lambda: is_shown(place, shown))
    assert again.current.name == shown
    assert again.form.order.value is Order.DATE
    assert again.form.shown.value is Shown.ALL


def test_a_photograph_that_is_in_the_viewer_already_is_not_added_again(
    widget, place, wait
):
    widget.go(1)
    wait(lambda: is_shown(place, "mole1.png"))
    there = photographs(place)[0].unique_id
    widget.close_work()
    again = place.open()
    wait(lambda: again.current is not None)
    assert [one.unique_id for one in photographs(place)] == [there]


def test_a_folder_that_is_gone_after_a_restart_is_one_sentence(
    widget, place, folder, wait, messages
):
    widget.close_work()
    folder.rename(folder.with_name("elsewhere"))
    again = place.open()
    wait(lambda: any("cannot be read" in words for words in messages()))
    assert again.worklist is None


# --------------------------------------------------------- together with Segment


@pytest.fixture
def both(place, widget, wait):
    segment = SegmentWidget(place.viewer, place.models)
    place.viewer.window.add_dock_widget(segment, name="Segment")
    yield SimpleNamespace(segment=segment, widget=widget)
    segment.session.close()


def kinds(place):
    return sorted(type(one).__name__ for one in place.viewer.layers)


def settled(both):
    return both.segment.session.state is SessionState.READY


def test_the_segment_dock_follows_and_old_layers_leave(both, place, wait):
    both.widget.go(1)
    wait(lambda: settled(both) and "lesion mask" in place.viewer.layers)
    both.widget.go(1)
    wait(lambda: "mole2.png" in place.viewer.layers)
    wait(lambda: "mole1.png" not in place.viewer.layers)
    wait(lambda: settled(both) and kinds(place) == ["Image", "Labels", "Points"])
    assert both.segment.form.image.value.name == "mole2.png"


def test_an_object_in_the_making_stays_and_comes_back(both, place, wait):
    both.widget.go(1)
    wait(lambda: settled(both) and "lesion mask" in place.viewer.layers)
    dock = SimpleNamespace(
        viewer=place.viewer,
        widget=both.segment,
        clicks=layer(place, "lesion"),
        mask=layer(place, "lesion mask"),
    )
    dock.clicks.add((24.0, 32.0))
    answered(dock, wait)
    before = dock.mask.data.copy()
    both.widget.go(1)
    wait(lambda: both.segment.form.image.value.name == "mole2.png" and settled(both))
    both.widget.go(-1)
    wait(lambda: both.segment.form.image.value.name == "mole1.png" and settled(both))
    np.testing.assert_array_equal(dock.mask.data, before)
    assert dock.mask.unique_id in [one.unique_id for one in place.viewer.layers]


def test_the_next_photograph_is_encoded_while_nobody_waits(both, wait, monkeypatch):
    asked = []
    monkeypatch.setattr(both.segment.session, "encode_ahead", asked.append)
    both.widget.go(1)
    wait(lambda: asked)
    first, second = asked[-1]
    worklist = both.widget.worklist
    np.testing.assert_array_equal(first, worklist.read(rows(both.widget)[1]))
    np.testing.assert_array_equal(second(), worklist.read(rows(both.widget)[2]))


# ----------------------------------------------------------------------------- ranking


def test_ranking_runs_beside_the_dock_and_its_findings_arrive(
    widget, place, wait, monkeypatch
):
    monkeypatch.setattr(worklist_ranking, "LOOK_INTERVAL", 100)
    ActiveModel(place.models).activate(ModelSpec("sam_tiny"))
    widget.form.rank_button.native.click()
    wait(lambda: widget._ranking.is_running)
    assert widget.form.rank_button.text == "Stop ranking"
    wait(lambda: all(one.uncertainty is not None for one in rows(widget)))
    wait(lambda: not widget._ranking.is_running)
    assert widget.form.rank_button.text == "Rank by uncertainty"


def test_ranking_can_be_stopped(widget, place, wait, messages):
    ActiveModel(place.models).activate(ModelSpec("sam_tiny"))
    widget.form.rank_button.native.click()
    wait(lambda: widget._ranking.is_running)
    widget.form.rank_button.native.click()
    wait(lambda: not widget._ranking.is_running)
    assert not any("ended early" in words for words in messages())


def test_a_ranking_that_fails_says_why(
    widget, folder, wait, messages, monkeypatch, tmp_path
):
    monkeypatch.setattr(worklist_ranking.sys, "executable", str(tmp_path / "gone"))
    widget.form.rank_button.native.click()
    wait(lambda: any("could not be started" in words for words in messages()))
    assert not widget._ranking.is_running
    monkeypatch.undo()
    folder.rename(folder.with_name("elsewhere"))
    widget._ranking.start(folder, root=tmp_path / "registry")
    wait(lambda: any("cannot be read" in words for words in messages()))


def test_a_project_is_a_worklist_too(place, tmp_path, wait):
    project = AnnotationProject.create(tmp_path / "project")
    project.add_image(draw_lesion(size=(48, 64)).image, source="one.jpg")
    widget = place.open()
    widget.open_folder(project.root)
    wait(lambda: names(widget) == ["one.jpg"])
    widget.go(1)
    wait(lambda: is_shown(place, "one.jpg"))
    assert isinstance(widget.worklist, Worklist)


def test_commands_of_the_palette_do_what_the_keys_do(widget, place, wait):
    viewer = place.viewer
    commands.worklist_next(viewer)
    wait(lambda: is_shown(place, "mole1.png"))
    commands.worklist_flag(viewer)
    wait(lambda: widget.current.status is Status.FLAGGED)
    commands.worklist_skip(viewer)
    wait(lambda: is_shown(place, "mole2.png"))
    commands.worklist_previous(viewer)
    assert widget.current.name == "mole2.png"  # what is skipped is passed over


def test_a_command_without_a_worklist_says_where_it_is(place, messages):
    commands.worklist_next(place.viewer)
    assert any("Worklist dock is closed" in words for words in messages())


def test_a_key_pressed_twice_at_once_takes_a_flag_back(widget, place, wait):
    widget.go(1)
    wait(lambda: is_shown(place, "mole1.png"))
    press(place, FLAG)
    press(place, FLAG)
    wait(lambda: len(list(widget.worklist.project.root.glob("worklist/marks"))) == 1)
    wait(lambda: not list(widget.worklist.project.root.glob("worklist/marks/*.json")))
    wait(lambda: rows(widget)[0].status is Status.NEW)


def test_the_project_of_the_folder_is_the_one_that_segment_saves_into(
    place, folder, wait
):
    segment = SegmentWidget(place.viewer, place.models)
    place.viewer.window.add_dock_widget(segment, name="Segment")
    widget = place.open()
    widget.open_folder(folder)
    wait(lambda: segment.form.project.native.currentText() == folder.name)
    segment.session.close()
