"""One photograph as it might have been taken: framed, turned and lit anew."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import label as connected_regions

_ATTEMPTS = 8
_LEAST_SHARE = 0.004  # of the frame; a smaller lesion was lost by the framing


def augment(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    size: int,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Frame the lesion anew, turn, flip, and change the light.

    Parameters
    ----------
    image, mask
        (H, W, 3) uint8 and (H, W) bool.
    rng
        Source of every draw.
    size
        Longest side of the result in pixels.

    Returns
    -------
    tuple
        Image (h, w, 3) uint8 and mask (h, w) bool of another shape and aspect;
        the lesion is never lost.
    """
    least = min(_LEAST_SHARE, 0.5 * float(mask.mean()))
    for _ in range(_ATTEMPTS):
        framed, truth = _reframe(image, mask, rng, size)
        if truth.mean() > least:
            return _relight(framed, rng), truth
    return _relight(image, rng), mask


def _reframe(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    rng: np.random.Generator,
    size: int,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Look through a window of random place, angle, aspect and scale.

    It may reach over the edge of the photograph, which is continued by
    reflection, so a close crop becomes something like a full frame and the other
    way round.
    """
    height, width = mask.shape
    angle, zoom = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(-0.35, 0.45))
    aspect = np.exp(rng.uniform(-0.3, 0.3))
    view_w, view_h = width * zoom * aspect**0.5, height * zoom / aspect**0.5
    scale = max(view_w, view_h) / size
    out_w, out_h = max(16, round(view_w / scale)), max(16, round(view_h / scale))
    centre = np.array([width, height]) * rng.uniform(0.38, 0.62, 2)
    turn = scale * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    if rng.random() < 0.5:
        turn[:, 0] *= -1
    offset = centre - turn @ (np.array([out_w, out_h]) / 2)
    margin = max(height, width) // 2
    coefficients = (*turn[0], offset[0] + margin, *turn[1], offset[1] + margin)
    borders = ((margin, margin), (margin, margin))

    def through(
        pixels: NDArray[np.uint8], resample: Image.Resampling
    ) -> NDArray[np.uint8]:
        picture = Image.fromarray(pixels)
        seen = picture.transform(
            (out_w, out_h), Image.Transform.AFFINE, coefficients, resample
        )
        return np.array(seen)

    levels = 255 * mask.astype(np.uint8)
    reflected = np.pad(levels, borders, mode="reflect")
    alone = np.pad(levels, borders)
    nearest = Image.Resampling.NEAREST
    padded = np.pad(image, (*borders, (0, 0)), mode="reflect")
    # a reflected lesion is another one, unless it goes on where the real one is cut
    regions = connected_regions(through(reflected, nearest) > 127)
    real = np.unique(regions[through(alone, nearest) > 127])
    truth: NDArray[np.bool_] = np.isin(regions, real[real > 0])
    return through(padded, Image.Resampling.BILINEAR), truth


def _relight(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change brightness, the balance of the colours, and gamma."""
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.92, 1.08, 3)
    levels = np.arange(256)[:, None] / 255
    curves = np.clip(levels * gain, 0, 1) ** rng.uniform(0.8, 1.25)
    table = np.rint(255 * curves).astype(np.uint8)  # (256, 3): one curve per colour
    return np.stack([table[image[..., c], c] for c in range(3)], axis=-1)
