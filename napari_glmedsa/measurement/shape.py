"""Size and shape of one object, from its mask alone."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

IRREGULAR = 0.03
"""Roughness above which an octant of the border counts as irregular."""

_FOLD_SIDE = 801  # samples along each side of the picture that is folded
_OCTANTS = 8
_POINTS_PER_FIT = 6  # fewer outline points in an octant say nothing


@dataclass(frozen=True, slots=True)
class Shape:
    """Size and shape; lengths in pixels, areas in pixels squared.

    Everything is about all pieces of the object together, except `border_roughness`,
    which is about the longest outline.

    Attributes
    ----------
    area : int
        Number of pixels.
    equivalent_diameter : float
        Of the circle of that area: ``sqrt(4 area / pi)`` (ISO 9276-6).
    feret_diameter : float
        Largest caliper diameter: the greatest distance between two points of the
        object, pixels taken as squares (ISO 9276-6).
    perimeter : float
        By Crofton's formula in four directions, holes included (Legland, Kieu and
        Devaux 2007; `skimage.measure.perimeter_crofton`).
    solidity : float
        Area over the area of the convex hull, 0 to 1
        (as `skimage.measure.regionprops`, of whose pixel hull this is the polygon).
    eccentricity : float
        Of the ellipse with the same second moments: 0 a circle, towards 1 a line
        (`skimage.measure.regionprops`).
    asymmetry_major, asymmetry_minor : float
        Folded over a principal axis: share of the object that does not come to lie on
        the object, 0 (mirror image) to 1 (Stoecker, Li and Moss 1992).
    compactness : float
        ``perimeter² / (4 pi area)``: 1 for a circle, more the more ragged the border is
        (irregularity index of Golston et al. 1992).
    border_roughness : tuple of 8 float
        Per octant, see `border_roughness`.
    pieces : int
        Parts that do not touch, not even by a corner.
    """

    area: int
    equivalent_diameter: float
    feret_diameter: float
    perimeter: float
    solidity: float
    eccentricity: float
    asymmetry_major: float
    asymmetry_minor: float
    compactness: float
    border_roughness: tuple[float, ...]
    pieces: int

    @property
    def irregular_octants(self) -> int:
        """Octants of 8 whose border roughness is above `IRREGULAR`."""
        return sum(roughness > IRREGULAR for roughness in self.border_roughness)


def measure_shape(mask: NDArray[np.bool_]) -> Shape:
    """Measure one object.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        The object, cut out to its bounding box; at least one pixel.
    """
    from skimage.measure import label, perimeter_crofton

    frame = PrincipalAxes.of(mask)
    area = frame.area
    perimeter = float(perimeter_crofton(mask, directions=4))
    about_major, about_minor = asymmetry(mask, frame)
    _, pieces = label(mask, connectivity=2, return_num=True)
    return Shape(
        area=area,
        equivalent_diameter=math.sqrt(4 * area / math.pi),
        feret_diameter=feret_diameter(mask),
        perimeter=perimeter,
        solidity=solidity(mask, area),
        eccentricity=frame.eccentricity,
        asymmetry_major=about_major,
        asymmetry_minor=about_minor,
        compactness=perimeter**2 / (4 * math.pi * area),
        border_roughness=border_roughness(mask, frame),
        pieces=int(pieces),
    )


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """Where the object is and along which axes it is longest and shortest.

    Attributes
    ----------
    area : int
        Number of pixels.
    centre : (2,) float64
        Centroid, (row, column) in the cut-out.
    covariance : (2, 2) float64
        Second central moments over the area, in (row, column).
    """

    area: int
    centre: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> "PrincipalAxes":
        """Measure a mask, (h, w) bool."""
        from skimage.measure import regionprops

        (region,) = regionprops(mask.astype(np.uint8))
        moments = region.moments_central
        area = float(moments[0, 0])
        covariance = np.array(
            [[moments[2, 0], moments[1, 1]], [moments[1, 1], moments[0, 2]]]
        )
        # A pixel is a square, not a point: it has a second moment of its own.
        return cls(
            int(area),
            np.array(region.centroid_local),
            covariance / area + np.eye(2) / 12,
        )

    @cached_property
    def axes(self) -> NDArray[np.float64]:
        """(2, 2): unit vectors in (row, column), the major axis first."""
        _, vectors = np.linalg.eigh(self.covariance)
        return np.asarray(vectors[:, ::-1].T)

    @cached_property
    def spread(self) -> NDArray[np.float64]:
        """(2,): standard deviation along the major and the minor axis."""
        return np.asarray(np.sqrt(np.linalg.eigvalsh(self.covariance)[::-1]))

    @property
    def eccentricity(self) -> float:
        """Of the ellipse with the same second moments."""
        major, minor = self.spread
        return math.sqrt(max(0.0, 1 - (minor / major) ** 2))


def feret_diameter(mask: NDArray[np.bool_]) -> float:
    """Return the largest distance between two corners of pixels of the object.

    scikit-image has it, but takes seconds for millions of pixels.
    """
    from scipy.spatial.distance import pdist

    rows, first, last = _ends_of_rows(mask)
    corners = [
        np.stack([rows + row, side], axis=1)
        for row in (0, 1)
        for side in (first, last + 1)
    ]
    return float(pdist(_hull(np.concatenate(corners))[0]).max())


def solidity(mask: NDArray[np.bool_], area: int) -> float:
    """Return the area over that of the convex hull of the pixels' edge middles."""
    rows, first, last = _ends_of_rows(mask)
    columns, top, bottom = _ends_of_rows(mask.T)
    middles = [
        np.stack([rows, first - 0.5], axis=1),
        np.stack([rows, last + 0.5], axis=1),
        np.stack([top - 0.5, columns], axis=1),
        np.stack([bottom + 0.5, columns], axis=1),
    ]
    return min(1.0, area / _hull(np.concatenate(middles))[1])


def asymmetry(mask: NDArray[np.bool_], frame: PrincipalAxes) -> tuple[float, float]:
    """Return how much is not covered when folded over the major and the minor axis.

    The object is sampled on a grid along its axes, so that folding is flipping.
    """
    from scipy.ndimage import map_coordinates

    height, width = mask.shape
    corners = np.array([[0, 0], [0, width], [height, 0], [height, width]]) - 0.5
    reach = np.abs((corners - frame.centre) @ frame.axes.T).max(axis=0)
    steps = (np.arange(_FOLD_SIDE) + 0.5) / _FOLD_SIDE * 2 - 1
    along = (steps * reach[0])[:, None, None] * frame.axes[0]
    across = (steps * reach[1])[None, :, None] * frame.axes[1]
    rows_cols = np.moveaxis(frame.centre + along + across, -1, 0)
    seen = map_coordinates(mask.view(np.uint8), rows_cols, order=0, cval=0) > 0
    total = max(1, 2 * int(seen.sum()))
    return (
        float((seen ^ seen[:, ::-1]).sum() / total),
        float((seen ^ seen[::-1]).sum() / total),
    )


def border_roughness(
    mask: NDArray[np.bool_], frame: PrincipalAxes
) -> tuple[float, ...]:
    """Return how far the outline strays from a smooth one, per octant.

    The longest outline is stretched along the principal axes until an ellipse would be
    a circle. Octants of 45 degrees begin at the major axis, as the eight segments of
    the ABCD rule (Stolz et al. 1994). In each, the distance from the centre is fitted
    by a parabola of the angle; the roughness is the root mean square of what is left,
    over the mean distance. It is 0 for any ellipse and ``amplitude / sqrt(2)`` for a
    sine wave on one. The measure and `IRREGULAR` are this project's own.
    """
    from skimage.measure import find_contours

    outline = max(find_contours(np.pad(mask, 1), 0.5), key=len) - 1.0
    centred = (outline - frame.centre) @ frame.axes.T / frame.spread
    centred -= _centroid_of_polygon(centred)
    radius = np.hypot(*centred.T)
    angle = np.arctan2(centred[:, 1], centred[:, 0]) % (2 * np.pi)
    octant = np.minimum(angle // (np.pi / 4), _OCTANTS - 1)
    return tuple(
        _roughness(angle[octant == number], radius[octant == number])
        for number in range(_OCTANTS)
    )


def _roughness(angle: NDArray[np.float64], radius: NDArray[np.float64]) -> float:
    if len(angle) < _POINTS_PER_FIT:
        return 0.0
    fit = np.polynomial.Polynomial.fit(angle, radius, deg=2)
    return float(np.sqrt(np.mean((radius - fit(angle)) ** 2)) / radius.mean())


def _centroid_of_polygon(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the centroid of the area inside a closed line, (N, 2)."""
    before, after = points[:-1], points[1:]
    cross = before[:, 0] * after[:, 1] - after[:, 0] * before[:, 1]
    doubled = cross.sum()
    if abs(doubled) < 1e-12:
        return np.asarray(points.mean(axis=0))
    return np.asarray(((before + after) * cross[:, None]).sum(axis=0) / (3 * doubled))


def _ends_of_rows(
    mask: NDArray[np.bool_],
) -> tuple[NDArray[np.intp], NDArray[Any], NDArray[Any]]:
    """Return the rows with any pixel, and the first and last column of each."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask.argmax(axis=1)[rows]
    last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)[rows]
    return rows, first, last


def _hull(points: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Return the corners of the convex hull and its area."""
    from scipy.spatial import ConvexHull

    hull = ConvexHull(points)
    return np.asarray(hull.points[hull.vertices]), float(hull.volume)
