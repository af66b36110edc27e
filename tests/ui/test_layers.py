from dataclasses import replace

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from napari.layers import Labels, Points
from napari.utils.key_bindings import coerce_keybinding

from napari_glmedsa.errors import ImageFormatError, PromptError
from napari_glmedsa.inference import MaskPrediction, Prompts
from napari_glmedsa.ui import convert
from napari_glmedsa.ui.convert import CLICK_FEATURE
from napari_glmedsa.ui.layers import LayerTrio
from napari_glmedsa.ui.styles import CLICK_COLORS, OUTLINE_MAX_PIXELS

SIZE = (40, 60)


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def image(viewer):
    return viewer.add_image(np.zeros((*SIZE, 3), np.uint8), name="photo")


@pytest.fixture
def trio(viewer, image) -> LayerTrio:
    return open_trio(viewer, image)


def open_trio(viewer, image) -> LayerTrio:
    """Do what the dock does when the user picks an image."""
    trio = LayerTrio(viewer, image)
    trio.clicks.activate()
    trio.mask.ensure()
    return trio


def square(top, left, side=10):
    mask = np.zeros(SIZE, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def prediction(mask, trio, key="key") -> MaskPrediction:
    logits = torch.zeros(1, 1, 4, 4)
    return MaskPrediction(mask, logits, 0.9, trio.clicks.prompts(), key)


def said(trio) -> list[str]:
    return list(trio.clicks.layer.features[CLICK_FEATURE])


class Press:
    """What napari tells about a mouse press."""

    type = "mouse_press"

    def __init__(self, *modifiers: str, button: int = 1) -> None:
        self.modifiers, self.button = modifiers, button


def click(trio, at, *modifiers, button=1) -> None:
    """Do what napari does: tell the layer's callbacks of the press, then add."""
    press = Press(*modifiers, button=button)
    pressed = [
        callback(trio.clicks.layer, press)
        for callback in trio.clicks.layer.mouse_drag_callbacks
        if callback == trio.clicks._on_press
    ]
    for one in pressed:
        next(one)
    trio.clicks.layer.add(at)
    press.type = "mouse_release"
    for one in pressed:
        assert next(one, None) is None


# ------------------------------------------------------------- making the layers


def test_the_user_finds_a_clicks_layer_in_add_mode_and_an_empty_mask(viewer, trio):
    assert [layer.name for layer in viewer.layers] == [
        "photo",
        "lesion mask",
        "lesion",
    ]
    assert type(trio.clicks.layer) is Points
    assert type(trio.mask.layer) is Labels
    assert viewer.layers.selection.active is trio.clicks.layer
    assert trio.clicks.layer.mode == "add"
    assert not trio.mask.layer.data.any()


def test_the_camera_stays_where_the_user_left_it(viewer, image):
    viewer.scene.camera.zoom, viewer.scene.camera.center = 7, (0, 3, 4)
    open_trio(viewer, image)
    assert viewer.scene.camera.zoom == 7
    assert viewer.scene.camera.center == (0, 3, 4)


def test_a_stack_is_refused_and_gets_no_layers(viewer):
    stack = viewer.add_image(np.zeros((3, 8, 8)))
    with pytest.raises(ImageFormatError):
        LayerTrio(viewer, stack)
    assert list(viewer.layers) == [stack]


def test_clicks_and_mask_lie_over_the_image_and_follow_it(viewer, image, trio):
    image.scale, image.rotate, image.translate = (2, 3), 30, (5, 6)
    for layer in (trio.clicks.layer, trio.mask.layer):
        for corner in ((0, 0), (39, 59)):
            assert np.allclose(layer.data_to_world(corner), image.data_to_world(corner))


def test_a_transformed_image_starts_with_layers_over_it(viewer):
    image = viewer.add_image(np.zeros(SIZE), scale=(2, 3), rotate=30, shear=[0.1])
    trio = open_trio(viewer, image)
    for layer in (trio.clicks.layer, trio.mask.layer):
        assert np.allclose(layer.data_to_world((7, 9)), image.data_to_world((7, 9)))


@pytest.mark.parametrize(
    ("size", "contour"), [((480, 640), 2), ((768, 1024), 3), ((3000, 4000), 0)]
)
def test_large_masks_are_filled_because_outlines_are_slow(viewer, size, contour):
    image = viewer.add_image(np.zeros(size, np.uint8))
    mask = LayerTrio(viewer, image).mask.ensure()
    assert mask.contour == contour
    assert (mask.opacity == 1) == (size[0] * size[1] <= OUTLINE_MAX_PIXELS)


@pytest.mark.parametrize("which", ["clicks", "mask"])
def test_a_deleted_layer_is_made_anew_when_needed(viewer, trio, which):
    companion = getattr(trio, which)
    viewer.layers.remove(companion.layer)
    assert companion.layer is None
    companion.ensure()
    assert companion.layer in viewer.layers
    assert [layer.name for layer in viewer.layers] == ["photo", "lesion mask", "lesion"]


def test_a_new_mask_leaves_the_selection_where_it_is(viewer, image, trio):
    viewer.layers.remove(trio.mask.layer)
    viewer.layers.selection.active = image
    trio.show(prediction(square(5, 5), trio))
    assert trio.mask.object_area == 100
    assert viewer.layers.selection.active is image


def test_layers_may_be_renamed(trio):
    trio.clicks.layer.name, trio.mask.layer.name = "a", "b"
    click(trio, (5, 5))
    trio.show(prediction(square(0, 0), trio))
    assert trio.mask.layer.name == "b"
    assert trio.mask.object_area == 100


def test_a_mask_layer_of_another_shape_is_replaced(viewer, trio):
    trio.mask.layer.data = np.zeros((3, 3), dtype=int)
    trio.show(prediction(square(0, 0), trio))
    assert trio.mask.layer.data.shape == SIZE


def test_a_second_dock_takes_up_the_layers_of_the_first(viewer, image, trio):
    click(trio, (5, 5))
    trio.show(prediction(square(0, 0), trio))
    trio.accept()
    click(trio, (20, 20))
    second = open_trio(viewer, image)
    assert second.clicks.layer is trio.clicks.layer
    assert second.mask.layer is trio.mask.layer
    assert second.mask.object_id == 2
    assert len(viewer.layers) == 3


def test_each_image_has_layers_of_its_own(viewer, trio):
    other = open_trio(viewer, viewer.add_image(np.zeros(SIZE)))
    click(other, (1, 1))
    assert other.mask.layer is not trio.mask.layer
    assert (len(trio.clicks), len(other.clicks)) == (0, 1)


# ------------------------------------------------------------- what a click says


def test_a_plain_click_says_lesion(trio):
    click(trio, (5, 5))
    assert said(trio) == ["lesion"]


def test_a_shift_click_says_background_and_only_that_one(trio):
    click(trio, (5, 5), "Shift")
    click(trio, (6, 6))
    assert said(trio) == ["background", "lesion"]


def test_a_right_click_says_background(trio):
    click(trio, (5, 5), button=2)
    assert said(trio) == ["background"]


def test_the_t_key_swaps_what_plain_clicks_say(trio):
    heard = []
    trio.clicks.next_label_changed.connect(heard.append)
    swap = trio.clicks.layer.keymap[coerce_keybinding("T")]
    swap(trio.clicks.layer)
    click(trio, (5, 5))
    click(trio, (6, 6))
    swap(trio.clicks.layer)
    click(trio, (7, 7))
    assert said(trio) == ["background", "background", "lesion"]
    assert heard == ["background", "lesion"]


def test_the_t_key_is_free_in_napari(viewer):
    assert coerce_keybinding("T") not in Points.class_keymap
    assert coerce_keybinding("T") not in viewer.class_keymap


def test_selecting_a_click_does_not_change_what_the_next_says(trio):
    click(trio, (5, 5), "Shift")
    click(trio, (6, 6))
    trio.clicks.layer.selected_data = {0}
    trio.clicks.layer.events.features()
    trio.clicks.layer.add((7, 7))
    assert said(trio) == ["background", "lesion", "lesion"]


def test_colour_and_shape_tell_lesion_from_background(trio):
    click(trio, (5, 5), "Shift")
    click(trio, (6, 6))
    colours = trio.clicks.layer.face_color
    for row, word in enumerate(said(trio)):
        wanted = [int(CLICK_COLORS[word][i : i + 2], 16) / 255 for i in (1, 3, 5)]
        assert np.allclose(colours[row, :3], wanted, atol=1e-6)
    assert [str(symbol) for symbol in trio.clicks.layer.symbol] == ["cross", "disc"]


def test_adding_moving_relabelling_and_removing_a_click_are_all_told(trio):
    seen = []
    trio.clicks.changed.connect(
        lambda: seen.append(
            (
                trio.clicks.prompts().point_coords.tolist(),
                trio.clicks.prompts().point_labels.tolist(),
            )
        )
    )
    layer = trio.clicks.layer
    layer.add((5, 6))
    assert seen[-1] == ([[6, 5]], [1])
    layer.data = np.array([[7.0, 8.0]])
    assert seen[-1] == ([[8, 7]], [1])
    layer.features = {CLICK_FEATURE: ["background"]}
    assert seen[-1] == ([[8, 7]], [0])
    layer.remove([0])
    assert seen[-1] == ([], [])


def test_prompts_that_are_shown_are_those_of_before_and_nobody_hears_of_it(trio):
    click(trio, (5, 6))
    click(trio, (6, 7), "Shift")
    before = replace(trio.prompts(), box=np.array([1.0, 2.0, 20.0, 30.0]))
    trio.show_prompts(Prompts.empty())
    assert trio.prompts().is_empty
    heard = []
    trio.clicks.changed.connect(lambda: heard.append("clicks"))
    trio.strokes.changed.connect(lambda: heard.append("strokes"))
    trio.show_prompts(before)
    assert convert.fingerprint(trio.prompts()) == convert.fingerprint(before)
    assert said(trio) == ["lesion", "background"]
    assert [str(symbol) for symbol in trio.clicks.layer.symbol] == ["disc", "cross"]
    assert heard == []


def test_a_click_outside_is_named_and_removed_and_the_others_stay(trio):
    click(trio, (5, 5))
    click(trio, (-10, 5))
    with pytest.raises(PromptError, match="outside the photograph"):
        trio.clicks.check_inside()
    trio.clicks.remove_outside()
    trio.clicks.check_inside()
    assert trio.clicks.layer.data.tolist() == [[5, 5]]


# ------------------------------------------------------------- the mask


def test_a_prediction_replaces_the_one_before(trio):
    trio.show(prediction(square(0, 0), trio))
    click(trio, (5, 5))
    trio.show(prediction(square(20, 20), trio))
    assert np.array_equal(trio.mask.layer.data == 1, square(20, 20))


def test_the_area_of_what_was_drawn_is_known_without_counting(trio, monkeypatch):
    trio.show(prediction(square(0, 0), trio))

    def count(*_: object) -> None:
        pytest.fail("24 megapixels counted while the user waits")

    monkeypatch.setattr("numpy.count_nonzero", count)
    assert trio.mask.object_area == 100


def fill_freely(layer, label) -> None:
    layer.preserve_labels = False
    layer.fill((0, 0), label)


@pytest.mark.parametrize(
    ("paint", "area"),
    [
        (lambda layer: layer.paint((30, 30), 1), 101),
        (lambda layer: layer.data_setitem((np.array([0]), np.array([0])), 0), 99),
        (lambda layer: layer.fill((0, 0), 5), 100),  # labels are protected
        (lambda layer: fill_freely(layer, 5), 0),
        (lambda layer: (layer.paint((30, 30), 1), layer.undo()), 100),
        (lambda layer: (layer.paint((30, 30), 1), layer.undo(), layer.redo()), 101),
        (lambda layer: setattr(layer, "data", np.ones(SIZE, int)), 2400),
        (lambda layer: (layer.data.fill(1), layer.refresh()), 2400),
    ],
)
def test_the_area_follows_what_is_painted_by_hand(trio, paint, area):
    trio.show(prediction(square(0, 0), trio))
    layer = trio.mask.layer
    layer.brush_size, layer.selected_label = 1, 1
    paint(layer)
    assert trio.mask.object_area == area
    assert trio.mask.object_area == int((layer.data == 1).sum())


def test_the_area_is_that_of_the_object_in_the_making(trio, viewer):
    trio.show(prediction(square(0, 0), trio))
    trio.accept()
    assert trio.mask.object_area == 0
    trio.show(prediction(square(20, 20, side=5), trio))
    assert trio.mask.object_area == 25
    viewer.layers.remove(trio.mask.layer)
    assert trio.mask.object_area == 0
    trio.mask.ensure()
    assert trio.mask.object_area == 0


def test_an_accepted_object_keeps_its_pixels_and_the_next_gets_the_next_label(trio):
    click(trio, (5, 5))
    trio.show(prediction(square(0, 0, side=20), trio))
    assert trio.accept() == 1
    assert len(trio.clicks) == 0
    click(trio, (15, 15))
    trio.show(prediction(square(10, 10, side=20), trio))
    data = trio.mask.layer.data
    assert np.array_equal(data == 1, square(0, 0, side=20))
    assert np.array_equal(data == 2, square(10, 10, side=20) & (data != 1))
    assert trio.mask.object_area == 400 - 100


def test_accept_and_clear_make_the_next_click_lesion_again(trio):
    for start_again in (trio.accept, trio.clear):
        trio.clicks.next_label = "background"
        start_again()
        assert trio.clicks.next_label == "lesion"


def test_labels_painted_by_hand_are_never_given_twice(trio):
    trio.mask.layer.data[30:32, 30:32] = 7
    trio.show(prediction(square(0, 0), trio))
    trio.accept()
    assert trio.mask.object_id == 8


def test_clear_removes_clicks_and_current_object_only(trio):
    trio.show(prediction(square(0, 0), trio))
    trio.accept()
    click(trio, (25, 25))
    trio.show(prediction(square(20, 20), trio))
    trio.clear()
    assert len(trio.clicks) == 0
    assert np.array_equal(trio.mask.layer.data, square(0, 0))


def test_the_same_answer_again_leaves_what_was_painted_by_hand(trio):
    click(trio, (5, 5))
    answer = prediction(square(0, 0), trio)
    trio.show(answer)
    trio.mask.layer.data[30, 30] = 1
    trio.show(prediction(square(0, 0), trio))
    assert trio.mask.layer.data[30, 30] == 1
    trio.show(prediction(square(0, 0), trio, key="another model"))
    assert trio.mask.layer.data[30, 30] == 0


def test_the_union_of_all_objects_is_what_is_saved(trio):
    assert trio.mask.union() is None
    trio.show(prediction(square(0, 0), trio))
    trio.accept()
    trio.show(prediction(square(20, 20), trio))
    assert np.array_equal(trio.mask.union(), square(0, 0) | square(20, 20))


# ------------------------------------------------------------- several images


def test_an_image_that_is_picked_replaces_the_one_before(viewer, image, trio):
    over = viewer.add_image(np.zeros(SIZE), name="over")
    beside = viewer.add_image(np.zeros(SIZE), name="beside", translate=(0, 100))
    second = open_trio(viewer, over)
    second.replace(trio)
    hidden = [layer.name for layer in viewer.layers if not layer.visible]
    assert hidden == ["photo", "lesion mask", "lesion"]
    trio.replace(second)
    assert not over.visible
    assert not second.clicks.layer.visible
    assert image.visible
    assert trio.clicks.layer.visible
    assert beside.visible


def test_clicks_stay_in_hand_on_an_image_that_is_picked(viewer, trio):
    second = open_trio(viewer, viewer.add_image(np.zeros((*SIZE, 3), np.uint8)))
    for picked, other in ((second, trio), (trio, second)):
        picked.clicks.activate()
        picked.replace(other)
        assert picked.clicks.is_active


def test_an_image_beside_the_picked_one_stays_visible(viewer, trio):
    beside = viewer.add_image(np.zeros(SIZE), translate=(0, 100))
    open_trio(viewer, beside).replace(trio)
    assert all(layer.visible for layer in viewer.layers)
