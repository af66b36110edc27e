"""What a photograph is like: lesion size, contrast, skin, and what else is on it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2gray, rgb2lab
from skimage.measure import label
from skimage.morphology import black_tophat, dilation, disk
from skimage.transform import resize

from napari_glmedsa.evaluation import Case
from napari_glmedsa.measurement.colour import measure_colour

_SIDE = 256  # pixels of the picture in which corners and hair are looked for
_CORNER = 0.06  # of a side
_DARK = 0.15  # of white
_HAIR_CONTRAST, _HAIR_SHARE = 0.08, 0.02  # of white; of the picture
_PATCH_COLOUR, _PATCH_SHARE = 22, 0.01  # distance in a*b* from the skin; of the picture
_LIT, _MARGIN = 30, 8  # L* of what has a colour; pixels around the lesion

ITA_BINS = ((55, "very light"), (41, "light"), (28, "intermediate"), (10, "tan"))
"""Lower ends in degrees (Chardin's classes); below them brown and dark together."""

SIZE_BINS = ((0.05, "below 5 %"), (0.2, "5 to 20 %"), (0.5, "20 to 50 %"))
"""Upper ends, of the picture."""

CONTRAST_BINS = ((15, "below 15"), (30, "15 to 30"))
"""Upper ends, in Delta E."""

_UNKNOWN, _DARKEST = "unknown", "brown or dark"
_LARGEST, _STRONGEST = "50 % and more", "30 and more"

ORDER = (
    *("no", "yes", "no lesion", *(name for _, name in SIZE_BINS), _LARGEST),
    *(*(name for _, name in CONTRAST_BINS), _STRONGEST),
    *(*(name for _, name in ITA_BINS), _DARKEST, _UNKNOWN),
)
"""Names of groups, those of a grouping as a table shows them."""


@dataclass(frozen=True, slots=True)
class Traits:
    """One photograph's place in every grouping.

    Parameters
    ----------
    share
        Of the picture that the lesion fills.
    contrast
        CIE 1976 Delta E between the lesion's mean and the surrounding skin, or None.
    ita
        Individual typology angle of that skin in degrees, or None. Pixels of an
        uncalibrated camera give a rough one: a bin is not a Fitzpatrick type.
    has_dark_corners, has_hair, has_patch
        Whether the picture's corners are black, thin dark lines cross it, and a piece
        of unlike colour (a sticker, a pen's mark) comes in from its edge.
    """

    share: float
    contrast: float | None
    ita: float | None
    has_dark_corners: bool
    has_hair: bool
    has_patch: bool

    @classmethod
    def of(cls, case: Case) -> "Traits":
        """Look at a photograph and its true mask."""
        contrast, ita = _colours(case) if case.mask.any() else (None, None)
        size = _size(case.mask.shape)
        small = resize(case.image, size, anti_aliasing=True)
        lesion = resize(case.mask, size, order=0, anti_aliasing=False)
        grey = rgb2gray(small)
        return cls(
            share=float(case.mask.mean()),
            contrast=contrast,
            ita=ita,
            has_dark_corners=_has_dark_corners(grey),
            has_hair=_has_hair(grey),
            has_patch=_has_patch(small, lesion),
        )

    @property
    def groups(self) -> Mapping[str, str]:
        """The name of the group in every grouping."""
        return MappingProxyType(
            {
                "lesion size": _size_group(self.share),
                "contrast": _contrast_group(self.contrast),
                "skin (ITA)": _skin_group(self.ita),
                "dark corners": "yes" if self.has_dark_corners else "no",
                "hair": "yes" if self.has_hair else "no",
                "coloured patch": "yes" if self.has_patch else "no",
            }
        )


def _colours(case: Case) -> tuple[float | None, float | None]:
    labels = case.mask.astype(np.uint8)
    colour = measure_colour(case.image, labels, 1, _box(case.mask))
    return colour.contrast, colour.skin and _typology_angle(colour.skin)


def _size_group(share: float) -> str:
    if not share:
        return "no lesion"
    return next((name for end, name in SIZE_BINS if share < end), _LARGEST)


def _contrast_group(contrast: float | None) -> str:
    if contrast is None:
        return _UNKNOWN
    return next((name for end, name in CONTRAST_BINS if contrast < end), _STRONGEST)


def _skin_group(ita: float | None) -> str:
    if ita is None:
        return _UNKNOWN
    return next((name for end, name in ITA_BINS if ita > end), _DARKEST)


def _typology_angle(skin: tuple[float, float, float]) -> float:
    lightness, _, yellow = skin
    return math.degrees(math.atan2(lightness - 50, yellow))


def _has_dark_corners(grey: NDArray[np.float64]) -> bool:
    rows, columns = (max(1, round(_CORNER * side)) for side in grey.shape)
    corners = [
        grey[vertical, horizontal].mean()
        for vertical in (slice(rows), slice(-rows, None))
        for horizontal in (slice(columns), slice(-columns, None))
    ]
    return bool(np.sum(np.array(corners) < _DARK) >= 2)


def _has_hair(grey: NDArray[np.float64]) -> bool:
    thin_and_dark = black_tophat(grey, disk(3)) > _HAIR_CONTRAST
    return bool(thin_and_dark.mean() > _HAIR_SHARE)


def _has_patch(picture: NDArray[np.float64], lesion: NDArray[np.bool_]) -> bool:
    outside = ~dilation(lesion, disk(_MARGIN))
    if not outside.any():
        return False
    lightness, *colour = np.moveaxis(rgb2lab(picture), -1, 0)
    red, yellow = (channel - np.median(channel[outside]) for channel in colour)
    unlike = (np.hypot(red, yellow) > _PATCH_COLOUR) & (lightness > _LIT) & outside
    pieces = label(unlike)
    sizes = np.bincount(pieces.ravel())
    edges = (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1])
    cut = np.setdiff1d(np.concatenate(edges), [0])
    return bool((sizes[cut] > _PATCH_SHARE * pieces.size).any())


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    scale = _SIDE / max(shape)
    height, width = (max(1, round(side * scale)) for side in shape)
    return height, width


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
