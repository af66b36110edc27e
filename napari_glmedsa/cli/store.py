"""`glmedsa models download|add|verify|remove|path`: the files of base models."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from napari_glmedsa.cli.terminal import SOME_FAILED, complain
from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.store.official import MODEL_TYPES, ModelType

if TYPE_CHECKING:
    from napari_glmedsa.registry import ModelRegistry
    from napari_glmedsa.store import ModelStore
    from napari_glmedsa.store.transfer import Report, Transfer

RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root",
        metavar="DIR",
        help="Folder of your models (default: as glmedsa doctor says).",
        show_default=False,
    ),
]
_Name = Annotated[str, typer.Argument(metavar="NAME")]

_WORDS = {
    "waiting": "Waiting for another program",
    "downloading": "Downloading",
    "checking": "Checking",
    "converting": "Installing",
}


def models_in(root: Path | None) -> "ModelRegistry":
    """Return the models of a root, or of the user's own."""
    from napari_glmedsa.registry import ModelRegistry, default_root

    return ModelRegistry(root or default_root())


def download(name: _Name, *, root: RootOption = None) -> None:
    """Fetch a base model that `list` shows as available; goes on where it broke off."""
    store = _store(root)
    before = store.card(name)
    if before.installed and before.sha256:
        typer.echo(f"{name} is installed already: {before.path}")
        return
    with _progress() as report:
        card = store.download(name, report=report)
    typer.echo(f"Installed {name} in {card.path.parent}")


def add(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    *,
    model_type: Annotated[
        ModelType | None,
        typer.Option(
            "--type",
            metavar="|".join(MODEL_TYPES),
            help="What FILE is; not needed for an official file.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="What it is called here.", show_default=False),
    ] = None,
    root: RootOption = None,
) -> None:
    """Take in a SAM checkpoint or an adapter file; FILE stays as it is."""
    from napari_glmedsa.store import is_adapter

    store = _store(root)
    if is_adapter(file):
        adapter = store.registry.add_adapter(file, name=name)
        typer.echo(f"Added {adapter.base_model}+{adapter.name}")
        return
    with _progress() as report:
        card = store.add(file, model_type=model_type, name=name, report=report)
    typer.echo(f"Added {card.name} in {card.path.parent}")


def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", show_default=False)
    ] = None,
    *,
    root: RootOption = None,
) -> None:
    """Read base models again and hold them to their cards (all, if none is named)."""
    store = _store(root)
    wanted = names or [
        *(card.name for card in store.registry.bases() if card.installed),
        *store.registry.broken_bases(),
    ]
    bad = 0
    for name in wanted:
        try:
            store.verify(name)
        except GLMedSAError as error:
            complain(f"{name} is broken: {error}")
            bad += 1
        else:
            typer.echo(f"{name}: verified")
    if bad:
        raise typer.Exit(SOME_FAILED)


def remove(
    name: _Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also if adapters need it.")
    ] = False,
    root: RootOption = None,
) -> None:
    """Delete a base model, or what a broken download left of it, from your folder."""
    store = _store(root)
    store.refuse_to_remove(name, force=force)
    if not yes:
        where = store.registry.root / "base" / name
        typer.confirm(f"Delete {name} from {where}?", abort=True, err=True)
    store.remove(name, force=force)
    typer.echo(f"Removed {name}")


def path(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", show_default=False)
    ] = None,
    *,
    root: RootOption = None,
) -> None:
    """Print where a model's file is, or the folder of your models."""
    store = _store(root)
    registry = store.registry
    if name is None:
        typer.echo(registry.root)
    elif name in {card.name for card in registry.adapters()}:
        typer.echo(registry.adapter_path(name))
    else:
        typer.echo(store.installed(name).path)


def _store(root: Path | None) -> "ModelStore":
    from napari_glmedsa.store import ModelStore

    return ModelStore(models_in(root))


@contextmanager
def _progress() -> "Iterator[Report]":
    """Show bytes and time left on stderr."""
    console = Console(stderr=True, emoji=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, redirect_stdout=False) as bar:
        task = bar.add_task("", total=None, visible=False)

        def report(step: "Transfer") -> None:
            bar.update(
                task,
                description=_WORDS[step.phase],
                completed=step.done,
                total=step.total or None,
                visible=True,
            )

        yield report
