"""`glmedsa models`: what there is, where it comes from, and which one is in use."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from napari_glmedsa.cli import store
from napari_glmedsa.cli.inputs import model_spec
from napari_glmedsa.cli.medsa import export_medsa, import_medsa
from napari_glmedsa.cli.store import RootOption, models_in
from napari_glmedsa.cli.terminal import complain

if TYPE_CHECKING:
    from napari_glmedsa.activation import ActiveModel
    from napari_glmedsa.adapters.card import AdapterCard
    from napari_glmedsa.registry import BaseCard, ModelRegistry

_WIDEST = 1000  # characters of a line that nobody has to see on a screen

models = typer.Typer(
    name="models",
    help="List, fetch, take in, check and remove models; choose the one in use.",
    no_args_is_help=True,
)
models.command("import-medsa", no_args_is_help=True)(import_medsa)
models.command("export-medsa", no_args_is_help=True)(export_medsa)


@models.command("list")
def list_models(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout.")
    ] = False,
    root: RootOption = None,
) -> None:
    """List base models and adapters, with the origin and figures of each."""
    registry, active = _collaborators(root)
    bases, adapters = registry.bases(), registry.adapters()
    current = active.current()
    if as_json:
        document = {
            "active": str(current),
            "bases": [_base_facts(card) for card in bases],
            "adapters": [card.to_json() for card in adapters],
            "broken": {**registry.broken_bases(), **registry.broken()},
        }
        typer.echo(json.dumps(document, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("Model", "Origin", "Figures"):
        table.add_column(heading, overflow="fold")
    for base in bases:
        table.add_row(_marked(base.name, str(current)), _standing(base), "")
    for card in adapters:
        name = f"{card.base_model}+{card.name}"
        table.add_row(
            _marked(name, str(current)), _origin(card), _figures(card.metrics)
        )
    table.caption, table.caption_justify = "* in use", "left"
    console = Console(emoji=False)
    if not console.is_terminal:  # a file or a pipe has no right edge
        wide = console.options.update(max_width=_WIDEST)
        needed = console.measure(table, options=wide).maximum
        console.width = max(console.width, needed)
    console.print(table)
    for name, reason in registry.broken_bases().items():
        complain(f"Base model {name} cannot be used: {reason}")
    for name, reason in registry.broken().items():
        complain(f"Adapter {name} cannot be used: {reason}")


@models.command()
def activate(
    model: Annotated[str, typer.Argument(metavar="BASE[+ADAPTER]")],
    *,
    root: RootOption = None,
) -> None:
    """Put a model into use: in napari, and where no model is named."""
    _, active = _collaborators(root)
    spec = model_spec(model)
    active.activate(spec)
    typer.echo(f"{spec} is now in use.")


@models.command()
def rollback(*, root: RootOption = None) -> None:
    """Return to the model that was in use before."""
    _, active = _collaborators(root)
    typer.echo(f"{active.roll_back()} is in use again.")


for command in (store.download, store.add, store.verify, store.remove, store.path):
    models.command()(command)


def _collaborators(root: Path | None) -> "tuple[ModelRegistry, ActiveModel]":
    from napari_glmedsa.activation import ActiveModel

    registry = models_in(root)
    return registry, ActiveModel(registry)


def _standing(card: "BaseCard") -> str:
    """Return one line: what a base is, or what is to be done to have it."""
    if card.state == "broken":
        return "broken"
    if card.state == "installed":
        return card.description
    return f"available, {card.full_bytes / 1e6:,.0f} MB: {card.description}"


def _base_facts(card: "BaseCard") -> dict[str, Any]:
    return {
        "name": card.name,
        "installed": card.installed,
        "state": card.state,
        "path": str(card.path) if card.installed else None,
        "full_bytes": card.full_bytes,
        "bytes": card.bytes,
        "sha256": card.sha256,
        "description": card.description,
        "licence": card.licence,
        "input": card.facts.get("input", []),
        "training": card.facts.get("training"),
        "metrics": card.facts.get("metrics"),
    }


def _origin(card: "AdapterCard") -> str:
    """Return one line: whose child it is, and what it has learnt from."""
    parent = card.training.get("parent")
    data = card.training.get("data")
    if not isinstance(data, Mapping):  # not made by a run of this program
        return card.description
    learnt = f"{data['counts']['train']} images of {card.training['project']}"
    return f"{learnt}, from {parent['name'] if parent else card.base_model}"


def _figures(metrics: Mapping[str, Any]) -> str:
    """Return one line: the comparison that a run has made, if there is one."""
    gate = metrics.get("gate")
    if not isinstance(gate, Mapping):
        return ""
    old, new = gate["before"]["dice"][0], gate["after"]["dice"][0]
    verdict = str(gate["verdict"]).replace("_", " ")
    return f"Dice {old:.3f} -> {new:.3f} on {gate['n']} images: {verdict}"


def _marked(name: str, current: str) -> str:
    return f"* {name}" if name == current else f"  {name}"
