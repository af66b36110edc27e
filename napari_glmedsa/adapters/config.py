"""Which adapters sit where: the whole ablation is one frozen dataclass."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

AdapterSite = Literal["attn", "mlp", "block"]
Activation = Literal["relu", "gelu"]


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
        if not math.isfinite(self.mlp_scale):
            raise ValueError(f"mlp_scale must be a number, not {self.mlp_scale}.")
        if self.activation not in get_args(Activation):
            raise ValueError(
                f"activation must be relu or gelu, not {self.activation!r}."
            )

        if not re.fullmatch(r"all|last:[1-9]\d*", str(self.blocks)):
            raise ValueError(
                f"blocks must be all or last:k, such as last:4, not {self.blocks!r}."
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
        """Rebuild a config from `to_json`; raises ValueError for unknown fields."""
        try:
            return cls(**{**fields, "sites": tuple(fields["sites"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"Not a GL-Med-SA configuration: {error}.") from error
