import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Labels, Points, Shapes

from napari_glmedsa.errors import ImageFormatError
from napari_glmedsa.ui import convert
from napari_glmedsa.ui.convert import CLICK_FEATURE

PIXELS = np.zeros((40, 60, 3), dtype=np.uint8)


def clicks(rows_cols, labels=None, **transform) -> Points:
    labels = ["lesion"] * len(rows_cols) if labels is None else labels
    data = np.array(rows_cols, dtype=float).reshape(-1, 2)
    return Points(data, ndim=2, features={CLICK_FEATURE: labels}, **transform)


def test_row_and_column_become_y_and_x():
    xy = convert.points_in_image(clicks([[3, 7]]), Image(PIXELS))
    assert xy.tolist() == [[7, 3]]


def test_without_clicks_there_are_no_coordinates():
    assert convert.points_in_image(clicks([]), Image(PIXELS)).shape == (0, 2)
    assert convert.prompts_from_points(clicks([]), Image(PIXELS)).is_empty


def test_labels_say_lesion_or_background():
    layer = clicks([[1, 1], [2, 2]], ["lesion", "background"])
    prompts = convert.prompts_from_points(layer, Image(PIXELS))
    assert prompts.point_labels.tolist() == [1, 0]


def test_clicks_outside_the_image_are_left_out_with_their_labels():
    layer = clicks([[100, 1], [2, 2]], ["lesion", "background"])
    prompts = convert.prompts_from_points(layer, Image(PIXELS))
    assert prompts.point_coords.tolist() == [[2, 2]]
    assert prompts.point_labels.tolist() == [0]


numbers = st.floats(-100, 100)
factors = st.floats(0.01, 100)
angles = st.floats(-180, 180)


@settings(deadline=None, max_examples=50)
@given(
    st.tuples(factors, factors), st.tuples(numbers, numbers), angles,
    st.tuples(factors, factors), st.tuples(numbers, numbers), angles,
    st.lists(st.tuples(st.floats(0, 59), st.floats(0, 39)), max_size=4),
)  # fmt: skip
def test_a_click_is_where_the_user_sees_it_however_the_layers_lie(
    scale, translate, rotate, points_scale, points_translate, points_rotate, xy
):
    image = Image(PIXELS, scale=scale, translate=translate, rotate=rotate)
    layer = clicks(
        [], scale=points_scale, translate=points_translate, rotate=points_rotate
    )
    seen = [image.data_to_world((y, x)) for x, y in xy]
    layer.data = np.array([layer.world_to_data(at) for at in seen]).reshape(-1, 2)
    found = convert.points_in_image(layer, image)
    assert np.allclose(found, np.array(xy).reshape(-1, 2), atol=1e-3)


def test_an_affine_of_the_image_counts():
    image = Image(PIXELS, affine=[[0, 1, 5], [1, 0, -2], [0, 0, 1]])
    xy = convert.points_in_image(clicks([[5 + 7, -2 + 3]]), image)
    assert xy.tolist() == [[7, 3]]


def test_the_pixels_are_handed_over_as_they_are():
    lazy = dask.array.zeros((40, 60, 3), dtype=np.uint8)
    assert convert.image_array(Image(PIXELS)) is PIXELS
    assert isinstance(convert.image_array(Image(lazy)), dask.array.Array)


def test_of_a_multiscale_image_the_finest_level_counts():
    levels = [PIXELS, PIXELS[::2, ::2], PIXELS[::4, ::4]]
    layer = Image(levels, multiscale=True)
    assert convert.image_array(layer).shape == PIXELS.shape
    assert convert.image_size(layer) == (40, 60)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Labels(np.zeros((4, 4), int), name="old mask"), "is a Labels layer"),
        (Points(np.zeros((1, 2)), name="dots"), "is a Points layer"),
        (Shapes(name="drawing"), "is a Shapes layer"),
        (Image(np.zeros((5, 8, 8)), name="volume"), "only 2-D images"),
        (Image(np.zeros((5, 8, 8, 3)), rgb=True, name="film"), "only 2-D images"),
    ],
)
def test_what_is_not_one_image_is_refused_in_one_sentence(layer, words):
    with pytest.raises(ImageFormatError, match=words) as caught:
        convert.image_array(layer)
    assert layer.name in str(caught.value)
    assert "\n" not in str(caught.value)
