"""A Labels layer or a file as the start of a mask that clicks refine."""

from pathlib import Path

import numpy as np
import pytest
from segmenting import SIZE, click, drawn

from napari_glmedsa.images import write_mask
from napari_glmedsa.session import SessionState

pytestmark = pytest.mark.ui


@pytest.fixture
def disc():
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    return (rows - 48) ** 2 + (columns - 64) ** 2 < 400


def choose(dock, what) -> None:
    """Open the menu as a click on the button does, and choose an entry of it."""
    finishing = dock.widget.form.finishing
    finishing.menu.aboutToShow.emit()
    if isinstance(what, Path):
        finishing.started_from.emit(what)
    else:
        entry = next(one for one in finishing.menu.actions() if what in one.text())
        entry.trigger()


def test_a_labels_layer_is_the_start_and_a_click_refines_it(ready, disc, wait):
    ready.viewer.add_labels(disc.astype(np.int32), name="theirs")
    choose(ready, "theirs")
    assert np.array_equal(drawn(ready), disc)
    prompts = ready.widget._trio.prompts()
    assert prompts.mask_input is not None
    assert len(prompts.point_coords) == 1
    click(ready, (48.0, 80.0), "background")
    wait(lambda: ready.widget.session.state is SessionState.READY)
    assert ready.widget._trio.prompts().mask_input is not None
    wait(lambda: not np.array_equal(drawn(ready), disc))
    ready.widget.act("undo")
    assert np.array_equal(drawn(ready), disc)
    ready.widget.act("undo")
    assert not drawn(ready).any()
    assert ready.widget._trio.prompts().is_empty


def test_the_selected_object_of_a_layer_is_the_start(ready, disc):
    theirs = ready.viewer.add_labels(disc * 2, name="theirs")
    theirs.data[0, :] = 7
    theirs.selected_label = 2
    choose(ready, "theirs")
    assert np.array_equal(drawn(ready), disc)


def test_a_mask_file_is_the_start(ready, disc, wait, tmp_path):
    write_mask(tmp_path / "mask.png", disc)
    choose(ready, tmp_path / "mask.png")
    wait(lambda: drawn(ready).any())
    assert np.array_equal(drawn(ready), disc)


def test_our_own_mask_is_not_offered(ready):
    ready.widget.form.finishing.menu.aboutToShow.emit()
    entries = [one.text() for one in ready.widget.form.finishing.menu.actions()]
    assert entries == ["Mask file…"]


def test_a_mask_of_another_size_is_refused_in_a_sentence(ready, messages):
    ready.viewer.add_labels(np.ones((5, 6), int), name="theirs")
    choose(ready, "theirs")
    assert not drawn(ready).any()
    assert any("6 x 5 pixels" in message for message in messages())


def test_an_empty_mask_is_refused_in_a_sentence(ready, messages):
    ready.viewer.add_labels(np.zeros(SIZE, int), name="theirs")
    choose(ready, "theirs")
    assert any("is empty" in message for message in messages())


def test_a_file_that_is_no_mask_is_refused_in_a_sentence(
    ready, wait, tmp_path, messages
):
    (tmp_path / "mask.png").write_text("nothing")
    choose(ready, tmp_path / "mask.png")
    wait(lambda: any("mask.png" in message for message in messages()))
    assert not drawn(ready).any()
