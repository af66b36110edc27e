"""Colours that were painted on purpose, label maps good and bad, and the table."""

import csv
import math

import numpy as np
import pytest
from skimage.color import rgb2lab

from napari_glmedsa.errors import MeasurementError, OutputError
from napari_glmedsa.measurement import COLUMNS, measure, row, write_csv
from napari_glmedsa.measurement.colour import (
    COLOURS,
    histogram,
    measure_colour,
    name_colours,
)

SKIN = (215, 165, 140)
SIX = {  # how a dermatologist would paint them
    "white": (235, 232, 230),
    "red": (180, 60, 60),
    "light brown": (170, 115, 80),
    "dark brown": (95, 60, 40),
    "blue-grey": (110, 120, 140),
    "black": (25, 20, 20),
}


def lesion(colour=SIX["dark brown"], size=(100, 120)):
    """A disk of one colour on skin, and its label map."""
    rows, cols = np.mgrid[: size[0], : size[1]]
    mask = np.hypot(rows - size[0] / 2, cols - size[1] / 2) < 30
    image = np.full((*size, 3), SKIN, dtype=np.uint8)
    image[mask] = colour
    return image, mask


def lab(colour):
    return rgb2lab(np.array(colour, dtype=np.uint8))


def measured(image, label_map, **options):
    (one,) = measure(image, label_map, **options)
    return one


def test_one_colour_has_its_own_mean_and_no_variegation():
    one = measured(*lesion())
    assert one.colour.mean == pytest.approx(lab(SIX["dark brown"]), abs=1e-6)
    assert one.colour.variegation == pytest.approx(0, abs=1e-6)


def test_two_colours_in_equal_parts_deviate_by_half_their_distance():
    image, mask = np.full((40, 40, 3), SKIN, np.uint8), np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    image[10:30, 10:20], image[10:30, 20:30] = SIX["red"], SIX["black"]
    colour = measured(image, mask).colour
    red, black = lab(SIX["red"]), lab(SIX["black"])
    assert colour.mean == pytest.approx((red + black) / 2)
    assert colour.sd == pytest.approx(abs(red - black) / 2)
    assert colour.variegation == pytest.approx(np.linalg.norm(red - black) / 2)


def test_contrast_is_the_distance_to_the_skin_around():
    one = measured(*lesion())
    assert one.colour.skin == pytest.approx(lab(SKIN))
    distance = math.dist(lab(SIX["dark brown"]), lab(SKIN))
    assert one.colour.contrast == pytest.approx(distance)


def test_other_lesions_and_a_hair_are_not_skin():
    image, mask = lesion()
    image[:, 30:33] = 0
    labels = mask.astype(int)
    labels[40:60, 95:118], image[40:60, 95:118] = 2, SIX["black"]
    first, _ = measure(image, labels)
    assert first.colour.skin == pytest.approx(lab(SKIN))


def test_without_skin_in_the_image_there_is_no_contrast():
    image, _ = lesion()
    one = measured(image, np.ones(image.shape[:2], dtype=bool))
    assert one.colour.skin is None
    assert one.colour.contrast is None


@pytest.mark.parametrize("name", COLOURS)
def test_each_of_the_six_colours_is_known_by_its_name(name):
    assert measured(*lesion(SIX[name])).colour.present == (name,)


def test_colours_count_from_five_per_cent():
    image, mask = np.full((140, 140, 3), SKIN, np.uint8), np.zeros((140, 140), bool)
    mask[20:120, 20:120] = True
    image[mask] = SIX["dark brown"]
    image[20:24, 20:120] = SIX["black"]  # 4 %
    image[24:30, 20:120] = SIX["blue-grey"]  # 6 %
    colour = measured(image, mask).colour
    assert colour.present == ("dark brown", "blue-grey")
    assert colour.shares == pytest.approx((0, 0, 0, 0.90, 0.06, 0.04))


def test_white_must_be_lighter_than_the_skin():
    white = lab(SIX["white"])[None]
    assert name_colours(white, skin_lightness=80.0) == [COLOURS.index("white")]
    assert name_colours(white, skin_lightness=95.0) == [-1]


def test_bare_skin_is_none_of_the_six():
    assert name_colours(lab(SKIN)[None]) == [-1]


@pytest.mark.parametrize(
    ("beside", "beyond", "name"),
    [
        ((19, 5, 5), (21, 12, 12), "black"),
        ((80, 10, 10), (80, 12, 12), "white"),
        ((50, 5, 6), (50, 6, 6), "blue-grey"),
        ((50, 10, -1), (50, 21, -1), "blue-grey"),
        ((50, 26, 20), (50, 24, 20), "red"),
        ((41, 15, 20), (43, 15, 20), "dark brown"),
        ((69, 15, 20), (71, 15, 20), "light brown"),
    ],
)
def test_the_thresholds_are_those_that_are_written_down(beside, beyond, name):
    inside, outside = name_colours(np.array([beside, beyond], dtype=float))
    assert COLOURS[inside] == name
    assert outside == -1 or COLOURS[outside] != name


def test_a_grey_picture_has_lightness_but_no_colours():
    image, mask = lesion()
    grey = image[..., 0]
    for picture in (grey, np.stack([grey] * 3, axis=-1)):
        one = measured(picture, mask)
        assert one.colour.shares is None
        assert one.colour.present is None
        assert one.colour.mean[0] > 0
        assert row(one)["n_colours"] is None


def test_many_pixels_have_the_same_histogram_as_few(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (5000, 3)).astype(np.uint8)
    pixels[:2000] = pixels[0]
    few = histogram(pixels)
    monkeypatch.setattr("napari_glmedsa.measurement.colour._SORT_BELOW", 10)
    many = histogram(pixels)
    for one, other in zip(few, many, strict=True):
        assert np.array_equal(one, other)
    assert many[1].sum() == 5000


def test_the_mean_is_that_of_all_pixels_converted_one_by_one():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (30, 30, 3)).astype(np.uint8)
    labels = rng.integers(0, 2, (30, 30))
    colour = measure_colour(image, labels, 1, (slice(0, 30), slice(0, 30)))
    every = rgb2lab(image)[labels == 1]
    assert colour.mean == pytest.approx(every.mean(axis=0))
    assert colour.sd == pytest.approx(every.std(axis=0))


# Label maps


@pytest.mark.parametrize("label", [1, 255, 256, 65535, 70_000, 2**40])
def test_labels_may_be_any_number(label):
    image, mask = lesion()
    one = measured(image, mask.astype(np.int64) * label)
    assert one.label == label
    assert one.shape.area == mask.sum()


def test_objects_come_in_the_order_of_their_labels():
    image, mask = lesion()
    labels = np.where(mask, 70_000, 0)
    labels[2:5, 2:6] = 300
    labels[80:84, 2:6] = 7
    assert [one.label for one in measure(image, labels)] == [7, 300, 70_000]


@pytest.mark.parametrize("label", [1, 65535, 70_000, 2**40])
def test_an_object_that_leaves_no_skin_is_measured_too(label):
    image, mask = lesion()
    one = measured(image, np.full(mask.shape, label))
    assert (one.label, one.shape.area) == (label, mask.size)
    assert one.colour.skin is None


def test_an_empty_mask_has_no_objects():
    image, mask = lesion()
    assert list(measure(image, mask & False)) == []


def test_an_object_at_the_edge_says_so():
    image, mask = lesion()
    assert not measured(image, mask).touches_edge
    cut = slice(50, None)
    one = measured(image[cut], mask[cut])
    assert one.touches_edge
    assert row(one)["touches_edge"] == "yes"


@pytest.mark.parametrize(
    ("image", "mask", "says"),
    [
        (np.zeros((5, 6, 3), np.uint8), np.zeros((6, 5), int), "5 x 6 .* 6 x 5"),
        (np.zeros((5, 6, 3), np.uint8), np.zeros((5, 6)), "float64"),
        (np.zeros((5, 6, 3), np.uint8), np.full((5, 6), -1), "label -1"),
        (np.zeros((5, 6, 3)), np.zeros((5, 6), int), "8-bit RGB"),
        (np.zeros((5, 6, 4), np.uint8), np.zeros((5, 6), int), "8-bit RGB"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(image, mask, says):
    with pytest.raises(MeasurementError, match=says):
        measure(image, mask)


# The table


def test_millimetres_are_only_there_when_calibrated():
    image, mask = lesion()
    plain = row(measured(image, mask))
    assert plain["area_px2"] == mask.sum()
    assert plain["area_mm2"] is plain["feret_diameter_mm"] is None
    scaled = row(measured(image, mask, mm_per_pixel=0.1))
    assert scaled["area_px2"] == plain["area_px2"]
    assert scaled["area_mm2"] == pytest.approx(mask.sum() / 100)
    for name in ("equivalent_diameter", "feret_diameter", "perimeter"):
        assert scaled[f"{name}_mm"] == pytest.approx(plain[f"{name}_px"] / 10)
    unchanged = set(plain) - {name for name in plain if name.endswith(("mm", "mm2"))}
    unchanged.discard("mm_per_pixel")
    assert {name: scaled[name] for name in unchanged} == {
        name: plain[name] for name in unchanged
    }


def test_the_screen_shows_one_unit_per_column():
    image, mask = lesion()
    area = COLUMNS[0]
    assert area.text(measured(image, mask)) == f"{mask.sum():,}"
    assert area.unit(calibrated=False) == "px²"
    in_mm = measured(image, mask, mm_per_pixel=0.1)
    assert area.text(in_mm) == f"{mask.sum() / 100:.2f}"
    assert area.unit(calibrated=True) == "mm²"


def test_every_column_has_a_definition_and_a_text():
    one = measured(*lesion())
    names = [column.name for column in COLUMNS]
    assert len(set(names)) == len(names)
    for column in COLUMNS:
        assert column.about.endswith((".", ")."))
        assert column.text(one)
        assert not {"malignant", "benign", "suspicious"} & set(column.about.split())


def test_a_table_is_read_back_as_it_was_written(tmp_path):
    image, mask = lesion()
    rows = [{"image": "=1+1", **row(measured(image, mask, mm_per_pixel=0.05))}]
    write_csv(tmp_path / "x.csv", rows)
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as stream:
        (read,) = csv.DictReader(stream)
    assert read["image"] == "'=1+1"
    assert int(read["area_px2"]) == mask.sum()
    assert float(read["mm_per_pixel"]) == 0.05
    assert read["colours"] == "dark brown"
    assert float(read["share_dark_brown"]) == 1
    assert len([name for name in read if name.startswith("roughness_octant")]) == 8


def test_a_table_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_csv(tmp_path / "nowhere" / "x.csv", [])
    assert not list(tmp_path.iterdir())
