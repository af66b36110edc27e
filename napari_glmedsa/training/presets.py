"""Training configurations with a name and one sentence for people who choose."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from napari_glmedsa.adapters.config import GLMedSAConfig
from napari_glmedsa.training.config import TrainingConfig

DEFAULT_PRESET = "standard"


@dataclass(frozen=True, slots=True)
class Preset:
    """A named starting point; every field of its config can still be changed."""

    name: str
    sentence: str
    config: TrainingConfig


_STANDARD = TrainingConfig(policy="mixed")
_PAPER = TrainingConfig(
    loss="bce",
    optimizer="adam",
    schedule="constant",
    learning_rate=1e-4,
    weight_decay=0.0,
    max_gradient_norm=None,
    epochs=35,
    patience=None,
    augmentation="none",
)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset(
                "standard",
                "GL-Med-SA adapters with augmented images; right for most projects.",
                _STANDARD,
            ),
            Preset(
                "quick",
                "Few epochs with one click each; a first look in minutes.",
                replace(_STANDARD, n_points=1, policy="iterative", epochs=5),
            ),
            Preset(
                "paper",
                "GL-Med-SA as published: 35 epochs of Adam at 1e-4, cross-entropy, "
                "three clicks, no augmentation.",
                _PAPER,
            ),
            Preset(
                "med-sa",
                "Med-SA: the published recipe with the two local adapters only.",
                replace(_PAPER, adapter=GLMedSAConfig(sites=("attn", "mlp"))),
            ),
            Preset(
                "medsa-code",
                "Med-SA as its code of June 2024 trains it, flaws included; to compare "
                "with, not for use.",
                replace(
                    _PAPER,
                    adapter=GLMedSAConfig.preset("medsa-code"),
                    mask_decoder=True,
                    decoder_learning_rate=1e-4,
                    n_points=1,
                    epochs=100,
                ),
            ),
            Preset(
                "gmed-sa",
                "GMed-SA: the published recipe with the global adapters only.",
                replace(_PAPER, adapter=GLMedSAConfig(sites=("block",))),
            ),
            Preset(
                "decoder",
                "Adapters and the mask decoder; fits outlines that SAM draws "
                "differently, with enough images.",
                replace(_STANDARD, mask_decoder=True),
            ),
            Preset(
                "full",
                "The whole encoder and decoder, as MedSAM; needs many images and "
                "much memory.",
                replace(_STANDARD, trains="full", learning_rate=1e-4),
            ),
        )
    }
)
