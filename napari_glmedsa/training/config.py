"""How to fine-tune: one frozen dataclass that a run keeps as JSON."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, get_args

from napari_glmedsa.adapters.config import GLMedSAConfig
from napari_glmedsa.errors import TrainingError

Trains = Literal["adapters", "full"]
PromptPolicy = Literal["iterative", "random", "mixed"]
LossName = Literal["bce", "dice_ce", "focal_dice"]
OptimizerName = Literal["adam", "adamw"]
ScheduleName = Literal["constant", "cosine"]
AugmentationName = Literal["none", "standard"]
TrainingPrecision = Literal["auto", "fp32", "bf16", "fp16"]
Checkpointing = Literal["auto", "on", "off"]

_CHOICES: Mapping[str, Any] = {
    "trains": Trains,
    "policy": PromptPolicy,
    "loss": LossName,
    "optimizer": OptimizerName,
    "schedule": ScheduleName,
    "augmentation": AugmentationName,
    "precision": TrainingPrecision,
    "checkpointing": Checkpointing,
}
_COUNTS = ("n_points", "epochs", "batch_size", "accumulation")
_RATES = ("learning_rate", "decoder_learning_rate")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Everything that decides what a training run does, besides model and data.

    Parameters
    ----------
    adapter
        Sites, shape and blocks of fresh adapters; an encoder that has adapters
        already keeps its own.
    trains
        ``"adapters"`` alone, or the ``"full"`` encoder (the blocks named by
        ``adapter.blocks``, without adapters) with the mask decoder.
    mask_decoder
        Train the mask decoder too; ``"full"`` always does.
    n_points
        Clicks per object; the model answers, and is trained, after each.
    policy
        Where clicks after the first fall: ``"iterative"`` on missed lesion,
        ``"random"`` anywhere on the lesion, ``"mixed"`` draws for every object one
        to `n_points` clicks, on missed lesion or on any wrong pixel.
    loss
        ``"bce"`` (lesion pixels count twice), ``"dice_ce"`` or ``"focal_dice"``.
    optimizer, schedule, learning_rate, decoder_learning_rate, weight_decay
        ``"cosine"`` warms up first.
    max_gradient_norm
        Longer gradients are shortened to this; None leaves them.
    epochs
        Each sees every image once.
    batch_size, accumulation
        One optimisation step sees ``batch_size * accumulation`` images, shared
        among the processes; at most `batch_size` are in memory at once.
    patience
        Stop after so many epochs without a better validation; None never does.
    augmentation
        ``"standard"`` turns, flips, reframes and relights.
    precision
        Of the encoder; ``"auto"`` takes bf16 where the device is faster with it, and a
        run that goes on stays with what it began with.
    checkpointing
        Recompute blocks in the backward pass instead of keeping their activations.
    seed
        Source of every draw.

    Raises
    ------
    ValueError
        If a field has no meaning.
    """

    adapter: GLMedSAConfig = field(default_factory=GLMedSAConfig)
    trains: Trains = "adapters"
    mask_decoder: bool = False
    n_points: int = 3
    policy: PromptPolicy = "iterative"
    loss: LossName = "dice_ce"
    optimizer: OptimizerName = "adamw"
    schedule: ScheduleName = "cosine"
    learning_rate: float = 1e-3
    decoder_learning_rate: float = 1e-4
    weight_decay: float = 1e-3
    max_gradient_norm: float | None = 1.0
    epochs: int = 20
    batch_size: int = 2
    accumulation: int = 1
    patience: int | None = 5
    augmentation: AugmentationName = "standard"
    precision: TrainingPrecision = "auto"
    checkpointing: Checkpointing = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(choices))}, not "
                    f"{getattr(self, name)!r}."
                )
        for name in _COUNTS:
            _check_whole(name, getattr(self, name), least=1)
        for name in _RATES:
            _check_number(name, getattr(self, name), above=0, most=1)
        if self.patience is not None:
            _check_whole("patience", self.patience, least=1)
        if self.max_gradient_norm is not None:
            _check_number("max_gradient_norm", self.max_gradient_norm, above=0)
        if self.weight_decay != 0:
            _check_number("weight_decay", self.weight_decay, above=0, most=1)
        _check_whole("seed", self.seed, least=0)
        if not isinstance(self.mask_decoder, bool):
            raise ValueError(
                f"mask_decoder must be true or false, not {self.mask_decoder!r}."
            )
        if not isinstance(self.adapter, GLMedSAConfig):
            raise ValueError(
                f"adapter must be a GL-Med-SA configuration, not {self.adapter!r}."
            )

    @property
    def images_per_step(self) -> int:
        """How many images one optimisation step sees, over all processes."""
        return self.batch_size * self.accumulation

    @property
    def trains_decoder(self) -> bool:
        """Whether the mask decoder changes."""
        return self.mask_decoder or self.trains == "full"

    def steps_per_epoch(self, n_images: int) -> int:
        """Return the optimisation steps of an epoch over `n_images` images."""
        return math.ceil(n_images / self.images_per_step)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**plain, "adapter": self.adapter.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a config from `to_json`; what is missing takes its default.

        Raises
        ------
        ValueError
            For unknown fields and values without meaning.
        """
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(
                f"A training configuration has no field {', '.join(unknown)}; it was "
                "mistyped, or written by another version."
            )
        known = dict(values)
        if "adapter" in known:
            if not isinstance(known["adapter"], Mapping):
                raise ValueError(
                    f"adapter must be a set of fields, not {known['adapter']!r}."
                )
            known["adapter"] = GLMedSAConfig.from_json(known["adapter"])
        return cls(**known)


def check_blocks(config: TrainingConfig, depth: int) -> None:
    """Raise TrainingError if an encoder of so many blocks cannot be trained so."""
    try:
        config.adapter.block_indices(depth)
    except ValueError as error:
        raise TrainingError(str(error)) from error


def _check_whole(name: str, value: object, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(
            f"{name} must be a whole number of at least {least}, not {value!r}."
        )


def _check_number(
    name: str, value: object, *, above: float, most: float = math.inf
) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and above < value <= most):  # type: ignore[arg-type, operator]
        limit = f" and at most {most:g}" if most < math.inf else ""
        raise ValueError(
            f"{name} must be a number above {above:g}{limit}, not {value!r}."
        )
