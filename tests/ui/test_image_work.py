"""What is done to an image is written down as it happens, and comes back."""

import numpy as np
import pytest
from segmenting import CLICK, TinyModels, click, drawn, layer

from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.project.photographs import image_id
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui import convert
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
    wait(lambda: ready.widget._work._claim)
    return ready


@pytest.fixture
def again(make_napari_viewer_proxy, photo, registry, project, wait):
    """Open the photograph in another viewer, as after a crash of the first."""
    widgets = []

    def again(dock):
        # As if its program were gone: nothing is tidied up, and nobody is asked.
        dock.widget._work._heartbeat.stop()
        dock.widget._work._claim.path.unlink(missing_ok=True)
        viewer = make_napari_viewer_proxy()
        widget = SegmentWidget(viewer, TinyModels(registry))
        viewer.window.add_dock_widget(widget, name="Segment")
        widgets.append(widget)
        viewer.add_image(photo, name="photo")
        dock.viewer, dock.widget = viewer, widget
        wait(lambda: "lesion mask" in viewer.layers)
        wait(lambda: widget._work._claim)
        settle(dock, wait)
        dock.clicks, dock.mask = layer(dock, "lesion"), layer(dock, "lesion mask")
        return dock

    yield again
    for widget in widgets:
        widget.session.close()


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
    click(work, CLICK, wait=wait)
    settle(work, wait)
    work.widget.act("accept")
    wait(lambda: project.is_annotated(image))
    idle(work, wait)
    wait(lambda: "Saved" in work.widget._project.status)
    monkeypatch.setattr(work.widget._project, "save", lambda: None)
    work.widget.act("delete")
    work = again(work)
    wait(lambda: not project.is_annotated(image))
    assert not work.mask.data.any()


def test_somebody_elses_outlines_are_not_overwritten_after_a_crash(
    work, again, project, image, wait, messages
):
    click(work, CLICK, wait=wait)
    settle(work, wait)
    work.widget.act("accept")
    wait(lambda: project.is_annotated(image))
    idle(work, wait)
    wait(lambda: "Saved" in work.widget._project.status)
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
    wait(lambda: ready.widget._work._claim)
    assert ready.widget._work.holder is None
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


def test_the_project_of_the_worklist_is_opened_with_its_image(
    dock, photo, project, wait
):
    marks = {"image_id": image_id(photo), "project": str(project.root), "path": "a.png"}
    dock.viewer.add_image(photo, name="a", metadata={"napari_glmedsa": marks})
    wait(lambda: dock.widget._work._claim)
    assert "clinic" in dock.widget.form.project_status.value
