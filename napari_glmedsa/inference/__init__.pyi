from .architecture import SamArchitecture, build_sam, resize_sam
from .decode import decode_masks
from .device import available_devices, resolve_device
from .embedding import ImageEmbedding
from .predictor import MaskPrediction, Predictor
from .preprocess import to_rgb_uint8
from .prompts import Prompts
from .weights import read_weights

__all__ = [
    "ImageEmbedding",
    "MaskPrediction",
    "Predictor",
    "Prompts",
    "SamArchitecture",
    "available_devices",
    "build_sam",
    "decode_masks",
    "read_weights",
    "resize_sam",
    "resolve_device",
    "to_rgb_uint8",
]
