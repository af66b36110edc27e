"""In which floating type the encoder computes while it trains."""

import torch

from napari_glmedsa.inference.predictor import Precision
from napari_glmedsa.training.config import TrainingPrecision

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(name: TrainingPrecision, device: torch.device) -> Precision:
    """Turn ``"auto"`` into the fastest type that the device computes in."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return "bf16"
    return "fp32"


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context in which the encoder computes; weights stay float32."""
    dtype = _AUTOCAST.get(precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)
