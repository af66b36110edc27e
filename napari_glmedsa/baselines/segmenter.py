"""One interface for everything that outlines a lesion by itself."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.utils.transforms import ResizeLongestSide
from skimage.color import rgb2gray, rgb2lab
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label as connected_regions
from skimage.segmentation import random_walker
from skimage.transform import resize
from torch import Tensor, nn
from torch.nn import functional

_SIDE = 192  # pixels, of the longer side, that the classics look at
_MEAN, _SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Segmenter(Protocol):
    """Outlines the lesion of an image without being told where it is."""

    def segment(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return the mask (H, W) of an image (H, W, 3) uint8."""


class NetworkSegmenter:
    """A network that answers with logits, (N, 3, S, S) to (N, C, S, S).

    Parameters
    ----------
    network
        The first of its channels is the mask.
    size
        S, pixels of the square it sees: the image's longer side, padded.
    """

    def __init__(self, network: nn.Module, *, size: int) -> None:
        self.network = network.eval()
        self.size = size

    @torch.inference_mode()
    def segment(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return the mask, interpolated to the image's own size as SAM does."""
        small = ResizeLongestSide(self.size).apply_image(image)
        device = next(self.network.parameters()).device
        logits = self.network(network_input(small, self.size)[None].to(device))[:, :1]
        height, width = small.shape[:2]
        cut = logits[..., :height, :width].float()
        full = functional.interpolate(cut, image.shape[:2], mode="bilinear")
        mask: NDArray[np.bool_] = (full[0, 0] > 0).cpu().numpy()
        return mask


class OtsuSegmenter:
    """Darker than Otsu's threshold, the largest piece that is not a dark corner."""

    def segment(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return the mask."""
        grey = gaussian(rgb2gray(_shrunk(image)), sigma=2)
        return _enlarged(_main_piece(grey < threshold_otsu(grey)), image)


class RandomWalkerSegmenter:
    """A random walk from what Otsu is sure of: the darkest inside, the skin outside."""

    def segment(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return the mask."""
        small = _shrunk(image)
        grey = gaussian(rgb2gray(small), sigma=2)
        threshold = threshold_otsu(grey)
        inside = _main_piece(grey < threshold)
        if not inside.any():
            return _enlarged(inside, image)
        seeds = np.zeros(grey.shape, np.int32)
        seeds[grey > (threshold + grey.max()) / 2] = 2
        seeds[inside & (grey < (threshold + grey[inside].min()) / 2)] = 1
        if not (seeds == 1).any() or not (seeds == 2).any():
            return _enlarged(inside, image)
        found = random_walker(
            rgb2lab(small) / 100,
            seeds,
            beta=130,
            tol=1e-6,
            mode="cg_j",
            channel_axis=-1,
        )
        return _enlarged(_main_piece(found == 1), image)


def network_input(image: NDArray[np.uint8], size: int) -> Tensor:
    """Return an image (h, w, 3) of at most `size` pixels as (3, size, size) float32.

    Normalised with the mean and deviation of ImageNet, then padded below and right.
    """
    levels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (_MEAN, _SD))
    height, width = image.shape[:2]
    padding = (0, size - width, 0, size - height)
    return functional.pad((levels - mean) / deviation, padding)


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small: NDArray[np.uint8] = ResizeLongestSide(_SIDE).apply_image(image)
    return small


def _enlarged(mask: NDArray[np.bool_], image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    full = resize(mask.astype(np.float32), image.shape[:2], order=1)
    large: NDArray[np.bool_] = full >= 0.5
    return large


def _main_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the piece with the most pixels near the middle of the picture."""
    pieces = connected_regions(mask)
    if not pieces.any():
        return mask
    rows, columns = (np.linspace(-1, 1, side) for side in mask.shape)
    weight = np.exp(-2 * (rows[:, None] ** 2 + columns[None] ** 2))
    sums = np.bincount(pieces.ravel(), weights=weight.ravel())
    sums[0] = 0
    found: NDArray[np.bool_] = pieces == sums.argmax()
    return found
