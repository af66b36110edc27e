"""Any image layer's array becomes the RGB picture it shows, at the model's size."""

import warnings

import dask.array
import numpy as np
import pytest
from torchvision.transforms.functional import resize, to_pil_image

from napari_glmedsa.errors import ImageFormatError
from napari_glmedsa.inference import to_rgb_uint8
from napari_glmedsa.inference.preprocess import resize_to_input


@pytest.fixture
def grey(image):
    return image[..., 0]


def alpha(image):
    return np.random.default_rng(1).integers(0, 256, image.shape[:2]).astype(np.uint8)


@pytest.mark.parametrize(
    "convert",
    [
        lambda rgb: rgb,
        lambda rgb: rgb.astype(np.uint16) * 257,
        lambda rgb: rgb.astype(np.uint16),
        lambda rgb: rgb.astype(np.int64),
        lambda rgb: rgb.astype(np.uint32) * 16843009,
        lambda rgb: (rgb / 255).astype(np.float32),
        lambda rgb: (rgb / 255).astype(np.float64),
        lambda rgb: rgb.astype(np.float32),
        lambda rgb: np.dstack([rgb, alpha(rgb)]),
        lambda rgb: np.dstack([rgb / 255, alpha(rgb) / 255]),
        lambda rgb: dask.array.from_array(rgb, chunks=(17, 20, 3)),
        lambda rgb: np.asfortranarray(rgb)[:, :, ::-1][:, :, ::-1],
    ],
)
def test_every_kind_of_colour_image_is_its_rgb_uint8_version(image, convert):
    result = to_rgb_uint8(convert(image))
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize(
    "convert",
    [
        lambda grey: grey,
        lambda grey: grey[..., None],
        lambda grey: np.dstack([grey, alpha(grey)]),
        lambda grey: grey.astype(np.uint16) * 257,
        lambda grey: grey / 255,
        lambda grey: dask.array.from_array(grey, chunks=16),
    ],
)
def test_grey_is_repeated_in_three_channels(grey, convert):
    np.testing.assert_array_equal(to_rgb_uint8(convert(grey)), np.dstack([grey] * 3))


def test_a_boolean_image_is_black_and_white(grey):
    result = to_rgb_uint8(grey > 100)
    np.testing.assert_array_equal(result[..., 1], np.where(grey > 100, 255, 0))


def test_a_twelve_bit_camera_image_keeps_its_brightness(image):
    twelve = (image.astype(np.uint32) * 4095 // 255).astype(np.uint16)
    difference = to_rgb_uint8(twelve).astype(int) - image
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("offset", [-1000.0, 300.0])
def test_other_ranges_go_from_minimum_to_maximum(image, offset):
    stretched = image.astype(np.float64) * 3 + offset
    low, high = float(image.min()), float(image.max())
    expected = np.rint((image - low) * (255 / (high - low)))
    np.testing.assert_array_equal(to_rgb_uint8(stretched), expected)


def test_constant_images_of_any_type_are_fine():
    for value in (0, 7, -5):
        for dtype in (np.int16, np.float32):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert to_rgb_uint8(np.full((3, 4), value, dtype)).shape == (3, 4, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_the_largest_number_of_a_type_is_white(dtype):
    values = np.full((4, 4), np.iinfo(dtype).max, dtype)
    assert (to_rgb_uint8(values) == 255).all()


@pytest.mark.parametrize("shape", [(5, 40, 40), (3, 20, 30), (2, 4, 9, 3), (7,), ()])
def test_a_stack_is_refused_with_its_shape(shape):
    with pytest.raises(ImageFormatError, match=r"two-dimensional"):
        to_rgb_uint8(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(image, bad):
    values = image.astype(np.float32)
    values[3, 4, 1] = bad
    with pytest.raises(ImageFormatError, match="NaN or infinite"):
        to_rgb_uint8(values)


def test_empty_and_complex_images_are_refused():
    with pytest.raises(ImageFormatError, match="no pixels"):
        to_rgb_uint8(np.zeros((0, 5, 3), np.uint8))
    with pytest.raises(ImageFormatError, match="complex64"):
        to_rgb_uint8(np.zeros((4, 5), np.complex64))
    with pytest.raises(ImageFormatError, match="not brightness"):
        to_rgb_uint8(np.full((2, 2), "x"))


@pytest.mark.parametrize(
    ("shape", "length"),
    [
        ((2000, 3001, 3), 384),  # many bands, the last one short
        ((3000, 2000, 3), 384),
        ((3001, 1900, 3), 1024),
        ((3001, 1400, 3), 384),  # where Pillow begins with the columns, or did not
        ((3001, 700, 3), 1024),
        ((700, 3001, 3), 1024),
        ((1024, 1024, 3), 384),
        ((90, 60, 3), 384),  # enlarged
        ((700, 600, 3), 1024),
        ((2, 400_000, 3), 384),  # a row is more than a band
        ((400_000, 2, 3), 384),
    ],
)
@pytest.mark.parametrize("how", ["longest_side", "square"])
def test_large_photographs_are_resized_in_bands_exactly_as_sam_does(shape, length, how):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    resized, size = resize_to_input(image, length, how)
    stock = resize(to_pil_image(image), list(size))
    np.testing.assert_array_equal(resized, np.array(stock))


def test_a_picture_that_is_a_view_of_another_is_resized_as_its_copy():
    image = np.random.default_rng(0).integers(0, 256, (1500, 1400, 3), np.uint8)
    view = image[::-2, 100:, ::-1]
    resized, _ = resize_to_input(view, 384)
    copied, _ = resize_to_input(view.copy(), 384)
    np.testing.assert_array_equal(resized, copied)
