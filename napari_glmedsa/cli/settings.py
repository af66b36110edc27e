"""The settings of a training run on the command line: a preset and its changes."""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from napari_glmedsa.errors import TrainingError

if TYPE_CHECKING:
    from napari_glmedsa.training.config import TrainingConfig


def configure(
    preset: str,
    settings: Sequence[str],
    *,
    epochs: int | None = None,
    seed: int | None = None,
) -> "TrainingConfig":
    """Return a preset's configuration with the changes of the command line.

    Raises
    ------
    TrainingError
        If there is no such preset or setting, or its value has no meaning.
    """
    from napari_glmedsa.training.config import TrainingConfig
    from napari_glmedsa.training.presets import PRESETS

    if preset not in PRESETS:
        raise TrainingError(
            f"There is no preset {preset!r}; choose one of {', '.join(PRESETS)}."
        )
    values = PRESETS[preset].config.to_json()
    for text in settings:
        key, equals, value = text.partition("=")
        *where, leaf = key.split(".")
        branch: Any = values
        for name in where:
            branch = branch.get(name) if isinstance(branch, dict) else None
        known = isinstance(branch, dict) and leaf in branch
        if not equals or not known or isinstance(branch[leaf], dict):
            keys = ", ".join(field.name for field in fields(TrainingConfig))
            raise TrainingError(
                f"--set {text} is not KEY=VALUE with a known key; keys are: {keys}, "
                "and adapter.sites, adapter.compat.swap_xy and the like."
            )
        branch[leaf] = _value(value)
    for key, number in (("epochs", epochs), ("seed", seed)):
        if number is not None:
            values[key] = number
    try:
        return TrainingConfig.from_json(values)
    except (ValueError, TypeError) as error:
        raise TrainingError(str(error)) from error


def _value(text: str) -> Any:
    """Read a number, true, false, null or a list; anything else is a word."""
    try:
        return json.loads({"none": "null"}.get(text.lower(), text))
    except ValueError:
        return text.split(",") if "," in text else text
