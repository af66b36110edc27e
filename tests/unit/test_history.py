"""What was done is undone in its order, deep and by name."""

import numpy as np
import pytest

from napari_glmedsa.history import Document, History, Patch, Sheet, Step


@pytest.fixture
def document():
    return Document(np.zeros((20, 30), np.uint16))


def paint(document, at, name="brush", **record):
    document.label_map[at] = 1
    return document.record(name, **record)


def test_a_thousand_steps_are_undone_and_done_again(document):
    for number in range(600):
        paint(document, np.unravel_index(number, (20, 30)))
        document.record("click", Sheet(object_id=number + 1))
    full = document.label_map.copy()
    assert len(document.history) == 1200
    while document.undo():
        pass
    assert not document.label_map.any()
    assert document.sheet.object_id == 1
    while document.redo():
        pass
    assert np.array_equal(document.label_map, full)
    assert document.sheet.object_id == 600


def test_the_names_say_what_comes_next(document):
    history, heard = document.history, []
    history.changed.connect(lambda: heard.append(history.position))
    assert (history.undo_name, history.redo_name) == (None, None)
    paint(document, (0, 0), "box")
    paint(document, (1, 0), "brush")
    document.undo()
    assert (history.undo_name, history.redo_name) == ("box", "brush")
    paint(document, (2, 0), "accept")
    assert (history.undo_name, history.redo_name) == ("accept", None)
    assert [step.name for step in history.steps] == ["box", "accept"]
    assert heard == [1, 2, 1, 2]


def test_an_answer_is_undone_with_the_click_that_asked_for_it(document):
    asked = Sheet(object_id=4)
    document.record("click", asked)
    document.label_map[:4] = 4
    document.amend(box=np.s_[:10, :])
    assert len(document.history) == 1
    document.undo()
    assert not document.label_map.any()
    assert document.sheet is not asked
    assert document.redo().name == "click"
    assert (document.label_map[:4] == 4).all()
    assert document.sheet is asked


def test_an_answer_without_a_question_is_a_step(document):
    document.label_map[:4] = 4
    document.amend(name="prediction")
    assert document.history.undo_name == "prediction"


def test_a_step_that_changes_nothing_is_none(document):
    assert document.record("click") is None
    assert document.amend() is None
    assert len(document.history) == 0
    history = History()
    assert history.undo() is None
    assert history.redo() is None


def test_undo_spares_pixels_painted_meanwhile(document):
    paint(document, np.s_[:4])
    document.label_map[10:] = 9  # a stroke that is not finished
    document.undo()
    assert (document.label_map[10:] == 9).all()
    assert not document.label_map[:10].any()
    document.record("brush")
    document.undo()
    assert not document.label_map.any()


def test_a_sheet_does_not_change_with_the_mapping_it_was_made_of():
    objects = {}
    sheet = Sheet(objects=objects)
    objects[1] = "another"
    assert sheet.objects == {}
    with pytest.raises(TypeError):
        sheet.objects[1] = "another"


def test_a_box_beyond_the_image_is_cut():
    before, after = np.zeros((4, 5), np.uint16), np.ones((4, 5), np.uint16)
    patch = Patch.between(before, after, box=np.s_[2:99, -2:])
    assert patch.box == (slice(2, 4), slice(3, 5))


def test_a_patch_with_runs_outside_of_its_box_is_refused():
    patch = Patch.between(np.zeros((4, 5), np.uint16), np.ones((4, 5), np.uint16))
    smaller = Patch(0, 0, 3, 5, patch.runs)
    with pytest.raises(ValueError, match="outside"):
        Patch.from_bytes(smaller.to_bytes())
    with pytest.raises(ValueError, match="unpacked"):
        Patch.from_bytes(patch.to_bytes()[:-3])
    assert patch.fits((4, 5))
    assert not patch.fits((4, 4))


def test_a_large_lesion_takes_little_room():
    before = np.zeros((2000, 3000), np.uint16)
    after = before.copy()
    y, x = np.mgrid[:2000, :3000]
    after[(y - 1000) ** 2 + (x - 1500) ** 2 < 800**2] = 3
    patch = Patch.between(before, after)
    assert len(Step("click", Sheet(), Sheet(), patch).to_bytes()) < 20_000
