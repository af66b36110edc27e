"""`glmedsa doctor`: what is installed, what is missing and what to do about it."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_glmedsa import __version__
from napari_glmedsa.cli.machine import (
    INSTALL_ALL,
    has_display,
    installed_version,
    memory_bytes,
    napari_knows_plugin,
    qt_bindings,
    required_packages,
)
from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.waiting import cpu_cores

if TYPE_CHECKING:
    from napari_glmedsa.registry import ModelRegistry

_FIRST = ("torch", "torchvision", "segment-anything", "safetensors", "numpy")
_FIRST_FOR_THE_WINDOW = ("napari", "npe2")
"""What a report of a problem is most often about; the rest follows in any order."""


@dataclass(frozen=True, slots=True)
class Model:
    """One line of the model inventory."""

    name: str
    kind: str
    installed: bool
    bytes: int
    licence: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that is not there or not right, and what to do."""

    what: str
    todo: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All that the doctor found; the fields are the keys of the --json document."""

    versions: dict[str, str | None]
    platform: str
    devices: list[str]
    cpu_cores: int
    memory_bytes: int | None
    display: bool
    registry_root: str
    models: list[Model]
    missing: list[Missing]


def doctor(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout.")
    ] = False,
) -> None:
    """Print versions, devices and models, and say what is missing.

    Send this along with a report of a problem.
    """
    findings = examine()
    if as_json:
        typer.echo(json.dumps(asdict(findings), indent=2))
    else:
        _show(findings)


def examine() -> Findings:
    """Look at this computer, its packages and its models."""
    from napari_glmedsa.registry import ModelRegistry, default_root

    needed = tuple(dict.fromkeys((*_FIRST, *required_packages())))
    window = (*_FIRST_FOR_THE_WINDOW, *required_packages("napari"))
    window = tuple(name for name in dict.fromkeys(window) if name not in needed)
    versions = _versions((*needed, *window))
    missing = _missing_packages(versions, needed, window)
    devices = _devices()
    if not devices and versions["torch"]:
        missing.append(
            Missing("torch cannot be imported", 'run python -c "import torch"')
        )
    root = default_root()
    models, model_trouble = _models(ModelRegistry(root))
    if not has_display():
        missing.append(
            Missing(
                "There is no display",
                "use glmedsa predict, or start napari on a desktop",
            )
        )
    return Findings(
        versions=versions,
        platform=platform.platform(),
        devices=devices,
        cpu_cores=cpu_cores(),
        memory_bytes=memory_bytes(),
        display=has_display(),
        registry_root=str(root),
        models=models,
        missing=[*missing, *model_trouble],
    )


def _versions(names: Sequence[str]) -> dict[str, str | None]:
    versions = {
        "napari-glmedsa": __version__,
        "python": platform.python_version(),
        **{name: installed_version(name) for name in names},
    }
    bindings = qt_bindings()
    qt = ", ".join(
        f"{name} {installed_version(name) or ''}".strip() for name in bindings
    )
    return {**versions, "qt": qt or None}


def _missing_packages(
    versions: dict[str, str | None], needed: Sequence[str], window: Sequence[str]
) -> list[Missing]:
    missing = [
        Missing(f"{name} is not installed", f"pip install {name}")
        for name in needed
        if versions[name] is None
    ]
    if names := [name for name in window if versions[name] is None]:
        what = f"For the window, {', '.join(names)} is not installed"
        missing.append(Missing(what, INSTALL_ALL))
    elif versions["qt"] is None:
        missing.append(Missing("napari has no Qt binding", INSTALL_ALL))
    if versions["napari"] and not napari_knows_plugin():
        missing.append(
            Missing(
                "napari does not know this plugin",
                "install it with pip into this Python (pip install .)",
            )
        )
    return missing


def _devices() -> list[str]:
    try:
        from napari_glmedsa.inference import available_devices
    except (ImportError, OSError):  # torch is missing, or its libraries do not load
        return []
    return available_devices()


def _models(registry: "ModelRegistry") -> tuple[list[Model], list[Missing]]:
    from napari_glmedsa.registry import DEFAULT_MODEL

    trouble: list[Missing] = []
    try:
        for name, sentence in registry.broken().items():
            trouble.append(Missing(f"The adapter {name} cannot be used", sentence))
        for name, sentence in registry.broken_bases().items():
            trouble.append(Missing(f"The base model {name} cannot be used", sentence))
        bases, specs = registry.bases(), registry.specs()
    except (GLMedSAError, OSError) as error:
        return [], [*trouble, Missing("The models cannot be listed", str(error))]
    models = [
        Model(card.name, "base", card.installed, card.bytes, card.licence)
        for card in bases
    ]
    for card in registry.adapters():
        size = registry.adapter_path(card.name).stat().st_size
        models.append(Model(card.name, "adapter", True, size, card.licence))
    if DEFAULT_MODEL not in specs:
        trouble.append(
            Missing(
                f"The built-in model {DEFAULT_MODEL} is not there",
                "install napari-glmedsa once more",
            )
        )
    return models, trouble


def _show(findings: Findings) -> None:
    console = Console(emoji=False, highlight=False)
    memory = findings.memory_bytes
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("System", findings.platform),
        ("Devices", ", ".join(findings.devices) or "none"),
        ("CPU cores", str(findings.cpu_cores)),
        ("Memory", "unknown" if memory is None else f"{memory / 2**30:.1f} GiB"),
        ("Display", "yes" if findings.display else "no"),
        ("Models in", str(Path(findings.registry_root))),
    ):
        facts.add_row(f"[bold]{name}[/]", escape(value))
    console.print(facts)

    versions = _table("Package", "Version")
    for name, version in findings.versions.items():
        versions.add_row(name, version or "[red]not installed[/]")
    console.print(versions)

    models = _table("Model", "Kind", "Installed", "Size", "Licence")
    for model in findings.models:
        models.add_row(
            escape(model.name),
            model.kind,
            "yes" if model.installed else "[red]no[/]",
            _size(model.bytes),
            escape(model.licence),
        )
    console.print(models)

    if not findings.missing:
        console.print("[green]Nothing is missing.[/]")
    for item in findings.missing:
        console.print(
            f"[yellow]![/] {escape(item.what)}: {escape(item.todo)}.", soft_wrap=True
        )


def _size(n_bytes: int) -> str:
    if not n_bytes:
        return ""
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:.0f} kB"


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
