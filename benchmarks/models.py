"""The built-in base, and models with random weights as after training."""

import tempfile
from pathlib import Path

import torch
from segment_anything.modeling import Sam

from napari_glmedsa.adapters import GLMedSAConfig, inject_adapters, iter_adapters
from napari_glmedsa.inference import Predictor, SamArchitecture, build_sam
from napari_glmedsa.registry import ModelRegistry, ModelSpec

BUILT_IN = "sam_vit_mini"

ARCHITECTURES = {
    "vit_mini": SamArchitecture(  # the built-in base
        256,
        6,
        4,
        (1, 3, 5),
        image_size=384,
        window_size=8,
        conv_stem=True,
        stem_stages=7,
    ),
    "vit_b": SamArchitecture(768, 12, 12, (2, 5, 8, 11)),
    "vit_l": SamArchitecture(1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": SamArchitecture(1280, 32, 16, (7, 15, 23, 31)),
}


def random_sam(name: str, *, adapted: bool = False) -> Sam:
    """Build a SAM whose position tables and, if `adapted`, GL adapters count."""
    sam = build_sam(ARCHITECTURES[name]).requires_grad_(False)
    with torch.no_grad():
        for key, parameter in sam.image_encoder.named_parameters():
            if "pos" in key:
                parameter.normal_(0, 0.1)
    if adapted:
        inject_adapters(sam.image_encoder, GLMedSAConfig())
        with torch.no_grad():
            for _, adapter in iter_adapters(sam.image_encoder):
                adapter.up.weight.normal_(0, 0.01)
    return sam


def load_predictor(model: str | None) -> Predictor:
    """Return the built-in base, or a model of `ARCHITECTURES` with random weights."""
    if model is not None:
        return Predictor(random_sam(model), fingerprint="")
    with tempfile.TemporaryDirectory() as folder:
        registry = ModelRegistry(Path(folder))
        return registry.load(ModelSpec(BUILT_IN), device=torch.device("cpu"))
