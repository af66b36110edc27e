"""The rows of Table I: what can be run here, and what the paper printed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from napari_glmedsa.adapters.config import AdapterSite
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.presets import PRESETS

RecipeName = Literal["paper", "tuned"]

RECIPES: Mapping[RecipeName, TrainingConfig] = MappingProxyType(
    {
        "paper": PRESETS["paper"].config,
        "tuned": replace(PRESETS["standard"].config, patience=None),
    }
)
"""The recipe as published, and the one this project trains with."""


@dataclass(frozen=True, slots=True)
class Printed:
    """What the paper's Table I prints for a method.

    Parameters
    ----------
    parameters
        In millions: all, or frozen or not / trained.
    dice, iou
        In percent, by number of clicks (0 without clicks), as far as they are known.
    """

    parameters: str
    dice: Mapping[int, float] = field(default_factory=dict)
    iou: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the table.

    Parameters
    ----------
    name
        On the command line.
    title
        In the table.
    trains
        Nothing (zero-shot), adapters, or the whole model; a ``"network"`` of
        `baselines`; a ``"classic"`` method learns nothing.
    adapter
        Fields of `GLMedSAConfig` that differ from the recipe's.
    mask_decoder
        Train the mask decoder, too.
    printed
        The paper's own row, if it has one for the method.
    """

    name: str
    title: str
    trains: Literal["nothing", "adapters", "full", "network", "classic"]
    adapter: Mapping[str, Any] = field(default_factory=dict)
    mask_decoder: bool = False
    printed: Printed | None = None

    @property
    def is_automatic(self) -> bool:
        """Whether nobody clicks."""
        return self.trains in ("network", "classic")

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to learn."""
        return self.trains in ("nothing", "classic")

    def config(
        self, recipe: RecipeName, *, n_points: int, seed: int, epochs: int | None = None
    ) -> TrainingConfig:
        """Return how the method is trained; `epochs` overrules the recipe's."""
        known = RECIPES[recipe]
        return replace(
            known,
            adapter=replace(known.adapter, **self.adapter),
            trains="full" if self.trains == "full" else "adapters",
            mask_decoder=self.mask_decoder,
            n_points=n_points,
            seed=seed,
            epochs=epochs or known.epochs,
        )


_CLASSICS = ("otsu", "random_walker")
_GL: tuple[AdapterSite, ...] = ("attn", "mlp", "block")


def _sites(*sites: AdapterSite) -> dict[str, Any]:
    return {"sites": sites}


_TABLE_I = (
    Method("sam", "SAM, zero-shot", "nothing", printed=Printed("636 / 0")),
    Method(
        "sam_full",
        "SAM, fully fine-tuned (MedSAM)",
        "full",
        printed=Printed("636 / 636"),
    ),
    Method(
        "med_sa",
        "Med-SA (attn + mlp)",
        "adapters",
        _sites("attn", "mlp"),
        printed=Printed("636 / 13", {1: 92.6, 3: 93.4}, {1: 84.1, 3: 84.7}),
    ),
    Method("gmed_sa", "GMed-SA (block)", "adapters", _sites("block")),
    Method(
        "gl_med_sa",
        "GL-Med-SA (attn + mlp + block)",
        "adapters",
        _sites(*_GL),
        printed=Printed("636 / 20", {1: 92.9, 3: 93.8}, {1: 84.5, 3: 85.0}),
    ),
)
_ABLATION = tuple(
    Method(name, title, "adapters", adapter, mask_decoder=name == "gl_decoder")
    for name, title, adapter in (
        ("gl_attn", "attn alone", _sites("attn")),
        ("gl_mlp", "mlp alone", _sites("mlp")),
        ("gl_attn_block", "attn + block", _sites("attn", "block")),
        ("gl_mlp_block", "mlp + block", _sites("mlp", "block")),
        ("gl_ratio_4", "bottleneck D/4", {"bottleneck_ratio": 1 / 4}),
        ("gl_ratio_64", "bottleneck D/64", {"bottleneck_ratio": 1 / 64}),
        ("gl_gelu", "GELU", {"activation": "gelu"}),
        ("gl_medsa_init", "Med-SA's initialisation", {"init": "medsa"}),
        ("gl_norm1", "global input after norm1", {"global_input": "norm1"}),
        ("gl_stream", "global adapters as a stream", {"wiring": "stream"}),
        ("gl_decoder", "decoder trained too", {}),
    )
)
_AUTOMATIC = tuple(
    Method(
        name,
        title,
        "classic" if name in _CLASSICS else "network",
        printed=Printed(millions) if millions else None,
    )
    for name, title, millions in (
        ("unet_resnet34", "ResUNet (U-Net, ResNet-34)", "17"),
        ("deeplabv3plus_boundary", "BEAL's essence (DeepLabV3+, boundary)", "25"),
        ("dynunet", "nnU-Net's architecture (DynUNet)", "16"),
        ("transunet", "TransUNet", "96"),
        ("unetr", "UNETR", "104"),
        ("swinunetr", "Swin-UNETR", "138"),
        ("otsu", "Otsu's threshold", ""),
        ("random_walker", "Random walker", ""),
    )
)
METHODS: Mapping[str, Method] = MappingProxyType(
    {method.name: method for method in (*_TABLE_I, *_ABLATION, *_AUTOMATIC)}
)
INPUT_SIZE = 256
"""Pixels of a network's square input at most, about what their authors take."""

SUBJECT = "gl_med_sa"
"""What a table is about: it chooses the cases shown, and is compared with all."""

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "table1": tuple(method.name for method in _TABLE_I),
        "ablation": ("gl_med_sa", *(method.name for method in _ABLATION)),
        "automatic": tuple(method.name for method in _AUTOMATIC),
    }
)
"""Names that stand for several methods."""

NOT_RUN: Mapping[str, Printed] = MappingProxyType(
    {
        "TransBTS": Printed("39"),
        "EnsemDiff": Printed("27"),
        "MTSeg": Printed("19"),
        "UltraUNet": Printed("19"),
        "FAT-Net": Printed("75"),
        "BAT": Printed("88", {0: 91.2}, {0: 84.3}),
        "SegDiff": Printed("32"),
    }
)
"""Further rows of the paper, which nothing here runs."""
