"""`glmedsa project rank`: which photograph to work on next."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_glmedsa.cli.inputs import (
    DeviceOption,
    PrecisionOption,
    load_predictor,
    model_spec,
)
from napari_glmedsa.cli.terminal import SOME_FAILED, complain, telling
from napari_glmedsa.errors import GLMedSAError, OutputError

if TYPE_CHECKING:
    from napari_glmedsa.inference import EmbeddingCache, Predictor
    from napari_glmedsa.registry import ModelSpec
    from napari_glmedsa.worklist import Entry, Uncertainty, Worklist

_ACTIVE = "active"
_GIVES_WAY = 10  # niceness
_NO_EDGE = 10_000  # characters


def rank(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="PROJECT", help="A project, or a folder of photographs."
        ),
    ],
    *,
    by: Annotated[
        Literal["uncertainty", "name", "date"], typer.Option(help="What comes first.")
    ] = "uncertainty",
    done: Annotated[
        bool, typer.Option("--all", help="Also what is accepted or skipped.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="BASE[+ADAPTER]|active",
            help="Names or file paths; active is the one in use in napari"
            " (default: the built-in model).",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    gently: Annotated[
        bool, typer.Option("--gently", help="Give way to other programs.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead.")
    ] = False,
) -> None:
    """List the photographs that are still to be done, the most urgent first.

    By uncertainty, the model is asked about each photograph as it is and mirrored,
    with one click on its centre. What it thinks is kept in the project, so that only
    new photographs cost time, and an interrupted ranking goes on where it was.
    """
    from napari_glmedsa.roots import default_root
    from napari_glmedsa.worklist import Order, Worklist, ordered, to_be_done

    if gently:
        _give_way()
    worklist = Worklist.open(folder, spare=default_root() / "projects")
    fingerprint, failed = "", 0
    if by == "uncertainty":
        predictor = load_predictor(_spec(model), device, precision)
        fingerprint = predictor.fingerprint
        waiting = [
            entry
            for entry in ordered(worklist.entries(model=fingerprint), Order.NAME)
            if entry.uncertainty is None and (done or to_be_done(entry))
        ]
        failed = _estimate(worklist, waiting, predictor)
    entries = worklist.entries(model=fingerprint)
    listed = ordered((e for e in entries if done or to_be_done(e)), Order(by))
    if as_json:
        rows = [entry.to_json() for entry in listed]
        document = {
            "folder": str(worklist.folder),
            "project": str(worklist.project.root),
        }
        typer.echo(json.dumps(document | {"by": by, "photographs": rows}, indent=2))
    else:
        _print(listed)
        if not listed:
            typer.echo("No photograph is still to be done; --all lists the others.")
        for remark in worklist.remarks:
            typer.echo(remark)
    if failed:
        complain(f"{failed} photographs could not be looked at; they come last.")
        raise typer.Exit(SOME_FAILED)


def _spec(model: str | None) -> "ModelSpec":
    if model != _ACTIVE:
        return model_spec(model)
    from napari_glmedsa.activation import ActiveModel
    from napari_glmedsa.registry import ModelRegistry, default_root

    return ActiveModel(ModelRegistry(default_root())).current()


def _estimate(
    worklist: "Worklist", waiting: "list[Entry]", predictor: "Predictor"
) -> int:
    """Ask the model about photographs; return how many cannot be read."""
    from napari_glmedsa.inference import EmbeddingCache, default_cache_folder

    cache = EmbeddingCache(default_cache_folder())
    failed, known = 0, dict[str, "Uncertainty"]()
    with telling(len(waiting), "Looking at photographs") as teller:
        for entry in waiting:
            try:
                found = _look_at(worklist, entry, predictor, cache, known)
            except OutputError:  # nothing that is found out could be kept
                raise
            except GLMedSAError as error:
                teller.failure(str(error))
                failed += 1
            else:
                known.update(found)
            teller.step()
    return failed


def _look_at(
    worklist: "Worklist",
    entry: "Entry",
    predictor: "Predictor",
    cache: "EmbeddingCache",
    known: "dict[str, Uncertainty]",
) -> "dict[str, Uncertainty]":
    from napari_glmedsa.worklist import estimate_uncertainty

    pixels = worklist.read(entry)
    entry = worklist.identify(entry, pixels)
    if entry.image_id in known:  # the same photograph under another name
        return {}
    key = predictor.embedding_key(pixels)
    embedding = cache.get(key, device=predictor.device)
    if embedding is None:
        embedding = predictor.encode(pixels, key=key)
        cache.put(embedding)  # whoever opens the photograph does not wait for it
    found = estimate_uncertainty(predictor, pixels, embedding=embedding)
    worklist.remember(predictor.fingerprint, entry, found)
    return {entry.image_id: found}


def _give_way() -> None:
    import psutil  # type: ignore[import-untyped]

    if os.name == "nt":
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        os.nice(_GIVES_WAY)


def _print(entries: "Iterable[Entry]") -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in (
        *("", "Photograph", "Status", "Uncertainty"),
        *("Stability", "Agreement", "Predicted IoU"),
    ):
        table.add_column(heading, overflow="fold")
    for place, entry in enumerate(entries, 1):
        known = entry.uncertainty
        numbers = (
            (known.score, known.stability, known.agreement, known.predicted_iou)
            if known
            else ()
        )
        cells = (str(place), escape(entry.name), str(entry.status))
        table.add_row(*cells, *(f"{number:.3f}" for number in numbers))
    console = Console(emoji=False)
    if not console.is_terminal:  # a file or a pipe has no right edge
        console.width = _NO_EDGE
    console.print(table)
