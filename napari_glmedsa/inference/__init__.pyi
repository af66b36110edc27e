from .architecture import SamArchitecture, build_sam, resize_sam
from .attention import fuse_attention, unfuse_attention
from .decode import decode_masks
from .device import available_devices, resolve_device, resolve_precision
from .embedding import ImageEmbedding
from .embedding_cache import EmbeddingCache, default_cache_folder
from .predictor import MaskPrediction, Predictor
from .preprocess import to_rgb_uint8
from .prompts import Prompts
from .weights import read_weights

__all__ = [
    "EmbeddingCache",
    "ImageEmbedding",
    "MaskPrediction",
    "Predictor",
    "Prompts",
    "SamArchitecture",
    "available_devices",
    "build_sam",
    "decode_masks",
    "default_cache_folder",
    "fuse_attention",
    "read_weights",
    "resize_sam",
    "resolve_device",
    "resolve_precision",
    "to_rgb_uint8",
    "unfuse_attention",
]
