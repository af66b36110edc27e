"""What the encoder knows about one image, for one model."""

from dataclasses import dataclass

from torch import Tensor

from napari_glmedsa.inference.strokes import LowResFrame


@dataclass(frozen=True, eq=False)
class ImageEmbedding:
    """The output of the image encoder and how to map clicks and masks to it.

    Parameters
    ----------
    features
        (1, C, h, w) float32.
    original_size
        (H, W) of the image as the user sees it.
    input_size
        (H, W) after resizing the longest side, before padding.
    key
        Names the pixels and the model that made it; equal keys, equal features, up
        to the float16 that a cache on disk rounds to.
    """

    features: Tensor
    original_size: tuple[int, int]
    input_size: tuple[int, int]
    key: str

    @property
    def low_res_frame(self) -> LowResFrame:
        """Where the image lies in a mask prompt."""
        height, width = (4 * side for side in self.features.shape[-2:])
        rows, columns = self.input_size
        longest = max(rows, columns)  # it fills the model's input
        used = height * rows / longest, width * columns / longest
        return LowResFrame((height, width), used)
