"""Shapes whose size, symmetry and border are known before they are measured."""

import math

import numpy as np
import pytest
from skimage.measure import regionprops

from napari_glmedsa.measurement.shape import Shape, measure_shape


def grid(side=401):
    rows, cols = np.mgrid[:side, :side] - (side - 1) / 2
    return rows, cols


def measured(mask) -> Shape:
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return measure_shape(mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1])


def disk(radius=150.0):
    rows, cols = grid()
    return np.hypot(rows, cols) <= radius


def ellipse(major=160.0, minor=80.0, degrees=30.0):
    rows, cols = grid()
    turn = math.radians(degrees)
    along = cols * math.cos(turn) + rows * math.sin(turn)
    across = rows * math.cos(turn) - cols * math.sin(turn)
    return np.hypot(along / major, across / minor) <= 1


def gear(amplitude, teeth=24, radius=150.0):
    rows, cols = grid()
    wave = 1 + amplitude * np.cos(teeth * np.arctan2(rows, cols))
    return np.hypot(rows, cols) <= radius * wave


def half_disk(radius=180.0):
    rows, cols = grid()
    return (np.hypot(rows, cols) <= radius) & (rows >= 0)


def test_a_disk_has_the_measures_of_a_circle():
    shape = measured(disk(150))
    assert shape.area == pytest.approx(math.pi * 150**2, rel=0.002)
    assert shape.equivalent_diameter == pytest.approx(300, rel=0.001)
    assert shape.feret_diameter == pytest.approx(301, abs=0.6)
    assert shape.perimeter == pytest.approx(2 * math.pi * 150, rel=0.01)
    assert shape.compactness == pytest.approx(1, rel=0.02)
    assert shape.solidity == pytest.approx(1, abs=0.005)
    assert shape.eccentricity < 0.02
    assert shape.asymmetry_major < 0.005
    assert shape.asymmetry_minor < 0.005
    assert max(shape.border_roughness) < 0.003
    assert shape.irregular_octants == 0
    assert shape.pieces == 1


def test_a_rectangle_has_its_diagonal_as_feret_diameter():
    shape = measured(np.pad(np.ones((30, 40), dtype=bool), 5))
    assert shape.area == 1200
    assert shape.feret_diameter == pytest.approx(50)
    assert shape.solidity == 1
    assert shape.eccentricity == pytest.approx(math.sqrt(1 - (30 / 40) ** 2))


@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 133])
def test_an_ellipse_is_symmetric_and_smooth_however_it_lies(degrees):
    shape = measured(ellipse(160, 80, degrees))
    assert shape.area == pytest.approx(math.pi * 160 * 80, rel=0.003)
    assert shape.feret_diameter == pytest.approx(320, abs=2)
    assert shape.eccentricity == pytest.approx(math.sqrt(1 - 0.25), abs=0.003)
    assert shape.asymmetry_major < 0.01
    assert shape.asymmetry_minor < 0.01
    assert max(shape.border_roughness) < 0.005
    ramanujan = math.pi * (3 * 240 - math.sqrt((3 * 160 + 80) * (160 + 3 * 80)))
    assert shape.perimeter == pytest.approx(ramanujan, rel=0.02)


def test_a_half_disk_is_symmetric_about_one_axis_alone():
    shape = measured(half_disk(180))
    # The long axis runs through the centroid, 4 r / 3 pi above the straight side.
    centroid = 4 / (3 * math.pi)
    heights = np.linspace(0, 1, 200_001)
    width = 2 * np.sqrt(1 - heights**2)
    mirrored = np.interp(2 * centroid - heights, heights, width, left=0, right=0)
    covered = np.trapezoid(np.minimum(width, mirrored), heights) / (math.pi / 2)
    assert shape.asymmetry_major == pytest.approx(1 - covered, abs=0.01)
    assert shape.asymmetry_minor < 0.01


@pytest.mark.parametrize("degrees", [0, 30])
def test_an_angle_of_equal_arms_is_symmetric_about_the_axis_that_halves_it(degrees):
    rows, cols = grid()
    turn = math.radians(degrees)
    x = cols * math.cos(turn) + rows * math.sin(turn)
    y = rows * math.cos(turn) - cols * math.sin(turn)
    ell = ((abs(x) < 100) & (abs(y - 80) < 20)) | ((abs(x + 80) < 20) & (abs(y) < 100))
    shape = measured(ell)
    asymmetries = sorted((shape.asymmetry_major, shape.asymmetry_minor))
    assert asymmetries[0] < 0.02
    assert asymmetries[1] > 0.5


@pytest.mark.parametrize("amplitude", [0.02, 0.04])
def test_a_wavy_circle_is_as_rough_as_its_wave(amplitude):
    shape = measured(gear(amplitude))
    assert shape.border_roughness == pytest.approx(
        [amplitude / math.sqrt(2)] * 8, rel=0.2
    )
    assert shape.compactness > measured(disk()).compactness


def test_octants_are_counted_from_the_long_axis():
    rows, cols = grid()
    angle = np.arctan2(rows, cols)
    # Waves on one side of the long axis alone, which are four octants.
    wave = 1 + 0.09 * np.cos(40 * angle) * (rows > 0)
    mask = np.hypot(rows, cols / 1.3) <= 130 * wave
    shape = measured(mask)
    assert shape.irregular_octants == 4
    irregular = [roughness > 0.03 for roughness in shape.border_roughness]
    assert irregular in ([True] * 4 + [False] * 4, [False] * 4 + [True] * 4)


def test_a_dent_lowers_solidity_as_scikit_image_measures_it():
    rows, cols = grid()
    mask = disk(150) & ~((abs(cols) < 30) & (rows < 0))
    (region,) = regionprops(mask.astype(np.uint8))
    shape = measured(mask)
    assert shape.solidity < 0.9
    assert shape.solidity == pytest.approx(region.solidity, abs=0.003)
    assert shape.feret_diameter == pytest.approx(region.feret_diameter_max, abs=1)
    assert shape.eccentricity == pytest.approx(region.eccentricity, abs=1e-4)


def test_two_pieces_are_measured_together():
    mask = np.zeros((60, 200), dtype=bool)
    mask[10:40, 10:40] = mask[10:40, 150:180] = True
    shape = measured(mask)
    assert shape.pieces == 2
    assert shape.area == 1800
    assert shape.feret_diameter == pytest.approx(math.hypot(170, 30))
    assert shape.asymmetry_minor < 0.01


def test_pieces_that_touch_by_a_corner_are_one():
    assert measured(np.eye(5, dtype=bool)).pieces == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (3, 1)])
def test_the_smallest_objects_have_finite_measures(size):
    shape = measured(np.pad(np.ones(size, dtype=bool), 2))
    numbers = (
        *(shape.feret_diameter, shape.perimeter, shape.solidity, shape.eccentricity),
        *(shape.asymmetry_major, shape.asymmetry_minor, shape.compactness),
        *shape.border_roughness,
    )
    assert all(map(math.isfinite, numbers))
    assert shape.feret_diameter == pytest.approx(math.hypot(*size))
    assert shape.solidity == 1
