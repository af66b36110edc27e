"""Every object of a label map, measured."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.errors import MeasurementError
from napari_glmedsa.measurement.colour import Colour, measure_colour
from napari_glmedsa.measurement.shape import Shape, measure_shape

_MANY = 65535  # labels above are renumbered: one list entry per number is made


@dataclass(frozen=True, slots=True)
class Measurements:
    """What was measured of one object. None of it is a diagnosis.

    Attributes
    ----------
    label : int
        Of the object in its label map.
    shape : Shape
        In pixels.
    colour : Colour
        In CIELAB.
    touches_edge : bool
        Whether it reaches the image's edge: then part of it may not be in the picture,
        and size, shape and border are those of the part that is.
    mm_per_pixel : float or None
        Of the calibration; None if there is none, and nothing is known in millimetres.
    """

    label: int
    shape: Shape
    colour: Colour
    touches_edge: bool
    mm_per_pixel: float | None = None

    def in_mm(self, pixels: float, *, power: int = 1) -> float | None:
        """Return a length (or with power 2 an area) in mm (mm²), if calibrated."""
        if self.mm_per_pixel is None:
            return None
        return float(pixels * self.mm_per_pixel**power)


def measure(
    image: NDArray[Any],
    label_map: NDArray[Any],
    *,
    mm_per_pixel: float | None = None,
) -> Iterator[Measurements]:
    """Measure every object, in the order of the labels, one at a time.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3) or (H, W)
        RGB or grey.
    label_map : ndarray of bool or integers, shape (H, W)
        0 is skin, every other number one object, whether in one piece or several; True
        is object 1.
    mm_per_pixel : float, optional
        Side of a pixel in millimetres, from a calibration.

    Returns
    -------
    iterator of Measurements
        Nothing for an empty label map.

    Raises
    ------
    MeasurementError
        At once, if image and label map are of different sizes or none at all.
    """
    label_map = _checked(image, label_map)
    if image.ndim == 2:
        image = np.broadcast_to(image[..., None], (*image.shape, 3))
    return _each(image, label_map, mm_per_pixel)


def _each(
    image: NDArray[np.uint8], label_map: NDArray[Any], mm_per_pixel: float | None
) -> Iterator[Measurements]:
    for label, number, box, numbered in _objects(label_map):
        yield Measurements(
            label=label,
            shape=measure_shape(numbered[box] == number),
            colour=measure_colour(image, numbered, number, box),
            touches_edge=any(
                side.start == 0 or side.stop == length
                for side, length in zip(box, numbered.shape, strict=True)
            ),
            mm_per_pixel=mm_per_pixel,
        )


def _objects(
    label_map: NDArray[Any],
) -> Iterator[tuple[int, int, tuple[slice, slice], NDArray[Any]]]:
    """Yield each object's label, its number in a map, its box, and that map."""
    from scipy.ndimage import find_objects

    labels = None
    if int(label_map.max(initial=0)) > _MANY:
        labels, numbers = np.unique(label_map, return_inverse=True)
        label_map = numbers.reshape(label_map.shape)
        if labels[0]:  # there is no skin: the first label would be taken for it
            labels, label_map = np.insert(labels, 0, 0), label_map + 1
    for number, box in enumerate(find_objects(label_map), start=1):
        if box is not None:
            label = number if labels is None else int(labels[number])
            yield label, number, box, label_map


def _checked(image: NDArray[Any], label_map: NDArray[Any]) -> NDArray[Any]:
    if (
        image.dtype != np.uint8
        or image.ndim not in (2, 3)
        or image.shape[2:]
        not in (
            (),
            (3,),
        )
    ):
        raise MeasurementError(
            f"A picture of {image.dtype} and shape {image.shape} cannot be measured;"
            " convert it to 8-bit RGB first."
        )
    if label_map.shape != image.shape[:2]:
        mask = " x ".join(map(str, label_map.shape[::-1])) or "a single number of"
        raise MeasurementError(
            f"The mask is {mask} pixels but its image is"
            f" {image.shape[1]} x {image.shape[0]}; use the mask that was made for this"
            " image."
        )
    if label_map.dtype == np.bool_:
        return label_map.view(np.uint8)
    if not np.issubdtype(label_map.dtype, np.integer):
        raise MeasurementError(
            f"The mask holds numbers of type {label_map.dtype}; give whole numbers, 0"
            " for skin and 1, 2, ... for the lesions."
        )
    if int(label_map.min(initial=0)) < 0:
        raise MeasurementError(
            f"The mask holds the label {int(label_map.min())}; labels are 0 for skin"
            " and 1, 2, ... for the lesions."
        )
    return label_map
