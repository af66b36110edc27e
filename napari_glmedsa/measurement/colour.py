"""The colours of one object and of the skin around it, in CIELAB."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLOURS = ("white", "red", "light brown", "dark brown", "blue-grey", "black")
"""The six colours of the ABCD rule of dermoscopy (Stolz et al. 1994)."""

COUNTED_SHARE = 0.05
"""Share of the object's pixels from which a colour counts as present."""

# Where skin is looked for: distances from the outline in equivalent diameters.
RING = (0.05, 0.25)

BLACK_BELOW, WHITE_FROM = 20.0, 75.0  # L*
DARK_BROWN_BELOW, LIGHT_BROWN_BELOW = 42.0, 70.0  # L*
WHITE_CHROMA, GREY_CHROMA = 15.0, 8.0  # C*ab
RED_FROM, RED_HUE = 25.0, 40.0  # a*, and degrees of h_ab on either side of 0
BLUE_REDNESS = 20.0  # a* above which a negative b* is violet rather than blue

_RING_SIDE = 256  # pixels of the thinned-out picture in which the ring is found
_FEWEST_SKIN = 20  # such pixels
_SORT_BELOW = 1_000_000  # pixels: sorting them is quicker than a table of all colours

Lab = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Colour:
    """Colours of an object; L*, a*, b* of CIELAB (ISO/CIE 11664-4).

    sRGB pixels are converted for the illuminant D65 and the 2 degree observer
    (`skimage.color.rgb2lab`). The camera is not calibrated: compare pictures of one
    device and one light only.

    Attributes
    ----------
    mean, sd : (L*, a*, b*)
        Over the object's pixels; population standard deviation.
    skin : (L*, a*, b*) or None
        Median of the surrounding skin: pixels of no object, between 0.05 and 0.25
        equivalent diameters away from the outline, thinned out to a grid.
        None if the image shows too little of it.
    shares : tuple of 6 float, or None
        Share of the object's pixels in each of `COLOURS`; see `name_colours`. The
        shares do not add up to 1. None for a grey picture, which has no colours.
    """

    mean: Lab
    sd: Lab
    skin: Lab | None
    shares: tuple[float, ...] | None

    @property
    def variegation(self) -> float:
        """Root of the summed variances: the typical distance from the mean colour."""
        return math.hypot(*self.sd)

    @property
    def contrast(self) -> float | None:
        """Distance between mean and skin, CIE 1976 Delta E*ab; None without skin."""
        return None if self.skin is None else math.dist(self.mean, self.skin)

    @property
    def present(self) -> tuple[str, ...] | None:
        """Names of the colours with at least `COUNTED_SHARE`; None if grey."""
        if self.shares is None:
            return None
        pairs = zip(COLOURS, self.shares, strict=True)
        return tuple(name for name, share in pairs if share >= COUNTED_SHARE)


def measure_colour(
    image: NDArray[np.uint8],
    label_map: NDArray[Any],
    label: int,
    box: tuple[slice, slice],
) -> Colour:
    """Measure the colours of one object.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    label_map : ndarray of integers, shape (H, W)
        0 is skin.
    label : int
        Of the object; it has at least one pixel.
    box : (rows, columns)
        Slices that hold all of it.
    """
    colours, counts = histogram(image[box][label_map[box] == label])
    lab = _lab(colours)
    weights = counts / counts.sum()
    mean = weights @ lab
    variance = weights @ (lab - mean) ** 2
    skin = surrounding_skin(image, label_map, label, box)
    is_grey = bool((colours == colours[:, :1]).all())
    named = None if is_grey else name_colours(lab, skin[0] if skin else None)
    return Colour(
        mean=_three(mean),
        sd=_three(np.sqrt(variance)),
        skin=skin,
        shares=None
        if named is None
        else tuple(float(weights[named == n].sum()) for n in range(len(COLOURS))),
    )


def histogram(
    pixels: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the different colours of pixels, (N, 3), as (M, 3), and how many of each.

    Millions of pixels have some hundred thousand colours: only those are converted.
    """
    red, green, blue = pixels.T.astype(np.uint32)
    codes = red << 16 | green << 8 | blue
    if len(codes) < _SORT_BELOW:
        found, counts = np.unique(codes, return_counts=True)
    else:
        table = np.bincount(codes)
        found = np.flatnonzero(table)
        counts = table[found]
    colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1)
    return colours.astype(np.uint8), counts


def name_colours(
    lab: NDArray[np.float64], skin_lightness: float | None = None
) -> NDArray[np.intp]:
    """Say which of the six colours each colour is.

    The names are those of the ABCD rule; the thresholds are this project's own. The
    first that fits counts, with chroma ``C* = hypot(a*, b*)`` and hue
    ``h = atan2(b*, a*)``:

    ============ ======================================================
    black        L* < 20
    white        L* >= 75, C* < 15, and lighter than the median skin
    blue-grey    C* < 8, or b* < 0 with a* < 20
    red          a* >= 25 and h between -40 and 40 degrees
    dark brown   a* > 0, b* >= 0 and L* < 42
    light brown  a* > 0, b* >= 0 and L* < 70
    ============ ======================================================

    Neither blue-grey nor red are lighter than L* 75, where bare skin begins.

    Parameters
    ----------
    lab : ndarray of float64, shape (N, 3)
        L*, a*, b*.
    skin_lightness : float, optional
        L* of the surrounding skin.

    Returns
    -------
    ndarray of int, shape (N,)
        Index into `COLOURS`; -1 for none of them.
    """
    lightness, a, b = lab.T
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a))
    pale = lightness >= WHITE_FROM
    brown = (a > 0) & (b >= 0)
    rules = {
        "black": lightness < BLACK_BELOW,
        "white": pale & (chroma < WHITE_CHROMA) & (lightness > (skin_lightness or 0)),
        "blue-grey": ~pale & ((chroma < GREY_CHROMA) | ((b < 0) & (a < BLUE_REDNESS))),
        "red": ~pale & (a >= RED_FROM) & (np.abs(hue) <= RED_HUE),
        "dark brown": brown & (lightness < DARK_BROWN_BELOW),
        "light brown": brown & (lightness < LIGHT_BROWN_BELOW),
    }
    names = [COLOURS.index(name) for name in rules]
    return np.asarray(np.select(list(rules.values()), names, default=-1), dtype=np.intp)


def surrounding_skin(
    image: NDArray[np.uint8],
    label_map: NDArray[Any],
    label: int,
    box: tuple[slice, slice],
) -> Lab | None:
    """Return the median colour of the skin around an object; see `Colour.skin`."""
    from scipy.ndimage import distance_transform_edt

    area = np.count_nonzero(label_map[box] == label)
    near, far = (share * math.sqrt(4 * area / math.pi) for share in RING)
    wide = tuple(
        slice(max(0, side.start - math.ceil(far)), side.stop + math.ceil(far))
        for side in box
    )
    labels = label_map[wide]
    step = max(1, -(-max(labels.shape) // _RING_SIDE))
    labels, pixels = labels[::step, ::step], image[wide][::step, ::step]
    away = distance_transform_edt(labels != label) * step
    ring = (labels == 0) & (away > near) & (away <= far)
    if np.count_nonzero(ring) < _FEWEST_SKIN:
        return None
    return _three(np.median(_lab(pixels[ring]), axis=0))


def _lab(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(colours), dtype=np.float64)


def _three(values: Sequence[float] | NDArray[np.float64]) -> Lab:
    lightness, a, b = map(float, values)
    return lightness, a, b
