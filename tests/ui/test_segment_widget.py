from types import SimpleNamespace

import dask.array
import numpy as np
import pytest
from segmenting import CLICK, LONG, answered, click, drawn, expected_mask, layer

from napari_glmedsa.images import read_mask
from napari_glmedsa.registry import ModelSpec
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui.segment_widget import SegmentWidget

pytestmark = pytest.mark.ui

# ------------------------------------------------------------- the way of one click


def test_picking_an_image_makes_its_layers_and_the_next_click_counts(ready):
    assert [one.name for one in ready.viewer.layers] == [
        "photo",
        "lesion mask",
        "lesion",
    ]
    assert ready.viewer.layers.selection.active == ready.clicks
    assert ready.clicks.mode == "add"
    assert "Click on the lesion." in ready.widget.form.hint.value


def test_a_click_draws_the_predicted_mask(ready, models, photo, wait):
    click(ready, CLICK)
    wanted = expected_mask(models, photo, [CLICK], [1])
    wait(lambda: np.array_equal(drawn(ready), wanted))
    assert f"{wanted.sum():,} px" in ready.widget.form.result.value
    assert "quality" in ready.widget.form.result.value


def test_clicks_before_the_image_is_encoded_are_answered(
    make_napari_viewer_proxy, models, photo, wait
):
    models.opened.clear()
    viewer = make_napari_viewer_proxy()
    widget = SegmentWidget(viewer, models)
    viewer.window.add_dock_widget(widget)
    dock = SimpleNamespace(viewer=viewer, widget=widget)
    viewer.add_image(photo)
    wait(lambda: "lesion mask" in viewer.layers)
    dock.clicks, dock.mask = layer(dock, "lesion"), layer(dock, "lesion mask")
    click(dock, CLICK)
    click(dock, (5, 5), "background")
    assert "You can click already" in widget.form.hint.value
    models.opened.set()
    wanted = expected_mask(models, photo, [CLICK, (5, 5)], [1, 0])
    wait(lambda: np.array_equal(drawn(dock), wanted))
    widget.session.close()


@pytest.mark.parametrize("change", ["add", "move", "relabel", "undo"])
def test_the_mask_follows_every_change_of_the_clicks(
    ready, models, photo, wait, change
):
    click(ready, (40, 60), wait=wait)
    if change == "add":
        click(ready, (5, 5), "background")
        clicks, labels = [(40, 60), (5, 5)], [1, 0]
    elif change == "move":
        ready.clicks.data = np.array([[70.0, 30.0]])
        clicks, labels = [(70, 30)], [1]
    elif change == "relabel":
        ready.clicks.features = {"label": ["background"]}
        clicks, labels = [(40, 60)], [0]
    else:
        click(ready, (5, 5), "background", wait=wait)
        ready.widget.form.undo_button.native.click()
        clicks, labels = [(40, 60)], [1]
    wanted = expected_mask(models, photo, clicks, labels)
    wait(lambda: np.array_equal(drawn(ready), wanted))


def test_without_clicks_the_mask_shows_nothing(ready, wait):
    click(ready, CLICK, wait=wait)
    ready.clicks.selected_data = {0}
    ready.clicks.remove_selected()
    assert not ready.mask.data.any()
    assert ready.widget.form.result.value == ""


def test_an_answer_that_comes_after_clear_is_not_drawn(ready, wait, qtbot):
    with qtbot.waitSignal(ready.widget._main_thread._called, timeout=LONG):
        click(ready, CLICK)
    ready.widget.form.clear_button.native.click()
    ready.widget.act("clear")
    wait(lambda: ready.widget.session.state is SessionState.READY)
    qtbot.wait(50)
    assert not ready.mask.data.any()


# ------------------------------------------------------------- every kind of layer


def _gray(photo):
    return photo[..., 1]


LAYERS = {
    "rgb": lambda photo: {"data": photo},
    "rgba": lambda photo: {
        "data": np.dstack([photo, np.full(photo.shape[:2], 7, np.uint8)])
    },
    "uint16": lambda photo: {"data": photo.astype(np.uint16) * 257, "rgb": True},
    "float": lambda photo: {"data": photo / 255, "rgb": True},
    "float32": lambda photo: {"data": (photo / 255).astype(np.float32), "rgb": True},
    "dask": lambda photo: {"data": dask.array.from_array(photo, 50), "rgb": True},
    "multiscale": lambda photo: {
        "data": [photo, photo[::2, ::2], photo[::4, ::4]],
        "multiscale": True,
        "rgb": True,
    },
    "contrast": lambda photo: {"data": photo / 255, "contrast_limits": (0.4, 0.5)},
    "scaled": lambda photo: {"data": photo, "scale": (0.1, 3)},
    "moved": lambda photo: {"data": photo, "translate": (500, -70)},
    "rotated": lambda photo: {"data": photo, "rotate": 40, "scale": (2, 2)},
    "affine": lambda photo: {
        "data": photo,
        "affine": [[0, 1, 3], [2, 0, 4], [0, 0, 1]],
    },
}
GREY_LAYERS = {
    "grey": lambda grey: {"data": grey},
    "grey uint16": lambda grey: {"data": grey.astype(np.uint16) * 257},
    "grey float": lambda grey: {"data": grey / 255, "contrast_limits": (0, 0.2)},
    "grey dask": lambda grey: {"data": dask.array.from_array(grey, 50)},
    "grey multiscale": lambda grey: {
        "data": [grey, grey[::2, ::2]],
        "multiscale": True,
        "colormap": "magma",
        "gamma": 0.5,
    },
}


def segment_at_world_position(dock, wait, **layer_arguments):
    """Click where the pixel `CLICK` appears on the canvas."""
    image = dock.viewer.add_image(**layer_arguments)
    wait(lambda: "lesion mask" in dock.viewer.layers)
    wait(lambda: dock.widget.session.state is SessionState.READY)
    dock.clicks, dock.mask = layer(dock, "lesion"), layer(dock, "lesion mask")
    click(dock, dock.clicks.world_to_data(image.data_to_world(CLICK)), wait=wait)
    return drawn(dock)


@pytest.mark.parametrize("kind", LAYERS)
def test_every_colour_layer_gives_the_mask_of_its_plain_rgb(
    dock, models, photo, wait, kind
):
    mask = segment_at_world_position(dock, wait, **LAYERS[kind](photo))
    assert np.array_equal(mask, expected_mask(models, photo, [CLICK], [1]))


@pytest.mark.parametrize("kind", GREY_LAYERS)
def test_every_grey_layer_gives_the_mask_of_its_plain_rgb(
    dock, models, photo, wait, kind
):
    grey = photo[..., 1]
    mask = segment_at_world_position(dock, wait, **GREY_LAYERS[kind](grey))
    rgb = np.dstack([grey] * 3)
    assert np.array_equal(mask, expected_mask(models, rgb, [CLICK], [1]))


def test_a_bool_layer_gives_the_mask_of_black_and_white(dock, models, photo, wait):
    bright = photo[..., 1] > 100
    mask = segment_at_world_position(dock, wait, data=bright)
    rgb = np.dstack([bright.astype(np.uint8) * 255] * 3)
    assert np.array_equal(mask, expected_mask(models, rgb, [CLICK], [1]))


def test_moving_the_contrast_slider_changes_nothing(ready, wait):
    click(ready, CLICK, wait=wait)
    before = drawn(ready).copy()
    ready.image.gamma, ready.image.opacity = 0.3, 0.5
    click(ready, (5, 5), "background", wait=wait)
    ready.widget.form.undo_button.native.click()
    wait(lambda: np.array_equal(drawn(ready), before))


# ------------------------------------------------------------- buttons


def test_accept_keeps_the_object_and_starts_the_next(ready, wait):
    click(ready, CLICK, wait=wait)
    first = drawn(ready).copy()
    ready.widget.form.accept_button.native.click()
    assert len(ready.clicks.data) == 0
    click(ready, (20, 20))
    wait(lambda: drawn(ready, 2).any())
    assert np.array_equal(drawn(ready, 1), first)


def test_accept_waits_for_the_answer_to_the_newest_click(ready, models, photo, wait):
    click(ready, CLICK, wait=wait)
    click(ready, (5, 5), "background")
    ready.widget.form.accept_button.native.click()
    wait(lambda: len(ready.clicks.data) == 0)
    wanted = expected_mask(models, photo, [CLICK, (5, 5)], [1, 0])
    assert np.array_equal(drawn(ready), wanted)


def test_clear_removes_the_clicks_and_the_outline(ready, wait):
    click(ready, CLICK, wait=wait)
    ready.widget.form.clear_button.native.click()
    assert len(ready.clicks.data) == 0
    assert not ready.mask.data.any()


def test_the_buttons_say_what_can_be_done(ready, wait):
    form = ready.widget.form
    buttons = (form.undo_button, form.clear_button, form.accept_button)
    assert [b.enabled for b in (*buttons, form.save_button)] == [False] * 4
    click(ready, CLICK, wait=wait)
    wait(lambda: all(b.enabled for b in (*buttons, form.save_button)))
    form.accept_button.native.click()
    assert [b.enabled for b in buttons] == [True, False, False]
    assert form.save_button.enabled


def test_the_background_button_and_the_t_key_agree(ready):
    form = ready.widget.form
    form.background_button.native.click()
    ready.clicks.add((3, 3))
    assert list(ready.clicks.features["label"]) == ["background"]
    ready.widget._trio.clicks._on_toggle_key(ready.clicks)
    assert (form.lesion_button.value, form.background_button.value) == (True, False)


def test_the_lesion_button_brings_a_lost_user_back(ready):
    ready.viewer.layers.selection.active = ready.image
    ready.clicks.mode = "pan_zoom"
    ready.clicks.visible = False
    ready.widget.form.lesion_button.native.click()
    assert ready.viewer.layers.selection.active == ready.clicks
    assert ready.clicks.mode == "add"
    assert ready.clicks.visible


def test_the_saved_png_holds_all_objects_as_black_and_white(
    ready, wait, tmp_path, messages
):
    click(ready, CLICK, wait=wait)
    ready.widget.form.accept_button.native.click()
    click(ready, (5, 5))
    wait(lambda: drawn(ready, 2).any())
    ready.widget.save_mask(tmp_path / "out.png")
    wait(lambda: any("Saved" in message for message in messages()))
    assert np.array_equal(read_mask(tmp_path / "out.png"), ready.mask.data > 0)


def test_a_mask_that_cannot_be_written_is_one_sentence(ready, wait, tmp_path, messages):
    click(ready, CLICK, wait=wait)
    ready.widget.save_mask(tmp_path / "no" / "such" / "folder" / "out.png")
    wait(lambda: messages())
    assert "Traceback" not in messages()[0]
    assert ready.widget.session.state is SessionState.READY


def test_saving_nothing_is_one_sentence(ready, tmp_path, messages):
    ready.widget.save_mask(tmp_path / "out.png")
    assert messages() == ["There is no mask to save yet: click on the lesion first."]


def test_another_model_answers_the_same_clicks(ready, models, photo, wait):
    click(ready, CLICK, wait=wait)
    plain = ModelSpec("sam_tiny")
    assert ready.widget.form.model.value != plain
    ready.widget.form.model.value = plain
    wanted = expected_mask(models, photo, [CLICK], [1], plain)
    wait(lambda: np.array_equal(drawn(ready), wanted))


def test_another_precision_answers_the_same_clicks(ready, models, photo, wait):
    click(ready, CLICK, wait=wait)
    session, precision = ready.widget.session, ready.widget.form.precision
    assert precision.value == "auto"
    for wanted in ("bf16", "fp32"):
        precision.value = wanted
        wait(lambda: session.state is SessionState.READY)
        assert session._predictor.precision == wanted
    wanted = expected_mask(models, photo, [CLICK], [1])
    wait(lambda: np.array_equal(drawn(ready), wanted))


def test_the_devices_of_this_computer_are_offered(ready, wait):
    wait(lambda: "cpu" in ready.widget.form.device.choices)
    assert ready.widget.form.device.choices[0] == "auto"


def test_the_dock_says_that_it_is_no_medical_device(dock):
    words = [getattr(part, "value", "") for part in dock.widget.form]
    assert "Research software, not a medical device." in words


# ------------------------------------------------------------- what users do wrong


def test_a_click_outside_is_one_sentence_and_goes_away(ready, wait, messages):
    click(ready, CLICK, wait=wait)
    before = drawn(ready).copy()
    ready.clicks.add((-20, 4))
    wait(lambda: len(ready.clicks.data) == 1)
    assert len(messages()) == 1
    assert "outside the photograph" in messages()[0]
    wait(lambda: ready.widget.session.state is SessionState.READY)
    assert np.array_equal(drawn(ready), before)


def test_a_stack_is_one_sentence_and_the_next_image_works(dock, photo, wait, messages):
    stack = dock.viewer.add_image(np.zeros((3, 8, 9)), name="volume")
    wait(lambda: messages())
    assert len(messages()) == 1
    assert "only 2-D images" in messages()[0]
    assert list(dock.viewer.layers) == [stack]
    dock.viewer.layers.remove("volume")
    dock.viewer.add_image(photo)
    wait(lambda: "lesion mask" in dock.viewer.layers)


def test_nan_is_one_sentence_and_the_next_image_works(dock, photo, wait, messages):
    broken = photo / 255
    broken[3, 3] = np.nan
    dock.viewer.add_image(broken, rgb=True, name="broken")
    wait(lambda: messages())
    assert "NaN" in messages()[0]
    assert "NaN" in dock.widget.form.hint.value
    image = dock.viewer.add_image(photo, name="good")
    dock.widget.form.image.value = image.__wrapped__
    wait(lambda: dock.widget.session.state is SessionState.READY)
    assert "NaN" not in dock.widget.form.hint.value


def test_a_labels_layer_is_not_offered_as_image(dock):
    dock.viewer.add_labels(np.zeros((8, 8), dtype=int))
    assert dock.widget.form.image.choices == ()
    assert "Open a photograph" in dock.widget.form.hint.value


def test_a_model_that_does_not_load_is_one_sentence(dock, photo, wait, messages):
    dock.widget.session.set_model(ModelSpec("nobody"), device="cpu")
    wait(lambda: messages())
    assert "nobody" in messages()[0]
    assert "nobody" in dock.widget.form.hint.value


def test_a_damaged_base_is_told_where_models_are_managed(
    models, make_napari_viewer_proxy, messages, wait
):
    (models.root / "base" / "sam_tiny" / "card.json").write_text("{")
    widget = SegmentWidget(make_napari_viewer_proxy(), models)
    assert messages() == []
    assert "No model is installed" in widget.form.hint.value
    widget.form.manage_button.native.click()
    table = widget._models.dialog.table
    wait(lambda: table.rows)
    problems = {row.name: row.problem for row in table.rows}
    assert "is damaged" in problems["sam_tiny"]
    widget.session.close()


# ------------------------------------------------------------- layers come and go


@pytest.mark.parametrize("name", ["lesion", "lesion mask", "photo"])
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_deleting_a_layer_raises_nothing_and_clicking_works_again(
    ready, photo, wait, name, busy
):
    click(ready, CLICK, wait=None if busy else wait)
    ready.viewer.layers.remove(name)
    if name == "photo":
        wait(lambda: ready.widget.session.state is SessionState.EMPTY)
        ready.viewer.layers.clear()
        ready.viewer.add_image(photo, name="photo")
        wait(lambda: "lesion mask" in ready.viewer.layers)
    ready.widget.form.lesion_button.native.click()
    ready.clicks = layer(ready, "lesion")
    click(ready, CLICK)
    click(ready, (10, 10))
    wait(lambda: "lesion mask" in ready.viewer.layers)
    ready.mask = layer(ready, "lesion mask")
    answered(ready, wait)


def test_deleting_the_clicks_layer_leaves_the_mask(ready, wait, qtbot):
    click(ready, CLICK, wait=wait)
    before = drawn(ready).copy()
    ready.viewer.layers.remove("lesion")
    qtbot.wait(50)
    assert np.array_equal(drawn(ready), before)
    assert ready.widget.form.accept_button.enabled


def test_deleting_every_layer_at_once_leaves_none(ready, wait):
    ready.viewer.add_image(np.zeros((5, 5)), name="second")
    ready.viewer.layers.select_all()
    ready.viewer.layers.remove_selected()
    wait(lambda: ready.widget.session.state is SessionState.EMPTY)
    assert len(ready.viewer.layers) == 0


def test_renaming_every_layer_changes_nothing(ready, wait):
    click(ready, CLICK)
    for number, one in enumerate(list(ready.viewer.layers)):
        one.name = f"layer {number}"
    answered(ready, wait)
    assert ready.widget.form.image.current_choice == "layer 0"


def test_each_image_keeps_its_clicks_and_its_mask(ready, photo, wait):
    click(ready, CLICK, wait=wait)
    first = drawn(ready).copy()
    second = ready.viewer.add_image(np.flip(photo, 1).copy(), name="second")
    ready.widget.form.image.value = second.__wrapped__
    wait(lambda: "lesion mask [1]" in ready.viewer.layers)
    assert not ready.viewer.layers["photo"].visible
    ready.viewer.layers["lesion [1]"].add((20, 20))
    wait(lambda: ready.viewer.layers["lesion mask [1]"].data.any())
    ready.widget.form.image.value = ready.image.__wrapped__
    wait(lambda: ready.viewer.layers.selection.active == ready.clicks)
    assert ready.viewer.layers["photo"].visible
    assert np.array_equal(drawn(ready), first)
    click(ready, (5, 5), "background")
    wait(lambda: not np.array_equal(drawn(ready), first))
    assert len(ready.viewer.layers["lesion [1]"].data) == 1


def test_another_picture_in_the_same_layer_is_encoded_anew(ready, models, photo, wait):
    flipped = np.flip(photo, 1).copy()
    ready.image.data = flipped
    wait(lambda: ready.mask not in ready.viewer.layers)  # it was empty
    wait(lambda: "lesion mask" in ready.viewer.layers)
    ready.mask = layer(ready, "lesion mask")
    wait(lambda: ready.widget.session.state is SessionState.READY)
    click(ready, CLICK)
    wanted = expected_mask(models, flipped, [CLICK], [1])
    wait(lambda: np.array_equal(drawn(ready), wanted))


def test_the_area_in_the_dock_follows_the_brush_and_its_undoing(ready, wait):
    click(ready, CLICK, wait=wait)
    wait(lambda: "Area" in ready.widget.form.result.value)
    before = ready.widget.form.result.value
    area = int(drawn(ready).sum())
    ready.mask.brush_size = 1
    ready.mask.paint(tuple(np.argwhere(~drawn(ready))[0]), 1)
    wait(lambda: f"Area {area + 1:,} px" in ready.widget.form.result.value)
    ready.mask.undo()
    wait(lambda: ready.widget.form.result.value == before)


# ------------------------------------------------------------- docks come and go


def test_closing_the_dock_while_it_works_raises_nothing(ready, wait):
    widget = ready.widget
    click(ready, CLICK)
    ready.viewer.window.remove_dock_widget(widget.native)
    wait(lambda: widget._closed)
    click(ready, (5, 5))
    ready.viewer.add_image(np.zeros((4, 4)))
    ready.viewer.layers.clear()
    assert widget.session.state is SessionState.EMPTY


def test_closing_the_viewer_while_it_works_raises_nothing(ready, wait):
    click(ready, CLICK)
    ready.viewer.close()
    wait(lambda: ready.widget.session.state is SessionState.EMPTY)


def test_a_dock_opened_again_goes_on_where_the_last_one_was(ready, wait):
    click(ready, CLICK, wait=wait)
    ready.viewer.window.remove_dock_widget(ready.widget.native)
    widget = ready.open()
    before = drawn(ready).copy()
    wait(lambda: widget.session.state is SessionState.READY)
    assert len(ready.viewer.layers) == 3
    click(ready, (5, 5), "background")
    wait(lambda: not np.array_equal(drawn(ready), before))
    widget.session.close()


def test_two_docks_on_one_image_do_not_lose_what_was_accepted(ready, wait):
    second = ready.open()
    wait(lambda: second.session.state is SessionState.READY)
    click(ready, CLICK, wait=wait)
    accepted = drawn(ready).copy()
    ready.widget.form.accept_button.native.click()
    click(ready, (5, 5))
    wait(lambda: drawn(ready, 2).any())
    wait(lambda: second.session.state is SessionState.READY)
    assert np.array_equal(drawn(ready, 1), accepted)
    second.session.close()


def test_napari_opens_the_dock_and_the_samples_from_the_manifest(
    make_napari_viewer, wait, monkeypatch, tmp_path
):
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(tmp_path))
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-glmedsa", "Segment")
    assert isinstance(widget, SegmentWidget)
    for key in ("lesion", "lesion_dark"):
        (image,) = viewer.open_sample("napari-glmedsa", key)
        assert image.rgb
    widget.session.close()
