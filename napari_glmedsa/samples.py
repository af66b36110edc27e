"""Drawn dermoscopy photographs whose lesion masks are known exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from skimage.draw import line_aa
from skimage.filters import gaussian
from skimage.measure import label

Field = NDArray[np.floating[Any]]
Noise = Callable[[float, float], Field]
Pigment = Literal["brown", "dark"]
LayerData = tuple[NDArray[Any], dict[str, Any], Literal["image"]]

MIN_SIDE = 16

# How strongly one unit of a pigment absorbs red, green and blue: melanin swallows blue
# most and red least, blood swallows green. Browns, blacks and pinks follow from these.
MELANIN = np.array([0.52, 1.02, 1.62], np.float32)
BLOOD = np.array([0.08, 0.55, 0.50], np.float32)
BARE_SKIN = np.array([0.97, 0.88, 0.80], np.float32)
VEIL = np.array([0.40, 0.44, 0.54], np.float32)
HAIR = np.array([0.14, 0.08, 0.05], np.float32)


@dataclass(frozen=True, eq=False)
class LesionSample:
    """A drawn photograph and the truth about it.

    Attributes
    ----------
    image : (H, W, 3) uint8
        RGB photograph.
    mask : (H, W) bool
        True on the lesion: one connected region without holes.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def draw_lesion(
    seed: int = 0, size: tuple[int, int] = (480, 640), *, pigment: Pigment = "brown"
) -> LesionSample:
    """Draw one pigmented lesion on skin, as a dermoscope would show it.

    Parameters
    ----------
    seed : int
        Equal seeds, sizes and pigments give equal pictures.
    size : (H, W)
        Picture size in pixels, each side at least 16.
    pigment : {"brown", "dark"}
        A mole with a brown network, or a nearly black lesion with a bluish veil.

    Returns
    -------
    LesionSample
        The picture and the mask of its lesion.
    """
    if min(size) < MIN_SIDE:
        msg = f"A drawn lesion needs sides of at least {MIN_SIDE} pixels, not {size}."
        raise ValueError(msg)
    rng = np.random.default_rng(seed)
    noise = _noise_source(rng, size)
    depth = _lesion_depth(rng, noise, size)
    mask = _one_region(depth > 0)

    melanin = rng.uniform(0.06, 0.14) + _skin_melanin(noise)
    melanin += _lesion_melanin(depth, mask, noise, pigment)
    blood = rng.uniform(0.12, 0.22) + 0.04 * noise(2, 6) + 0.03 * noise(12, 90)
    blood += 0.07 * np.exp(-((depth / 0.08) ** 2))  # a rosy rim around the lesion
    absorbed = melanin[..., None] * MELANIN + blood[..., None] * BLOOD
    picture = BARE_SKIN * np.exp(-absorbed)

    if pigment == "dark":
        veil = _smoothstep(noise(2, 4), 0.2, 1.8) * _smoothstep(depth, 0.05, 0.25)
        picture += 0.5 * veil[..., None] * (VEIL - picture)
    hairs = _hairs(rng, size)[..., None]
    picture += hairs * (HAIR - picture)
    picture += 0.25 * _smoothstep(noise(20, 36), 3.2, 4.2)[..., None]  # glints of gel
    picture *= _light(rng, size)[..., None]
    picture += rng.normal(0, 0.009, picture.shape).astype(np.float32)  # the sensor
    image = (255 * np.clip(picture, 0, 1)).round().astype(np.uint8)
    return LesionSample(image=image, mask=mask)


def sample_lesion() -> list[LayerData]:
    """Give napari the drawn brown lesion as one image layer."""
    image = draw_lesion().image
    return [(image, {"name": "Sample lesion", "rgb": True}, "image")]


def sample_lesion_dark() -> list[LayerData]:
    """Give napari the drawn dark lesion as one image layer."""
    image = draw_lesion(seed=1, pigment="dark").image
    return [(image, {"name": "Sample lesion (dark)", "rgb": True}, "image")]


def _noise_source(rng: np.random.Generator, size: tuple[int, int]) -> Noise:
    """Return ``noise(low, high)``: unit-variance noise between two frequencies.

    Frequencies count cycles along the short side, so texture grows with the picture.
    """
    rows = np.fft.fftfreq(size[0], d=1 / min(size))
    cols = np.fft.rfftfreq(size[1], d=1 / min(size))
    frequency = np.hypot(rows[:, None], cols).astype(np.float32)
    frequency[0, 0] = 1e-3  # no constant part, and no logarithm of zero

    def noise(low: float, high: float) -> Field:
        used = frequency[:, cols < 4 * high]  # the rest is practically zero
        octaves = np.log(used / np.sqrt(low * high)) / (np.log(high / low) / 2)
        band = np.exp(-(octaves**2)) / used  # falling as 1/f, as natural textures do
        real, imaginary = rng.standard_normal((2, *band.shape), dtype=np.float32)
        field = np.fft.irfft2(band * (real + 1j * imaginary), s=size)
        spread = field.std()
        return field / spread if spread > 0 else field

    return noise


def _lesion_depth(
    rng: np.random.Generator, noise: Noise, size: tuple[int, int]
) -> Field:
    """Depth under the lesion's outline in short sides; negative on the skin."""
    y, x = _centred_grid(size)
    y, x = y - rng.uniform(-0.06, 0.06), x - rng.uniform(-0.08, 0.08)
    angle = rng.uniform(0, np.pi)
    long, short = rng.uniform(0.28, 0.34), rng.uniform(0.20, 0.26)
    along = (x * np.cos(angle) + y * np.sin(angle)) / long
    across = (y * np.cos(angle) - x * np.sin(angle)) / short
    depth: Field = (1 - np.hypot(along, across)) * short
    depth += 0.019 * noise(2, 5) + 0.009 * noise(6, 30)
    return depth


def _one_region(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest region and fill its holes."""
    regions = label(inside, connectivity=1)
    largest = regions == np.argmax(np.bincount(regions.ravel())[1:]) + 1
    outside = label(np.pad(~largest, 1, constant_values=True), connectivity=1)
    filled: NDArray[np.bool_] = outside[1:-1, 1:-1] != outside[0, 0]
    return filled


def _skin_melanin(noise: Noise) -> Field:
    """Blotches, fine furrows and a few darker follicles, around zero."""
    furrows = np.exp(-((noise(30, 60) / 0.25) ** 2))
    follicles = _smoothstep(noise(15, 22), 2.5, 3.3)
    melanin: Field = 0.015 * noise(1, 4) - 0.02 * furrows + 0.10 * follicles
    return melanin


def _lesion_melanin(
    depth: Field, mask: NDArray[np.bool_], noise: Noise, pigment: Pigment
) -> Field:
    """Pigment of the lesion: a soft border, patches, a network and globules."""
    softness = 0.013 * np.exp(0.5 * noise(2, 5))
    amount = 1 / (1 + np.exp(-np.clip(depth / softness, -30, 30)))
    amount[~mask & (depth > 0)] = 0  # specks that the mask does not count as lesion
    core = _smoothstep(depth, 0.0, 0.14)
    strength = 0.45 + 0.25 * core if pigment == "brown" else 0.75 + 0.85 * core
    strength *= np.exp(0.33 * noise(3, 7) + 0.10 * noise(20, 90))
    # The network is a dark mesh with round light holes, strongest near the border.
    holes = _smoothstep(noise(36, 52) + 0.5 * noise(3, 9), 0.2, 2.4)
    globules = _smoothstep(noise(24, 34), 1.4, 2.4)
    texture = 1.1 - (0.6 - 0.4 * core) * holes + 0.35 * core * globules
    melanin: Field = amount * strength * texture
    return melanin


def _hairs(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Opacity of a few thin, bent hairs."""
    strokes = np.zeros(size, np.float32)
    for _ in range(rng.integers(2, 6)):
        heading = rng.uniform(0, 2 * np.pi)
        bend = rng.normal(0, 1.2)  # radians over the whole hair
        length = rng.uniform(0.3, 0.9) * min(size)
        t = np.linspace(0, 1, 60)
        turns = heading + bend * t ** rng.uniform(0.7, 2)
        steps = np.stack([np.sin(turns), np.cos(turns)], axis=-1) * length / len(t)
        curve = rng.uniform(-0.05, 1.05, 2) * size + np.cumsum(steps, axis=0)
        corners = curve.round().astype(int)
        thickness = rng.uniform(0.4, 1.0) * np.sin(np.pi * (0.12 + 0.86 * t))
        for (r0, c0), (r1, c1), weight in zip(
            corners[:-1], corners[1:], thickness[1:], strict=True
        ):
            rr, cc, value = line_aa(r0, c0, r1, c1)
            seen = (rr >= 0) & (rr < size[0]) & (cc >= 0) & (cc < size[1])
            rr, cc = rr[seen], cc[seen]
            strokes[rr, cc] = np.maximum(strokes[rr, cc], weight * value[seen])
    width = 0.0016 * min(size)
    opacity: Field = 1 - np.exp(-6 * width * gaussian(strokes, width))
    return opacity


def _light(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Uneven lamp and the dark corners of a round lens."""
    y, x = _centred_grid(size)
    direction = rng.uniform(0, 2 * np.pi)
    lamp = 1.04 + 0.12 * (np.cos(direction) * x + np.sin(direction) * y)
    radius = np.hypot(x, y) / np.hypot(*np.divide(size, 2 * min(size)))
    corners = 1 - 0.8 * _smoothstep(radius, 0.86, 1.02)
    light: Field = lamp * (1 - 0.14 * radius**2) * corners
    return light


def _centred_grid(size: tuple[int, int]) -> tuple[Field, Field]:
    """Coordinates (y, x) from the picture's centre, in short sides."""
    y = (np.arange(size[0], dtype=np.float32) - (size[0] - 1) / 2) / min(size)
    x = (np.arange(size[1], dtype=np.float32) - (size[1] - 1) / 2) / min(size)
    return y[:, None], x[None, :]


def _smoothstep(values: Field, low: float, high: float) -> Field:
    t: Field = np.clip((values - low) / (high - low), 0, 1)
    smooth: Field = t * t * (3 - 2 * t)
    return smooth
