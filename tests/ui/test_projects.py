import json
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog, QInputDialog
from segmenting import CLICK, LONG, begun, click, drawn, expected_mask, layer
from tiny import train_a_little

from napari_glmedsa.activation import ActiveModel
from napari_glmedsa.adapters import load_adapter, save_adapter
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui.project_picker import CREATE, NONE, OPEN, ProjectPicker
from napari_glmedsa.ui.segment_widget import SegmentWidget

pytestmark = pytest.mark.ui


@pytest.fixture
def project(tmp_path) -> AnnotationProject:
    return AnnotationProject.create(tmp_path / "clinic")


@pytest.fixture
def recent(registry, monkeypatch) -> RecentProjects:
    monkeypatch.setenv("LOGNAME", "ada")
    return RecentProjects(registry.root)


@pytest.fixture
def remembered(recent, project) -> AnnotationProject:
    """A project that was in use when napari was closed."""
    recent.add(project.root)
    return project


def status(dock) -> str:
    return dock.widget.form.project_status.value


def shown_project(dock) -> str:
    return dock.widget.form.project.native.currentText()


def pick(dock, text: str) -> None:
    """Do what Qt does when a person picks an entry."""
    pick_in(dock.widget.form.project, text)


def pick_in(picker: ProjectPicker, text: str) -> None:
    (index,) = [
        i for i in range(picker.native.count()) if picker.native.itemText(i) == text
    ]
    picker.native.setCurrentIndex(index)
    picker.native.activated.emit(index)


def accept(dock, at, wait) -> None:
    before = drawn(dock, dock.widget._trio.mask.object_id).any()
    click(dock, at)
    wait(lambda: dock.widget.session.state is SessionState.READY)
    wait(lambda: drawn(dock, dock.widget._trio.mask.object_id).any() or before)
    dock.widget.form.accept_button.native.click()


def saved(dock, wait, n=1) -> None:
    wait(lambda: f"Saved to clinic ({n} annotated)" in status(dock))


def only_image(project) -> str:
    (image,) = project.annotated()
    return image


def paint(layer: Labels, at, label) -> None:
    """Paint with the user's brush."""
    layer.brush_size = 3
    layer.paint(at, label)


# ------------------------------------------------------------- accepting saves


def test_accept_saves_the_photograph_the_mask_and_where_it_came_from(
    remembered, ready, photo, wait
):
    click(ready, CLICK, wait=wait)
    click(ready, (5, 5), "background")
    wait(lambda: ready.widget.session.state is SessionState.READY)
    ready.widget.form.accept_button.native.click()
    saved(ready, wait)
    image = only_image(remembered)
    assert np.array_equal(remembered.image(image), photo)
    assert remembered.images()[0].source == "photo"
    assert np.array_equal(remembered.mask(image, 1), drawn(ready))
    (known,) = remembered.objects(image)
    assert known.point_coords == ((CLICK[1], CLICK[0]), (5.0, 5.0))
    assert known.point_labels == (1, 0)
    assert known.model == "sam_tiny+tiny_adapter"
    assert known.annotator == "ada"
    assert known.created
    assert not known.hand_edited


def test_every_accepted_object_is_saved_and_none_that_is_still_clicked(
    remembered, ready, wait
):
    accept(ready, CLICK, wait)
    accept(ready, (20, 20), wait)
    saved(ready, wait)
    click(ready, (70, 100))
    wait(lambda: drawn(ready, 3).any())
    image = only_image(remembered)
    wait(lambda: remembered.labels(image) == (1, 2))
    ready.widget._project.save()
    wait(lambda: not ready.widget._project_jobs._pending and "Saved" in status(ready))
    assert remembered.labels(image) == (1, 2)
    assert np.array_equal(remembered.mask(image, 2), drawn(ready, 2))


def test_a_mask_corrected_with_the_brush_is_called_hand_edited(remembered, ready, wait):
    click(ready, CLICK, wait=wait)
    outside = tuple(np.argwhere(~drawn(ready))[0])
    paint(ready.mask, outside, 1)
    ready.widget.form.accept_button.native.click()
    saved(ready, wait)
    (known,) = remembered.objects(only_image(remembered))
    assert known.hand_edited
    assert remembered.mask(only_image(remembered))[outside]


def test_painting_on_an_accepted_object_can_be_saved(remembered, ready, wait):
    accept(ready, CLICK, wait)
    saved(ready, wait)
    button = ready.widget.form.accept_button
    assert not button.enabled
    outside = tuple(np.argwhere(~drawn(ready))[0])
    paint(ready.mask, outside, 1)
    wait(lambda: button.enabled)
    assert button.text == "Save to project"
    button.native.click()
    wait(lambda: not button.enabled)
    assert button.text == "Accept"
    assert remembered.mask(only_image(remembered))[outside]
    ready.mask.undo()
    wait(lambda: button.enabled)
    button.native.click()
    wait(lambda: not button.enabled)
    assert not remembered.mask(only_image(remembered))[outside]


def test_hiding_the_mask_is_no_change_to_be_saved(remembered, ready, wait):
    accept(ready, CLICK, wait)
    saved(ready, wait)
    ready.mask.visible = False
    ready.mask.visible = True
    wait(lambda: ready.mask.visible)
    ready.widget._project._look_at_accepted()
    assert not ready.widget._project.is_behind


def test_erasing_every_accepted_object_takes_the_annotation_back(
    remembered, ready, wait
):
    accept(ready, CLICK, wait)
    saved(ready, wait)
    ready.mask.data[:] = 0
    ready.mask.refresh()
    wait(lambda: ready.widget.form.accept_button.enabled)
    ready.widget.form.accept_button.native.click()
    saved(ready, wait, n=0)
    assert remembered.annotated() == []


@pytest.mark.parametrize("size", ["same", "other"])
def test_another_photograph_in_the_layer_gets_none_of_the_former_outlines(
    remembered, ready, models, photo, wait, size
):
    accept(ready, CLICK, wait)
    saved(ready, wait)
    former = ready.mask.data.copy()
    first = only_image(remembered)
    outside = tuple(np.argwhere(former == 0)[0])
    paint(ready.mask, outside, 1)  # not saved yet
    flipped = np.flip(photo, 1).copy()
    flipped = flipped if size == "same" else flipped[10:]
    ready.image.data = flipped
    wait(lambda: remembered.mask(first)[outside])
    wait(lambda: "lesion mask" in ready.viewer.layers)
    assert not ready.mask.visible
    assert ready.mask.name == "lesion mask (former photograph)"
    assert np.array_equal(ready.mask.data > 0, remembered.mask(first))
    ready.mask = layer(ready, "lesion mask")
    assert not ready.mask.data.any()
    accept(ready, (20, 20), wait)
    saved(ready, wait, n=2)
    (second,) = set(remembered.annotated()) - {first}
    assert np.array_equal(remembered.image(second), flipped)
    assert np.array_equal(remembered.mask(second), drawn(ready))
    assert remembered.labels(second) == (1,)
    assert np.array_equal(remembered.image(first), photo)


def test_a_photograph_replaced_while_nobody_looks_is_noticed(
    remembered, ready, photo, wait
):
    """It was replaced once behind another image, and once without a dock."""
    accept(ready, CLICK, wait)
    saved(ready, wait)
    second = ready.viewer.add_image(np.flip(photo, 0).copy(), name="second")
    ready.widget.form.image.value = second.__wrapped__
    wait(lambda: ready.widget._trio and ready.widget._trio.image is second.__wrapped__)
    flipped = np.flip(photo, 1).copy()
    ready.image.data = flipped
    ready.widget.form.image.value = ready.image.__wrapped__
    wait(lambda: ready.widget._trio.image is ready.image.__wrapped__)
    wait(lambda: ready.widget._trio.mask.layer)
    assert ready.widget._trio.pixels is flipped
    assert not ready.widget._trio.mask.layer.data.any()
    ready.mask = ready.widget._trio.mask.layer
    accept(ready, (20, 20), wait)
    saved(ready, wait, n=2)
    ready.viewer.window.remove_dock_widget(ready.widget.native)
    wait(lambda: ready.widget._closed)
    ready.image.data = photo
    ready.viewer.layers.selection.active = ready.image.__wrapped__
    ready.widget = ready.open()
    wait(lambda: ready.widget._trio and ready.widget._trio.mask.layer)
    assert ready.widget._trio.mask.layer is not ready.mask
    ready.widget.session.close()


def test_what_was_painted_is_saved_when_the_user_goes_to_another_image(
    remembered, ready, photo, wait
):
    accept(ready, CLICK, wait)
    saved(ready, wait)
    outside = tuple(np.argwhere(~drawn(ready))[0])
    paint(ready.mask, outside, 1)
    second = ready.viewer.add_image(np.flip(photo, 1).copy(), name="second")
    ready.widget.form.image.value = second.__wrapped__
    wait(lambda: remembered.mask(only_image(remembered))[outside])


def test_without_a_project_accept_saves_nothing(ready, wait, project):
    accept(ready, CLICK, wait)
    wait(lambda: not ready.widget._project_jobs._pending)
    assert (status(ready), shown_project(ready)) == ("", NONE)
    assert project.images() == []


def test_a_click_is_answered_while_a_photograph_is_being_saved(
    remembered, ready, wait, monkeypatch
):
    wait(lambda: shown_project(ready) == "clinic")
    answered, save = threading.Event(), AnnotationProject.save_annotation

    def save_slowly(*arguments) -> None:
        assert answered.wait(LONG / 1000)
        save(*arguments)

    monkeypatch.setattr(AnnotationProject, "save_annotation", save_slowly)
    accept(ready, CLICK, wait)
    click(ready, (20, 20))
    wait(lambda: drawn(ready, 2).any())
    assert "Saving to clinic" in status(ready)
    answered.set()
    saved(ready, wait)
    assert remembered.labels(only_image(remembered)) == (1,)


# ------------------------------------------------------------- choosing a project


def test_the_project_is_remembered_over_restarts(remembered, dock, wait):
    wait(lambda: shown_project(dock) == "clinic")
    assert status(dock) == "Saving into clinic (0 annotated)."


def test_none_is_remembered_over_restarts(remembered, recent, dock, wait):
    wait(lambda: shown_project(dock) == "clinic")
    pick(dock, NONE)
    assert (shown_project(dock), status(dock)) == (NONE, "")
    assert recent.saves_into() is None
    assert dock.open().form.project.native.currentText() == NONE


def test_choosing_a_project_saves_what_was_accepted_before(
    project, ready, wait, monkeypatch, recent
):
    accept(ready, CLICK, wait)
    folder = str(project.root)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: folder)
    pick(ready, OPEN)
    saved(ready, wait)
    assert np.array_equal(project.mask(only_image(project)), drawn(ready))
    assert shown_project(ready) == "clinic"
    assert recent.saves_into() == project.root


def test_a_new_project_is_made_where_the_user_says(
    ready, wait, monkeypatch, tmp_path, recent
):
    folder = str(tmp_path / "brand new")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (folder, ""))
    pick(ready, CREATE)
    wait(lambda: status(ready) == "Saving into brand new (0 annotated).")
    accept(ready, CLICK, wait)
    wait(lambda: "Saved to brand new (1 annotated)" in status(ready))
    assert len(AnnotationProject.open(tmp_path / "brand new").annotated()) == 1


def test_a_dialog_that_is_called_off_changes_nothing(
    remembered, dock, wait, monkeypatch
):
    wait(lambda: shown_project(dock) == "clinic")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: ("", ""))
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: ("Eve", False))
    for text in (OPEN, CREATE, "Annotator: ada…"):
        pick(dock, text)
        assert shown_project(dock) == "clinic"
    assert "Annotator: ada…" in words(dock.widget.form.project)


def test_the_annotator_can_be_named(remembered, ready, wait, monkeypatch):
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: ("Dr. Grace", True))
    pick(ready, "Annotator: ada…")
    assert "Annotator: Dr. Grace…" in words(ready.widget.form.project)
    accept(ready, CLICK, wait)
    saved(ready, wait)
    (known,) = remembered.objects(only_image(remembered))
    assert known.annotator == "Dr. Grace"


def test_a_project_used_elsewhere_is_offered_here(dock, wait, recent, project):
    assert "clinic" not in words(dock.widget.form.project)
    recent.add(project.root)
    wait(lambda: "clinic" in words(dock.widget.form.project))
    assert shown_project(dock) == NONE


def words(picker: ProjectPicker) -> list[str]:
    return [picker.native.itemText(i) for i in range(picker.native.count())]


def test_projects_of_one_name_are_told_apart(qtbot, tmp_path):
    picker = ProjectPicker()
    qtbot.addWidget(picker.native)
    folders = (tmp_path / "a" / "lesions", tmp_path / "b" / "lesions")
    picker.offer(folders, annotator="ada")
    opened = []
    picker.opened.connect(opened.append)
    pick_in(picker, f"lesions ({tmp_path / 'b'})")
    assert opened == [folders[1]]


# ------------------------------------------------------------- masks come back


def test_a_photograph_that_is_in_the_project_gets_its_masks_back(
    remembered, ready, photo, wait
):
    accept(ready, CLICK, wait)
    accept(ready, (20, 20), wait)
    wait(lambda: len(remembered.labels(only_image(remembered))) == 2)
    saved(ready, wait)
    before = ready.mask.data.copy()
    provenances = remembered.objects(only_image(remembered))
    ready.viewer.layers.clear()
    ready.viewer.add_image(photo.copy(), name="again")
    wait(lambda: "lesion mask" in ready.viewer.layers)
    ready.clicks, ready.mask = layer(ready, "lesion"), layer(ready, "lesion mask")
    wait(lambda: np.array_equal(ready.mask.data, before))
    assert status(ready) == "2 lesions came back from clinic."
    assert ready.widget._trio.mask.object_id == 3
    assert not ready.widget.form.accept_button.enabled
    accept(ready, (70, 100), wait)
    saved(ready, wait)
    image = only_image(remembered)
    assert remembered.labels(image) == (1, 2, 3)
    assert remembered.objects(image)[:2] == provenances
    assert np.array_equal(remembered.label_map(image), ready.mask.data)


def test_masks_come_back_around_an_object_that_is_being_clicked(
    remembered, ready, photo, wait
):
    accept(ready, CLICK, wait)
    saved(ready, wait)
    before = drawn(ready).copy()
    ready.viewer.layers.clear()
    wait(lambda: not remembered.images_in_work())
    pick(ready, NONE)
    ready.viewer.add_image(photo.copy(), name="again")
    wait(lambda: "lesion mask" in ready.viewer.layers)
    ready.clicks, ready.mask = layer(ready, "lesion"), layer(ready, "lesion mask")
    click(ready, CLICK, wait=wait)
    assert np.array_equal(drawn(ready), before)
    pick(ready, "clinic")
    wait(lambda: "1 lesion came back" in status(ready))
    assert np.array_equal(drawn(ready, 2), before)
    assert ready.widget._trio.mask.object_id == 1


def test_a_deleted_mask_layer_does_not_empty_the_project(remembered, ready, wait):
    accept(ready, CLICK, wait)
    saved(ready, wait)
    earlier = drawn(ready).copy()
    ready.viewer.layers.remove("lesion mask")
    ready.mask = ready.widget._trio.mask.ensure()
    paint(ready.mask, tuple(np.argwhere(~earlier)[0]), 1)
    new = drawn(ready) & ~earlier
    ready.widget._refresh()
    ready.widget.form.accept_button.native.click()
    wait(lambda: status(ready).startswith("Not saved: meanwhile, ada outlined"))
    ready.widget.form.replace_button.native.click()
    wait(lambda: "1 lesion came back" in status(ready))
    image = only_image(remembered)
    assert np.array_equal(remembered.mask(image), earlier | new)
    assert np.array_equal(ready.mask.data > 0, earlier | new)
    assert remembered.objects(image)[1].point_coords == ((CLICK[1], CLICK[0]),)


def test_two_docks_on_one_image_keep_what_both_accepted(remembered, ready, wait):
    second = ready.open()
    wait(lambda: second.session.state is SessionState.READY)
    accept(ready, CLICK, wait)
    saved(ready, wait)
    wait(lambda: second.session.state is SessionState.READY)
    click(ready, (20, 20))
    wait(lambda: drawn(ready, 2).any())
    wait(lambda: second.session.state is SessionState.READY)
    second.form.accept_button.native.click()
    wait(lambda: remembered.labels(only_image(remembered)) == (1, 2))
    second.session.close()


# ------------------------------------------------------------- what goes wrong


def test_a_save_that_fails_is_one_sentence_and_can_be_repeated(
    remembered, ready, wait, messages
):
    wait(lambda: begun(ready, remembered))
    away = remembered.root.with_name("away")
    remembered.root.rename(away)
    accept(ready, CLICK, wait)
    wait(lambda: "moved" in status(ready))
    unwritten, unsaved = messages()  # the click, then the lesion
    assert "not being written" in unwritten
    assert unsaved == status(ready)
    assert drawn(ready).any()
    button = ready.widget.form.accept_button
    assert (button.enabled, button.text) == (True, "Save to project")
    away.rename(remembered.root)
    button.native.click()
    saved(ready, wait)
    assert np.array_equal(remembered.mask(only_image(remembered)), drawn(ready))
    assert (button.enabled, button.text) == (False, "Accept")


def test_the_next_accept_saves_what_failed_before(remembered, ready, wait, messages):
    wait(lambda: begun(ready, remembered))
    away = remembered.root.with_name("away")
    remembered.root.rename(away)
    accept(ready, CLICK, wait)
    wait(lambda: "moved" in status(ready))
    away.rename(remembered.root)
    accept(ready, (20, 20), wait)
    saved(ready, wait)
    assert remembered.labels(only_image(remembered)) == (1, 2)


def test_a_project_that_cannot_be_written_is_one_sentence(
    remembered, ready, wait, messages
):
    wait(lambda: begun(ready, remembered))
    for part in ("images", "masks"):  # not even the system's administrator can write
        (remembered.root / part).rmdir()
        (remembered.root / part).write_text("a file")
    accept(ready, CLICK, wait)
    wait(lambda: "cannot be written" in status(ready))
    assert messages() == [status(ready)]
    assert drawn(ready).any()


@pytest.mark.parametrize("what", ["newer", "gone", "damaged"])
def test_a_remembered_project_that_does_not_open_is_one_sentence(
    remembered, make_napari_viewer_proxy, models, wait, messages, what
):
    card = remembered.root / "project.json"
    if what == "newer":
        card.write_text(
            json.dumps({**json.loads(card.read_text()), "schema_version": 99})
        )
    elif what == "gone":
        remembered.root.rename(remembered.root.with_name("away"))
    else:
        card.write_text("{")
    viewer = make_napari_viewer_proxy()
    widget = SegmentWidget(viewer, models)
    viewer.window.add_dock_widget(widget)
    wait(lambda: messages())
    assert messages() == [widget.form.project_status.value]
    assert {"newer": "99", "gone": "moved", "damaged": "damaged"}[what] in messages()[0]
    assert widget.form.project.native.currentText() == NONE
    widget.session.close()


def test_a_project_that_does_not_open_leaves_the_former_one(
    remembered, dock, wait, messages, monkeypatch, tmp_path
):
    wait(lambda: shown_project(dock) == "clinic")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    pick(dock, OPEN)
    wait(lambda: messages())
    assert "not an annotation project" in status(dock)
    assert shown_project(dock) == "clinic"


def test_closing_the_dock_at_once_still_saves(remembered, ready, wait):
    wait(lambda: shown_project(ready) == "clinic")
    accept(ready, CLICK, wait)
    ready.viewer.window.remove_dock_widget(ready.widget.native)
    wait(lambda: ready.widget._closed)
    wait(lambda: remembered.annotated())


NAPARI_THAT_ENDS = """
import sys, threading, time
from pathlib import Path
from napari_glmedsa.jobs import JobQueue
from napari_glmedsa.ui.completion import to_the_end

def save(job):
    time.sleep(0.5)
    Path(sys.argv[1]).touch()

run = to_the_end(save, threading.Event())
JobQueue().submit("save", run, on_done=print, on_error=print)
"""


def test_a_program_that_ends_at_once_still_saves(tmp_path):
    file = tmp_path / "saved"
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", NAPARI_THAT_ENDS, file], check=True)
    assert file.exists()
    assert time.monotonic() - started < 60  # and does not wait for longer than needed


# ------------------------------------------------------------- models come and go


def add_adapter(registry: ModelRegistry, name: str) -> ModelSpec:
    """Do what a finished training does."""
    card = registry.adapters("sam_tiny")[0]
    sam = registry.load_sam("sam_tiny", device="cpu")
    load_adapter(registry.adapter_path(card.name), sam, base_sha256=card.base_sha256)
    train_a_little(sam, seed=7)
    path = registry.root / "adapters" / name / "adapter.safetensors"
    path.parent.mkdir()
    save_adapter(path, sam.image_encoder, replace(card, name=name))
    return ModelSpec("sam_tiny", name)


def test_a_new_adapter_is_offered_and_the_picked_model_stays(ready, models, wait):
    picked = ready.widget.form.model.value
    new = add_adapter(models, "mine")
    wait(lambda: new in ready.widget.form.model.choices)
    assert ready.widget.form.model.value == picked
    assert ready.widget.session.state is SessionState.READY


def test_an_activated_adapter_is_picked_and_answers_the_next_click(
    ready, models, photo, wait
):
    former = expected_mask(models, photo, [CLICK], [1])
    new = add_adapter(models, "mine")
    ActiveModel(models).activate(new)
    wait(lambda: ready.widget.form.model.value == new)
    click(ready, CLICK)
    wanted = expected_mask(models, photo, [CLICK], [1], new)
    assert not np.array_equal(wanted, former)
    wait(lambda: np.array_equal(drawn(ready), wanted))


def test_the_active_model_is_the_first_choice_of_a_new_dock(
    models, make_napari_viewer_proxy
):
    plain = ModelSpec("sam_tiny")
    ActiveModel(models).activate(plain)
    widget = SegmentWidget(make_napari_viewer_proxy(), models)
    assert widget.form.model.value == plain
    widget.session.close()


def test_a_model_picked_by_hand_stays_until_another_one_is_activated(
    dock, models, wait
):
    picker, plain = dock.widget.form.model, ModelSpec("sam_tiny")
    new = add_adapter(models, "mine")
    ActiveModel(models).activate(ModelSpec("sam_tiny", "tiny_adapter"))
    ActiveModel(models).activate(new)
    wait(lambda: picker.value == new)
    picker.value = plain
    another = add_adapter(models, "another")
    wait(lambda: another in picker.choices)
    assert picker.value == plain
    ActiveModel(models).activate(new)
    wait(lambda: picker.value == new)
    former = ActiveModel(models).roll_back()
    wait(lambda: picker.value == former)


def test_an_adapter_that_was_deleted_is_no_longer_offered(dock, models, wait):
    new = add_adapter(models, "mine")
    wait(lambda: new in dock.widget.form.model.choices)
    dock.widget.form.model.value = new
    (models.root / "adapters" / "mine" / "adapter.safetensors").unlink()
    wait(lambda: new not in dock.widget.form.model.choices)
    assert dock.widget.form.model.value in models.specs()
