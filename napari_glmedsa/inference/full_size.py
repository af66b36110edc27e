"""Low-resolution logits to a mask at the image's size, computed where it can change.

SAM enlarges logits to the model's input size, crops the padding away, enlarges again to
the image's size and asks which are positive. A pixel is a mixture of four logits, so
where all four have one sign, nothing needs to be computed: in a photograph of 24
megapixels what remains is a seam along the outline.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Box = tuple[slice, slice]

_SMALL = 500_000  # pixels up to which computing them all takes less time
_BAND = 64  # rows of pixels looked at together: a seam is as wide as its bend in them
# PyTorch computes an output whose sides add up to 128 or less in another way, which
# rounds differently.
_WIDE = 129
_ZERO = 1e-30  # what rounding may turn into zero
_ROUNDING = 2e-6  # of a mixture, relative to the logits in it


def full_size_mask(
    low_res_logits: Tensor,
    *,
    image_size: int,
    input_size: tuple[int, int],
    original_size: tuple[int, int],
) -> tuple[NDArray[np.bool_], Box]:
    """Return what SAM's ``postprocess_masks`` gives on a CPU, thresholded at 0.

    Parameters
    ----------
    low_res_logits
        (4h, 4w) float32, finite, on any device.
    image_size
        Side of the model's square input frame.
    input_size
        (H, W) of the image in it.
    original_size
        (H, W) of the image.

    Returns
    -------
    mask
        (H, W) bool of the original size.
    box
        Rows and columns outside of which the mask is False; where nothing is True,
        both are empty.
    """
    side = (image_size, image_size)
    frame = _interpolate(low_res_logits.float().cpu(), side)
    frame = frame[: input_size[0], : input_size[1]]
    box = _box(frame, original_size)
    if original_size[0] * original_size[1] <= _SMALL:
        return (_interpolate(frame, original_size) > 0).numpy(), box
    mask = np.zeros(original_size, dtype=bool)
    if box[0].stop:
        _fill(mask, box, frame)
    return mask, box


def _fill(mask: NDArray[np.bool_], box: Box, frame: Tensor) -> None:
    """Fill the box in bands, so that little is computed and memory is small."""
    logits = frame.numpy()
    n_rows = max(1, _BAND * len(logits) // len(mask))
    rows = _axis(logits.shape[0], mask.shape[0]).part(box[0])
    columns = _axis(logits.shape[1], mask.shape[1]).part(box[1])
    doubtful = []
    for first in range(rows.lower[0], rows.lower[-1] + 1, n_rows):
        start, stop = np.searchsorted(rows.lower, (first, first + n_rows))
        if start == stop:
            continue
        band = rows.part(slice(start, stop))
        source = logits[first : band.upper[-1] + 1]
        found = _both(np.all(source > _ZERO, axis=0), columns)
        known = found | _both(np.all(source <= 0, axis=0), columns)
        part = mask[box[0].start + start : box[0].start + stop, box[1]]
        part[:] = found
        seam = np.flatnonzero(~known)
        if len(seam):
            values = _mix(source, band.moved(-first), columns.part(seam))
            part[:, seam] = values > 0
            distance, near = np.abs(values), _ROUNDING * np.abs(source).max()
            if distance.min() <= near:
                y, x = np.nonzero(distance <= near)
                doubtful.append((y + box[0].start + start, seam[x] + box[1].start))
    if doubtful:
        y, x = (np.concatenate(axis) for axis in zip(*doubtful, strict=True))
        mask[y, x] = _as_torch_rounds(frame, mask.shape, y, x) > 0


@dataclass(frozen=True, eq=False)
class _Axis:
    """How pixels of one axis are mixed: (N,) indices of two logits and their shares."""

    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    lower_share: NDArray[np.float32]
    upper_share: NDArray[np.float32]

    def part(self, which: Any) -> "_Axis":
        """Return some of the pixels, given as slice or indices."""
        return _Axis(
            self.lower[which],
            self.upper[which],
            self.lower_share[which],
            self.upper_share[which],
        )

    def moved(self, by: int) -> "_Axis":
        """Return the same pixels with logits that are counted from elsewhere."""
        return _Axis(
            self.lower + by, self.upper + by, self.lower_share, self.upper_share
        )


@lru_cache(maxsize=8)  # click after click they are the same, for both sides of an image
def _axis(n_logits: int, n_pixels: int) -> _Axis:
    """Ask PyTorch, whose indices and shares have rounding errors of their own."""
    # Each pixel's shares by the remainders of its logits, and roughly where it is.
    probe = torch.eye(3).repeat(1, n_logits // 3 + 1)[:, :n_logits]
    by_remainder = functional.interpolate(
        probe[None], n_pixels, mode="linear", align_corners=False
    )[0].numpy()
    position = (np.arange(n_pixels) + 0.5) * (n_logits / n_pixels) - 0.5
    middle = np.clip(np.rint(position), 0, n_logits - 1).astype(np.intp)
    pixels = np.arange(n_pixels)
    below = by_remainder[(middle - 1) % 3, pixels]
    above = by_remainder[(middle + 1) % 3, pixels]
    lower = np.where((below > 0) & (middle > 0), middle - 1, middle)
    upper = np.minimum(lower + 1, n_logits - 1)
    upper_share = np.where(lower < middle, by_remainder[middle % 3, pixels], above)
    lower_share = np.where(lower < middle, below, by_remainder[middle % 3, pixels])
    return _Axis(lower, upper, lower_share, upper_share)


def _both(of_logits: Any, axis: _Axis) -> NDArray[np.bool_]:
    """Tell for which pixels something is true of both their logits."""
    both: NDArray[np.bool_] = of_logits[axis.lower] & of_logits[axis.upper]
    return both


def _mix(
    logits: NDArray[np.float32], rows: _Axis, columns: _Axis
) -> NDArray[np.float32]:
    across = logits[:, columns.lower] * columns.lower_share
    across += logits[:, columns.upper] * columns.upper_share
    values: NDArray[np.float32] = across[rows.lower] * rows.lower_share[:, None]
    values += across[rows.upper] * rows.upper_share[:, None]
    return values


def _as_torch_rounds(
    frame: Tensor, size: tuple[int, ...], y: NDArray[np.intp], x: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Compute single pixels so near to 0 that how it is rounded decides their sign.

    PyTorch mixes along rows and then along columns. To the same number of rows or
    columns it mixes nothing, so both can be done apart: the first for a few rows,
    the second for a few columns, of an image as large as it takes to be rounded so.
    """
    axis = _axis(frame.shape[0], size[0])
    rows = np.unique(np.concatenate([axis.lower[y], axis.upper[y]]))
    columns, place = np.unique(x, return_inverse=True)
    mixed = functional.pad(frame[rows], (0, 0, 0, max(0, _WIDE - size[1])))
    mixed = _interpolate(mixed, (len(mixed), size[1]))
    across = torch.zeros(frame.shape[0], len(columns) + max(0, _WIDE - size[0]))
    across[rows, : len(columns)] = mixed[: len(rows), columns]
    values = _interpolate(across, (size[0], across.shape[1]))
    return values.numpy()[y, place]


def _box(frame: Tensor, size: tuple[int, int]) -> Box:
    """Return where logits enlarged to `size` can be positive."""
    positive = frame.numpy() > 0
    slices = []
    for axis in (0, 1):
        found = np.flatnonzero(positive.any(axis=1 - axis))
        if len(found) == 0:
            return slice(0, 0), slice(0, 0)
        step = size[axis] / frame.shape[axis]
        # half a logit around each is nearest to it, and one more takes part in it
        start = int((float(found[0]) - 1) * step) - 1
        stop = int((float(found[-1]) + 2) * step) + 2
        slices.append(slice(max(0, start), min(size[axis], stop)))
    return slices[0], slices[1]


def _interpolate(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(
        logits[None, None], size, mode="bilinear", align_corners=False
    )[0, 0]
