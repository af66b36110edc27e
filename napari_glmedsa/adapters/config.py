"""Which adapters sit where: the whole ablation is one frozen dataclass."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, get_args

from napari_glmedsa.adapters.compat import RELEASE_2024_06, Compat

AdapterSite = Literal["attn", "mlp", "block"]
Activation = Literal["relu", "gelu"]
GlobalInput = Literal["block_input", "norm1"]
Wiring = Literal["block", "stream"]
Init = Literal["zero_up", "medsa"]
PresetName = Literal["paper", "medsa-2024-06", "medsa-code"]

_CHOICES: Mapping[str, Any] = {
    "activation": Activation,
    "global_input": GlobalInput,
    "wiring": Wiring,
    "init": Init,
}
_SCALES = ("mlp_scale", "attn_scale", "global_scale")


@dataclass(frozen=True, slots=True)
class GLMedSAConfig:
    """Sites and shape of the bottleneck adapters in every ViT block.

    ``("attn", "mlp")`` is Med-SA, ``("block",)`` is GMed-SA and all three
    together are GL-Med-SA.

    Parameters
    ----------
    sites
        Where adapters sit: after attention (MHA-A), beside the MLP (MLP-A),
        around the whole block (the global adapter).
    bottleneck_ratio
        Hidden width as a share of the encoder width. 1/16 gives the trainable
        counts of the paper's Table I (13.19 M and 19.79 M on ViT-H).
    mlp_scale
        Factor on the MLP-A branch (0.5 in the Med-SA release).
    activation
        Between the two linear layers: ReLU in the paper, GELU in the release.
    blocks
        ``"all"``, or ``"last:k"`` for the k blocks nearest to the output: less to
        train, and no gradient needs to pass through the others.
    attn_scale, global_scale
        Factors on the MHA-A and the global branch; 1 is Eq. (1) as printed.
    global_input
        What the global adapter sees: the raw ``"block_input"``, the paper's
        e_input, or ``"norm1"`` of it.
    wiring
        ``"block"`` adds the global adapter's output after every block, as Eq. (1)
        says; ``"stream"`` lets the global adapters pass a stream of their own from
        the first block to the last, and adds what it has gathered there once.
    init
        ``"zero_up"`` starts from the unchanged encoder; ``"medsa"`` draws both
        layers at random, as the release does.
    compat
        What else to compute as the release does, against SAM.

    Raises
    ------
    ValueError
        If a field has no meaning.
    """

    sites: tuple[AdapterSite, ...] = ("attn", "mlp", "block")
    bottleneck_ratio: float = 1 / 16
    mlp_scale: float = 0.5
    activation: Activation = "relu"
    blocks: str = "all"
    attn_scale: float = 1.0
    global_scale: float = 1.0
    global_input: GlobalInput = "block_input"
    wiring: Wiring = "block"
    init: Init = "zero_up"
    compat: Compat = field(default_factory=Compat)

    def __post_init__(self) -> None:
        known = get_args(AdapterSite)
        if not self.sites or set(self.sites) - set(known):
            raise ValueError(
                f"sites must be one or more of {', '.join(known)}, not {self.sites}."
            )
        if len(set(self.sites)) != len(self.sites):
            raise ValueError(f"Each site can be named once only, not {self.sites}.")
        if not 0 < self.bottleneck_ratio < math.inf:
            raise ValueError(
                f"bottleneck_ratio must be above 0, not {self.bottleneck_ratio}."
            )
        for name in _SCALES:
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be a number, not {getattr(self, name)}.")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"{name} must be {' or '.join(get_args(choices))}, not "
                    f"{getattr(self, name)!r}."
                )
        if not isinstance(self.compat, Compat):
            raise ValueError(f"compat must be a Compat, not {self.compat!r}.")
        if not re.fullmatch(r"all|last:[1-9]\d*", str(self.blocks)):
            raise ValueError(
                f"blocks must be all or last:k, such as last:4, not {self.blocks!r}."
            )

    @classmethod
    def preset(cls, name: PresetName) -> Self:
        """Return the switches of a whole implementation, set together.

        Parameters
        ----------
        name
            ``"paper"`` is what the GL-Med-SA paper says, on SAM as Meta wrote it.
            ``"medsa-2024-06"`` is what the Med-SA release of that month computes,
            with its two local adapters. ``"medsa-code"`` is the same; its training
            trains the mask decoder too (``TrainingConfig.mask_decoder``).

        Raises
        ------
        ValueError
            If there is no such preset.
        """
        if name not in get_args(PresetName):
            raise ValueError(
                f"There is no preset {name!r}; choose "
                f"{', '.join(get_args(PresetName))}."
            )
        if name == "paper":
            return cls()
        return cls(
            sites=("attn", "mlp"),
            bottleneck_ratio=1 / 4,
            activation="gelu",
            init="medsa",
            compat=RELEASE_2024_06,
        )

    def block_indices(self, depth: int) -> range:
        """Return which blocks of an encoder with `depth` blocks have adapters.

        Raises
        ------
        ValueError
            If the encoder has fewer blocks than `blocks` asks for.
        """
        if self.blocks == "all":
            return range(depth)
        count = int(self.blocks.removeprefix("last:"))
        if count > depth:
            raise ValueError(
                f"The encoder has {depth} blocks only, so blocks cannot be "
                f"{self.blocks}; choose all or last:{depth} at most."
            )
        return range(depth - count, depth)

    def bottleneck(self, embed_dim: int) -> int:
        """Return the hidden width for an encoder of width `embed_dim`."""
        return max(1, round(embed_dim * self.bottleneck_ratio))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return {**asdict(self), "sites": list(self.sites)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Rebuild a config from `to_json`; raises ValueError for unknown fields.

        What an older file does not say takes its default.
        """
        try:
            compat = Compat.from_json(fields.get("compat", {}))
            return cls(**{**fields, "sites": tuple(fields["sites"]), "compat": compat})
        except (TypeError, KeyError) as error:
            raise ValueError(f"Not a GL-Med-SA configuration: {error}.") from error
