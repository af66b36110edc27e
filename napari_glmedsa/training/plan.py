"""What a run is about to do, fixed when it is made and never changed afterwards."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Self

from napari_glmedsa import __version__
from napari_glmedsa.activation import ActiveModel
from napari_glmedsa.adapters.card import read_card
from napari_glmedsa.errors import (
    AdapterMismatchError,
    ModelNotFoundError,
    TrainingError,
)
from napari_glmedsa.files import read_json, sha256_file, write_json
from napari_glmedsa.project import AnnotationProject, Split
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.waiting import cpu_cores

Activation = Literal["by_gate", "never"]

SCHEMA_VERSION = 1

_PACKAGES = (
    *("torch", "torchvision", "segment-anything", "safetensors", "accelerate"),
    *("monai", "numpy", "scikit-image"),
)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The content of a run's ``config.json``.

    Parameters
    ----------
    config
        How to train.
    start
        Base model, and the adapter that is trained further if there is one.
    compare_with
        The old model of the gate.
    name
        Stem of the new adapter's name.
    device
        As the user named it, such as ``"auto"``.
    images
        Split to ids of annotated images, as they were when the run was made.
    data_sha256
        Split to a hash of ids and masks.
    base_sha256
        `tensors_sha256` of the base; empty if it is a file that is yet to be read.
    parent_sha256
        Hash of the adapter file of `start`; empty if there is none.
    activation
        Whether the gate may put the new model into use.
    checkpoint_seconds
        Time between two checkpoints within an epoch.
    threads
        Of the CPU: another number would change the last bits of every sum.
    """

    config: TrainingConfig
    start: ModelSpec
    compare_with: ModelSpec
    name: str
    images: Mapping[Split, tuple[str, ...]]
    data_sha256: Mapping[Split, str]
    device: str = "auto"
    base_sha256: str = ""
    parent_sha256: str = ""
    activation: Activation = "by_gate"
    checkpoint_seconds: float = 60.0
    threads: int = field(default_factory=lambda: cpu_cores())
    created: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds")
    )
    code_version: str = __version__
    packages: Mapping[str, str] = field(default_factory=lambda: _versions())

    @property
    def held_out(self) -> Split:
        """The split that the gate measures on: test, or val where there is no test."""
        return "test" if self.images.get("test") else "val"

    @property
    def counts(self) -> dict[str, int]:
        """Annotated images per split."""
        return {split: len(ids) for split, ids in self.images.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON types."""
        return {
            "schema_version": SCHEMA_VERSION,
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "config": self.config.to_json(),
            "start": asdict(self.start),
            "compare_with": asdict(self.compare_with),
            "images": {split: list(ids) for split, ids in self.images.items()},
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild a plan from `to_json`."""
        known = {field.name for field in fields(cls)}
        return cls(
            **{
                **{key: document[key] for key in known & document.keys()},
                "config": TrainingConfig.from_json(document["config"]),
                "start": ModelSpec(**document["start"]),
                "compare_with": ModelSpec(**document["compare_with"]),
                "images": {
                    split: tuple(ids) for split, ids in document["images"].items()
                },
            }
        )


def write_plan(path: Path, plan: RunPlan) -> None:
    """Write a plan atomically."""
    write_json(path, plan.to_json())


def read_plan(path: Path) -> RunPlan:
    """Read a plan.

    Raises
    ------
    TrainingError
        If the file is missing, damaged, or of a newer version.
    """
    try:
        document = read_json(path)
        version = int(document["schema_version"])
        if version > SCHEMA_VERSION:
            raise TrainingError(
                f"The run {path.parent.name} has format {version}, this program reads "
                f"up to {SCHEMA_VERSION}; update napari-glmedsa."
            )
        return RunPlan.from_json(document)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise TrainingError(
            f"{path.parent} is not a training run that can be read ({error}); choose "
            "a folder below the runs folder of a project."
        ) from error


def make_plan(
    project: AnnotationProject,
    start: ModelSpec,
    config: TrainingConfig,
    *,
    registry: ModelRegistry,
    compare_with: ModelSpec | None = None,
    name: str | None = None,
    device: str = "auto",
    activation: Activation = "by_gate",
) -> RunPlan:
    """Fix what a run will do; see `TrainingRun.create`."""
    splits = project.assign_splits()
    images: dict[Split, tuple[str, ...]] = {
        split: tuple(i for i in project.annotated() if splits.get(i) == split)
        for split in ("train", "val", "test")
    }
    if not images["train"]:
        raise TrainingError(
            f"The project {project.name} has no annotated image to learn from; accept "
            "some masks first."
        )
    base_sha256, parent_sha256 = _base_sha256(registry, start.base), ""
    if start.adapter is not None:
        if config.trains == "full":
            raise TrainingError(
                f"A full training starts from a base model alone; choose {start.base} "
                f"without {start.adapter}, or train adapters."
            )
        path = registry.adapter_path(start.adapter)
        card = read_card(path)
        if base_sha256 and card.base_sha256 != base_sha256:
            raise AdapterMismatchError(
                f"Adapter {card.name} was trained on another base model than "
                f"{start.base}; start from {card.base_model}, or without the adapter."
            )
        config = replace(config, adapter=card.config)
        parent_sha256 = sha256_file(path)
    elif switches := base_input(registry, start.base):
        # A base that was not shown images as SAM must not be from now on either.
        on: dict[str, Any] = dict.fromkeys(switches, True)
        try:
            compat = replace(config.adapter.compat, **on)
        except ValueError as error:
            sentence = f"{start.base} cannot be trained so: {error}"
            raise TrainingError(sentence) from error
        config = replace(config, adapter=replace(config.adapter, compat=compat))
    return RunPlan(
        config=config,
        start=start,
        compare_with=compare_with or ActiveModel(registry).current(),
        name=_plain(name or project.name),
        device=device,
        activation=activation,
        images=images,
        data_sha256=data_hashes(project, images),
        base_sha256=base_sha256,
        parent_sha256=parent_sha256,
    )


def data_hashes(
    project: AnnotationProject, images: Mapping[Split, tuple[str, ...]]
) -> dict[Split, str]:
    """Return a hash of ids and masks for each split."""
    return {split: project.data_sha256(ids) for split, ids in images.items()}


def base_input(registry: ModelRegistry, base: str) -> list[str]:
    """Return the `Compat` switches that say how a base is shown images."""
    found = (card for card in registry.bases() if card.name == base)
    return [name for card in found for name in card.facts.get("input", ())]


def _base_sha256(registry: ModelRegistry, base: str) -> str:
    """Return the hash on a base's card; a file is read when training begins."""
    for card in registry.bases():
        if card.name == base and card.installed:
            return card.sha256
    if Path(base).is_file():
        return ""
    known = ", ".join(card.name for card in registry.bases() if card.installed)
    raise ModelNotFoundError(
        f"There is no base model {base!r} to train; installed are: {known or 'none'}."
    )


def _plain(name: str) -> str:
    """Return a name that is a folder name on every system."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40] or "adapter"


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
