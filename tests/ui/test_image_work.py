"""What is done to an image is written down as it happens, and comes back."""

import errno
import os
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from segmenting import CLICK, TinyModels, begun, click, drawn, layer

from napari_glmedsa.errors import OutputError
from napari_glmedsa.files import read_json, write_json
from napari_glmedsa.project import AnnotationProject, Claim
from napari_glmedsa.project.journal import Journal
from napari_glmedsa.project.photographs import image_id
from napari_glmedsa.project.shelf import Shelf
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui import convert, work_desk
from napari_glmedsa.ui.segment_widget import SegmentWidget

pytestmark = pytest.mark.ui


@pytest.fixture
def project(tmp_path):
    return AnnotationProject.create(tmp_path / "clinic")


@pytest.fixture
def image(photo):
    return image_id(photo)


def settle(dock, wait) -> None:
    wait(lambda: dock.widget.session.state is SessionState.READY)
    wait(lambda: not dock.widget._bench.is_waiting)
    idle(dock, wait)


def idle(dock, wait) -> None:
    jobs = dock.widget._project_jobs
    wait(lambda: not jobs._pending and jobs._running is None)


def accept_a_lesion(work, project, image, wait) -> None:
    """Click, accept, and wait until the project has it."""
    click(work, CLICK, wait=wait)
    settle(work, wait)
    work.widget.act("accept")
    wait(lambda: project.is_annotated(image))
    idle(work, wait)
    wait(lambda: "Saved" in work.widget._project.status)


def state(dock) -> tuple:
    trio, history = dock.widget._trio, dock.widget._bench.episode.history
    objects = {label: one.provenance for label, one in trio.mask.objects.items()}
    return (
        trio.mask.layer.data.tobytes(),
        convert.fingerprint(trio.prompts()),
        trio.mask.object_id,
        objects,
        (history.position, [step.name for step in history.steps]),
    )


@pytest.fixture
def work(ready, project, wait):
    """The dock with a photograph and a project that knows of it."""
    ready.widget.form.project.opened.emit(project.root)
    wait(lambda: begun(ready, project))
    return ready


@pytest.fixture
def restart(make_napari_viewer_proxy, registry, wait):
    """Open the dock in another viewer, as after a crash of the first."""
    widgets = []

    def restart(dock):
        # As if its program were gone: nothing is tidied up, and nobody is asked.
        dock.widget._work._heartbeat.stop()
        dock.widget._work._found.claim.path.unlink(missing_ok=True)
        viewer = make_napari_viewer_proxy()
        widget = SegmentWidget(viewer, TinyModels(registry))
        viewer.window.add_dock_widget(widget, name="Segment")
        widgets.append(widget)
        dock.viewer, dock.widget = viewer, widget
        return dock

    yield restart
    for widget in widgets:
        widget.session.close()


@pytest.fixture
def again(restart, photo, project, wait):
    """Open the photograph in another viewer, as after a crash of the first."""

    def again(dock, project=project, *, wait_for_work=True):
        restart(dock)
        dock.viewer.add_image(photo, name="photo")
        if wait_for_work:
            return at_work(dock, project, wait)
        wait(lambda: dock.widget.session.state is SessionState.READY)
        dock.clicks, dock.mask = layer(dock, "lesion"), layer(dock, "lesion mask")
        return dock

    return again


def at_work(dock, project, wait):
    """Wait until the photograph is there, and what was done on it."""
    wait(lambda: "lesion mask" in dock.viewer.layers)
    wait(lambda: begun(dock, project))
    settle(dock, wait)
    dock.clicks, dock.mask = layer(dock, "lesion"), layer(dock, "lesion mask")
    return dock


def test_a_click_is_in_the_journal_at_once(work, project, image, wait):
    assert project.images_in_work() == []
    click(work, CLICK, wait=wait)
    assert project.images_in_work() == [image]
    found = project.journal(image).read()
    assert np.array_equal(found.label_map, work.mask.data)
    assert [step.name for step in found.history.steps] == ["click"]


def test_after_a_crash_all_is_as_it_was(work, again, wait):
    click(work, CLICK, wait=wait)
    click(work, (20.0, 100.0), "background")
    settle(work, wait)
    work.widget.act("accept")
    click(work, (5.0, 5.0))
    click(work, (5.0, 9.0))
    settle(work, wait)
    work.widget.act("undo")
    settle(work, wait)
    before = state(work)
    work = again(work)
    assert state(work) == before
    work.widget.act("redo")
    settle(work, wait)
    assert len(work.clicks.data) == 2
    for _ in range(5):
        work.widget.act("undo")
    assert not work.mask.data.any()


def test_clicks_made_before_the_work_is_back_are_added_to_it(
    work, again, project, wait, monkeypatch
):
    click(work, CLICK, wait=wait)
    settle(work, wait)
    work.widget.act("accept")
    click(work, (20.0, 100.0))
    settle(work, wait)
    steps = work.widget._bench.episode.history.position
    come_back = threading.Event()
    begin = work_desk.begin

    def begin_late(*arguments, **options):
        come_back.wait(30)
        return begin(*arguments, **options)

    monkeypatch.setattr(work_desk, "begin", begin_late)
    restarted = again(work, project, wait_for_work=False)
    click(restarted, (5.0, 5.0), wait=wait)
    come_back.set()
    at_work(restarted, project, wait)
    assert [tuple(at) for at in restarted.clicks.data] == [(20, 100), (5, 5)]
    assert restarted.widget._bench.episode.history.position == steps + 1
    assert 1 in restarted.widget._trio.mask.objects
    restarted.widget.act("undo")
    assert [tuple(at) for at in restarted.clicks.data] == [(20, 100)]


def test_after_a_crash_the_proposals_are_there_to_be_chosen_from(work, again, wait):
    click(work, CLICK, wait=wait)
    settle(work, wait)
    work = again(work)
    wait(lambda: work.widget._bench.answer)
    work.widget.act("choose_1")
    wait(lambda: work.widget._trio.choice == 1)


def test_what_was_accepted_and_not_saved_is_saved_after_a_crash(
    work, again, project, image, wait, monkeypatch
):
    click(work, CLICK, wait=wait)
    settle(work, wait)
    monkeypatch.setattr(work.widget._project, "save", lambda: None)
    work.widget.act("accept")
    idle(work, wait)
    assert not project.is_annotated(image)
    again(work)
    wait(lambda: project.is_annotated(image))


def test_a_lesion_deleted_before_a_crash_does_not_come_back(
    work, again, project, image, wait, monkeypatch
):
    accept_a_lesion(work, project, image, wait)
    monkeypatch.setattr(work.widget._project, "save", lambda: None)
    work.widget.act("delete")
    work = again(work)
    wait(lambda: not project.is_annotated(image))
    assert not work.mask.data.any()


def test_somebody_elses_outlines_are_not_overwritten_after_a_crash(
    work, again, project, image, wait, messages
):
    accept_a_lesion(work, project, image, wait)
    theirs = project.label_map(image).copy()
    theirs[:3] = 1
    project.save_annotation(image, theirs, project.objects(image))
    again(work)
    assert any("Somebody else has changed" in message for message in messages())
    assert np.array_equal(project.label_map(image), theirs)


def test_an_image_that_was_only_looked_at_is_not_in_work(work, project, wait):
    click(work, CLICK, wait=wait)
    settle(work, wait)
    work.widget.act("undo")
    work.viewer.layers.clear()
    wait(lambda: project.images_in_work() == [])


def test_the_claim_is_given_back_when_the_image_is_left(work, project, image, wait):
    assert project.claim(image, annotator="B").holder() is not None
    work.viewer.layers.clear()
    wait(lambda: project.claim(image, annotator="B").holder() is None)


def test_who_works_on_an_image_is_named_and_can_be_replaced(
    ready, project, image, wait
):
    theirs = project.claim(image, annotator="Berta")
    assert theirs.take() is None
    ready.widget.form.project.opened.emit(project.root)
    wait(lambda: ready.widget._work.holder)
    form = ready.widget.form
    assert "Berta" in form.project_status.value
    click(ready, CLICK, wait=wait)
    assert project.images_in_work() == []
    form.take_over_button.native.click()
    wait(lambda: begun(ready, project))
    assert not theirs.is_ours
    wait(lambda: project.images_in_work() == [image])


def test_an_image_taken_over_by_somebody_else_is_not_written_any_more(
    work, project, image, wait, messages
):
    click(work, CLICK, wait=wait)
    settle(work, wait)
    assert project.claim(image, annotator="Berta").take(force=True) is None
    work.widget._work._renew()
    wait(lambda: work.widget._work.holder)
    assert any("Berta" in message for message in messages())
    before = project.journal(image).path.read_bytes()
    click(work, (20.0, 100.0), "background")
    settle(work, wait)
    assert project.journal(image).path.read_bytes() == before


def test_a_journal_that_cannot_be_written_is_told_once_and_work_goes_on(
    work, project, image, wait, messages, monkeypatch
):
    click(work, CLICK, wait=wait)
    settle(work, wait)
    journal = project.journal(image).path
    moved = journal.rename(journal.with_suffix(".moved"))
    click(work, (20.0, 100.0), "background")
    click(work, (10.0, 100.0), "background")
    settle(work, wait)
    told = [one for one in messages() if "being written" in one or "taken over" in one]
    assert len(told) == 1
    assert drawn(work).any() or len(work.clicks.data) == 3
    assert moved.exists()


def test_work_comes_back_even_if_there_is_no_room_to_go_on_writing_it(
    work, again, project, image, wait, monkeypatch
):
    click(work, CLICK, wait=wait)
    click(work, (20.0, 100.0), "background")
    settle(work, wait)
    before = state(work)

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Journal, "_write_whole", refuse)
        work = again(work)
        assert state(work) == before
    work.widget._work._save()
    assert len(project.journal(image).read().history) == before[-1][0]


def test_the_project_of_the_worklist_is_opened_with_its_image(
    dock, photo, project, wait
):
    marks = {"image_id": image_id(photo), "project": str(project.root), "path": "a.png"}
    dock.viewer.add_image(photo, name="a", metadata={"napari_glmedsa": marks})
    wait(lambda: begun(dock, project))
    assert "clinic" in dock.widget.form.project_status.value


# ------------------------------------------------------------- who else is at work


def test_nothing_is_saved_over_who_works_on_an_image_before_it_is_taken_over(
    ready, project, image, wait, messages
):
    theirs = project.claim(image, annotator="Berta")
    theirs.take()
    ready.widget.form.project.opened.emit(project.root)
    wait(lambda: ready.widget._work.holder)
    click(ready, CLICK, wait=wait)
    settle(ready, wait)
    ready.widget.act("accept")
    idle(ready, wait)
    assert not project.is_annotated(image)
    assert any("Berta" in message for message in messages())
    assert ready.widget.form.accept_button.text == "Save to project"
    ready.widget.form.take_over_button.native.click()
    wait(lambda: project.is_annotated(image))


def test_an_image_that_somebody_leaves_is_free_at_once_for_who_waits(
    ready, project, image, wait
):
    theirs = project.claim(image, annotator="Berta")
    theirs.take()
    ready.widget.form.project.opened.emit(project.root)
    wait(lambda: ready.widget._work.holder)
    theirs.release()
    ready.widget._work._renew()
    wait(lambda: begun(ready, project))
    assert "Berta" not in ready.widget.form.project_status.value


def test_a_holder_who_is_silent_for_long_is_said_to_be_perhaps_gone(
    ready, project, image, wait, monkeypatch
):
    theirs = project.claim(image, annotator="Berta")
    theirs.take()
    document = read_json(theirs.path)
    document["process"]["host"] = "elsewhere"
    write_json(theirs.path, document)
    long_ago = time.time() - 600
    os.utime(theirs.path, (long_ago, long_ago))
    ready.widget.form.project.opened.emit(project.root)
    wait(lambda: ready.widget._work.holder)
    words = ready.widget.form.project_status.value
    assert "Berta on elsewhere, last heard of 10 min ago" in words
    assert "Perhaps nobody is there any more." in words


def test_outlines_that_somebody_accepted_meanwhile_are_replaced_only_when_told_to(
    work, project, image, wait
):
    click(work, CLICK, wait=wait)
    settle(work, wait)
    work.widget.act("accept")
    wait(lambda: "Saved" in work.widget._project.status)
    mine, theirs = project.label_map(image), project.label_map(image).copy()
    theirs[:3] = 1
    who = [replace(project.objects(image)[0], annotator="Berta")]
    project.save_annotation(image, theirs, who)
    click(work, (5.0, 5.0))
    settle(work, wait)
    work.widget.act("accept")
    form = work.widget.form
    wait(lambda: "Berta outlined 1 lesion otherwise" in form.project_status.value)
    assert np.array_equal(project.label_map(image), theirs)
    form.replace_button.native.click()
    wait(lambda: "Saved" in work.widget._project.status)
    assert np.array_equal(project.label_map(image) == 1, mine == 1)
    assert not form.replace_button.native.isVisible()


# ------------------------------------------------------------- without a project


def test_without_a_project_nothing_is_lost_either(ready, again, wait):
    wait(lambda: begun(ready))
    click(ready, CLICK, wait=wait)
    settle(ready, wait)
    ready.widget.act("accept")
    click(ready, (20.0, 100.0), "background")
    settle(ready, wait)
    before = state(ready)
    again(ready, None)
    assert state(ready) == before


def test_what_was_done_without_a_project_goes_into_the_one_that_is_chosen(
    ready, project, image, registry, wait
):
    wait(lambda: begun(ready))
    click(ready, CLICK, wait=wait)
    settle(ready, wait)
    shelf = Shelf(registry.root / "unfinished")
    assert shelf.images_in_work() == [image]
    before = state(ready)
    ready.widget.form.project.opened.emit(project.root)
    wait(lambda: begun(ready, project))
    wait(lambda: shelf.images_in_work() == [])
    assert project.images_in_work() == [image]
    assert state(ready) == before


def test_what_was_done_while_a_project_was_away_goes_into_it_later(
    work, again, project, image, wait, messages
):
    click(work, CLICK, wait=wait)
    settle(work, wait)
    work.widget.act("accept")
    wait(lambda: "Saved" in work.widget._project.status)
    work.viewer.layers.clear()
    idle(work, wait)
    away = project.root.with_name("away")
    project.root.rename(away)
    again(work, None)
    click(work, (5.0, 5.0))
    settle(work, wait)
    work.widget.act("accept")
    idle(work, wait)
    before = state(work)
    away.rename(project.root)
    again(work)
    assert state(work)[-1] == before[-1]
    idle(work, wait)
    assert project.is_annotated(image)


def test_the_work_on_a_project_that_cannot_be_written_to_is_kept_elsewhere(
    ready, project, image, registry, wait, messages
):
    (project.root / "work").write_text("a file")  # not even root can write into it
    ready.widget.form.project.opened.emit(project.root)
    wait(lambda: any("cannot be written to" in message for message in messages()))
    click(ready, CLICK, wait=wait)
    settle(ready, wait)
    shelf = Shelf(registry.root / "unfinished")
    wait(lambda: shelf.images_in_work() == [image])
    assert np.array_equal(shelf.journal(image).read().label_map, ready.mask.data)


def test_work_from_the_shelf_is_put_aside_for_newer_work_and_not_removed(
    ready, restart, photo, project, image, registry, wait, monkeypatch
):
    wait(lambda: begun(ready))
    click(ready, CLICK, wait=wait)
    settle(ready, wait)
    shelf = Shelf(registry.root / "unfinished")
    before = shelf.journal(image).path.read_bytes()
    restart(ready)
    ready.widget.form.project.opened.emit(project.root)
    idle(ready, wait)
    wait(lambda: ready.widget._project._desk is not None)
    may_begin, begin = threading.Event(), work_desk.begin

    def wait_first(*arguments, **options):
        assert may_begin.wait(30)
        return begin(*arguments, **options)

    monkeypatch.setattr(work_desk, "begin", wait_first)
    ready.viewer.add_image(photo, name="photo")
    wait(lambda: "lesion mask" in ready.viewer.layers)
    ready.clicks, ready.mask = layer(ready, "lesion"), layer(ready, "lesion mask")
    ready.mask.paint((20, 100), 1)  # before it is known what was done on it
    painted = ready.mask.data.copy()
    may_begin.set()
    wait(lambda: begun(ready, project))
    settle(ready, wait)
    assert np.array_equal(ready.mask.data, painted)
    assert shelf.images_in_work() == []
    (aside,) = (registry.root / "unfinished").rglob("*.aside")
    assert aside.read_bytes() == before


def test_work_comes_back_from_a_project_that_must_not_be_written_to_any_more(
    work, again, project, wait, monkeypatch
):
    click(work, CLICK, wait=wait)
    settle(work, wait)
    before = state(work)
    take = Claim.take

    def refuse(claim, **options):
        if project.root in claim.path.parents:
            raise OutputError("It must not be written to.")
        return take(claim, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Claim, "take", refuse)
        again(work, None)
        assert state(work) == before
        click(work, (5.0, 5.0))
        settle(work, wait)
        before = state(work)
    again(work)  # what was done last counts, wherever it is
    assert state(work) == before


def test_leaving_before_a_lesion_could_be_accepted_is_said(
    work, wait, messages, monkeypatch
):
    click(work, CLICK, wait=wait)
    settle(work, wait)
    monkeypatch.setattr(work.widget.session, "set_prompts", lambda _: None)
    click(work, (5.0, 5.0))
    work.widget.act("accept")
    work.viewer.layers.clear()
    wait(lambda: any("Not accepted" in message for message in messages()))


# ------------------------------------------------------------- back to the photograph


@pytest.fixture
def from_file(dock, photo, tmp_path, wait):
    """The dock with a photograph that was read from a file."""
    path = tmp_path / "mole.png"
    Image.fromarray(photo).save(path)
    dock.viewer.open(path, plugin="napari")
    at_work(dock, None, wait)
    return dock


def go_on(dock, project, wait):
    """Press the button that leads back."""
    form = dock.widget.form
    wait(lambda: form.continue_button.native.isVisibleTo(form.native))
    form.continue_button.native.click()
    return at_work(dock, project, wait)


def test_after_a_restart_the_photograph_is_offered_with_all_that_was_done(
    from_file, restart, wait
):
    click(from_file, CLICK, wait=wait)
    settle(from_file, wait)
    before = state(from_file)
    dock = restart(from_file)
    wait(lambda: "1 step" in dock.widget.form.hint.value)
    assert dock.widget.form.hint.value.startswith("You were at mole.png")
    go_on(dock, None, wait)
    assert state(dock) == before
    assert not dock.widget.form.continue_button.native.isVisible()


def test_a_photograph_from_no_file_is_offered_as_well(ready, restart, photo, wait):
    wait(lambda: begun(ready))
    click(ready, CLICK, wait=wait)
    settle(ready, wait)
    before = state(ready)
    go_on(restart(ready), None, wait)
    assert state(ready) == before
    assert np.array_equal(ready.widget._trio.pixels, photo)


def test_a_photograph_of_a_project_is_offered_after_its_file_is_gone(
    from_file, restart, project, tmp_path, wait
):
    from_file.widget.form.project.opened.emit(project.root)
    wait(lambda: begun(from_file, project))
    click(from_file, CLICK, wait=wait)
    settle(from_file, wait)
    from_file.widget.act("accept")
    wait(lambda: "Saved" in from_file.widget._project.status)
    click(from_file, (5.0, 5.0))
    settle(from_file, wait)
    before = state(from_file)
    (tmp_path / "mole.png").unlink()
    go_on(restart(from_file), project, wait)
    assert state(from_file) == before


def test_a_photograph_that_is_nowhere_any_more_is_one_sentence(
    from_file, restart, tmp_path, wait, messages
):
    click(from_file, CLICK, wait=wait)
    (tmp_path / "mole.png").unlink()
    dock = restart(from_file)
    form = dock.widget.form
    wait(lambda: form.continue_button.native.isVisibleTo(form.native))
    form.continue_button.native.click()
    wait(lambda: any("not where it was" in message for message in messages()))
    assert len(dock.viewer.layers) == 0


def test_the_first_start_offers_nothing(dock, wait):
    idle(dock, wait)
    assert dock.widget.form.hint.value.startswith("Open a photograph")
    assert not dock.widget.form.continue_button.native.isVisible()


# ------------------------------------------------------------- all is done


def test_an_image_is_no_longer_in_work_when_all_is_accepted_and_it_is_left(
    work, project, image, wait
):
    click(work, CLICK, wait=wait)
    settle(work, wait)
    work.widget.act("accept")
    wait(lambda: "Saved" in work.widget._project.status)
    assert project.images_in_work() == [image]
    work.viewer.layers.clear()
    wait(lambda: project.images_in_work() == [])
    assert project.is_annotated(image)


def test_removing_every_layer_forgets_nothing(work, again, project, image, wait):
    click(work, CLICK, wait=wait)
    settle(work, wait)
    before = state(work)
    work.viewer.layers.clear()
    idle(work, wait)
    assert project.images_in_work() == [image]
    work.viewer.add_image(work.image.data.copy(), name="photo")
    at_work(work, project, wait)
    assert state(work) == before
