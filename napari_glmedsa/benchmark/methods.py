"""The rows of Table I: what can be run here, and what the paper printed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

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
    """What the paper's Table I prints for a method, in percent; None is not printed.

    Parameters
    ----------
    dice, iou
        By number of clicks; 0 is a method without clicks.
    """

    dice: Mapping[int, float]
    iou: Mapping[int, float]


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
        Nothing (zero-shot), adapters at `sites`, or the whole model.
    sites
        Where adapters are.
    mask_decoder
        Train the mask decoder, too.
    printed
        The paper's own figures, if it has a row for the method.
    """

    name: str
    title: str
    trains: Literal["nothing", "adapters", "full"]
    sites: tuple[AdapterSite, ...] = ()
    mask_decoder: bool = False
    printed: Printed | None = None

    def config(
        self, recipe: RecipeName, *, n_points: int, seed: int, epochs: int | None = None
    ) -> TrainingConfig:
        """Return how the method is trained; `epochs` overrules the recipe's."""
        known = RECIPES[recipe]
        adapter = known.adapter
        if self.sites:
            adapter = replace(adapter, sites=self.sites)
        return replace(
            known,
            adapter=adapter,
            trains="full" if self.trains == "full" else "adapters",
            mask_decoder=self.mask_decoder,
            n_points=n_points,
            seed=seed,
            epochs=epochs or known.epochs,
        )


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method("sam", "SAM, zero-shot", "nothing"),
            Method("sam_full", "SAM, fully fine-tuned", "full"),
            Method(
                "med_sa",
                "Med-SA (attn + mlp)",
                "adapters",
                ("attn", "mlp"),
                printed=Printed({1: 92.6, 3: 93.4}, {1: 84.1, 3: 84.7}),
            ),
            Method("gmed_sa", "GMed-SA (block)", "adapters", ("block",)),
            Method(
                "gl_med_sa",
                "GL-Med-SA (attn + mlp + block)",
                "adapters",
                ("attn", "mlp", "block"),
                printed=Printed({1: 92.9, 3: 93.8}, {1: 84.5, 3: 85.0}),
            ),
            Method(
                "gl_med_sa_decoder",
                "GL-Med-SA, decoder trained too",
                "adapters",
                ("attn", "mlp", "block"),
                mask_decoder=True,
            ),
        )
    }
)

NOT_RUN: Mapping[str, str] = MappingProxyType(
    {
        "TransBTS": "not at hand",
        "EnsemDiff": "not at hand",
        "MTSeg": "not at hand",
        "UltraUNet": "not at hand",
        "FAT-Net": "not at hand",
        "BAT": "91.2 / 84.3",
        "SegDiff": "not at hand",
    }
)
"""Further rows of the paper, with the figures printed there where they are known."""

TABLE_I = ("sam", "sam_full", "med_sa", "gmed_sa", "gl_med_sa")
