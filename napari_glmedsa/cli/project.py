"""`glmedsa project`: make, fill, list and check the folder that is learnt from."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_glmedsa.cli.inputs import find_images
from napari_glmedsa.cli.pairing import name_unpaired, pair_by_stem, read_pair
from napari_glmedsa.cli.terminal import SOME_FAILED, complain, remark, telling
from napari_glmedsa.errors import GLMedSAError, OutputError, ProjectError

if TYPE_CHECKING:
    from napari_glmedsa.project import AnnotationProject

ProjectArgument = Annotated[
    Path, typer.Argument(metavar="PROJECT", help="The project's folder.")
]

_NO_EDGE = 10_000  # characters; a table is as wide as its words

project = typer.Typer(
    name="project",
    no_args_is_help=True,
    help="Make, fill, list and check an annotation project, the folder learnt from.",
)


@project.command()
def create(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new or an empty folder.")
    ],
    *,
    name: Annotated[str, typer.Option(help="Its name (default: the folder's).")] = "",
) -> None:
    """Make an empty project."""
    from napari_glmedsa.project import AnnotationProject

    made = AnnotationProject.create(folder, name=name)
    typer.echo(f"Made the project {made.name} in {folder}.")


@project.command()
def add(
    folder: ProjectArgument,
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Image files, or folders of them."),
    ],
) -> None:
    """Copy photographs into a project, to be annotated there."""
    from napari_glmedsa.images import read_image

    opened = _open(folder)
    paths = find_images(images)
    refused = 0
    with telling(len(paths), "Adding") as teller:
        for path in paths:
            try:
                image_id = opened.add_image(read_image(path), source=path.name)
                teller.result(f"{path} -> {image_id}")
            except OutputError:  # the others could not be written either
                raise
            except GLMedSAError as error:
                if len(paths) == 1:
                    raise
                teller.failure(str(error))
                refused += 1
            teller.step()
    _end(refused, len(paths), "images were refused")


@project.command(name="import")
def import_pairs(
    folder: ProjectArgument,
    *,
    images: Annotated[Path, typer.Option(metavar="DIR", help="The photographs.")],
    masks: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Their masks: <stem>[_segmentation].png."),
    ],
    groups: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Columns image,group: which images show one lesion or patient.",
        ),
    ] = None,
    split: Annotated[
        Literal["train", "val", "test"] | None,
        typer.Option(help="Put them all here (default: the project decides)."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only the first N pairs.")
    ] = None,
) -> None:
    """Copy photographs and their finished masks into a project.

    What is in the project already with the same mask is passed over, so an
    interrupted import can be repeated.
    """
    opened = _open(folder)
    pairing = pair_by_stem(images, masks)
    name_unpaired(pairing)
    group_of = _read_groups(groups, [image.name for image, _ in pairing.pairs])
    pairs = pairing.pairs[:limit]
    sources: dict[str, str] = {}
    outcomes = Counter[str]()
    with telling(len(pairs), "Importing") as teller:
        for image_path, mask_path in pairs:
            try:
                group = group_of.get(image_path.stem)
                outcome = _import_pair(
                    opened, image_path, mask_path, sources, group=group, split=split
                )
                outcomes[outcome] += 1
            except OutputError:  # the others could not be written either
                raise
            except GLMedSAError as error:
                teller.failure(str(error))
                outcomes["refused"] += 1
            teller.step()
    there = outcomes["there"]
    typer.echo(
        f"Imported {outcomes['new']} of {len(pairs)} pairs into {opened.name}"
        + (f"; {there} were there already." if there else ".")
    )
    _end(outcomes["refused"], len(pairs), "pairs were refused")


@project.command(name="list")
def list_images(
    folder: ProjectArgument,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead.")
    ] = False,
) -> None:
    """List the images: whether they have a mask, their split, objects, annotator."""
    opened = _open(folder)
    rows = sorted(_rows(opened), key=lambda row: (row["source"], row["id"]))
    if as_json:
        import json

        typer.echo(json.dumps({"name": opened.name, "images": rows}, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("Image", "Id", "Status", "Split", "Objects", "Annotator"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        cells = (row["source"], row["id"], row["status"], row["split"] or "")
        objects = str(row["objects"] or "")
        table.add_row(*map(escape, (*cells, objects, ", ".join(row["annotators"]))))
    console = Console(emoji=False)
    if not console.is_terminal:  # a file or a pipe has no right edge
        console.width = _NO_EDGE
    if rows:
        console.print(table)
    typer.echo(_summary(opened, rows))


@project.command()
def check(folder: ProjectArgument) -> None:
    """Read every image and mask, and say in one sentence what is wrong with each."""
    opened = _open(folder)
    problems = opened.check()
    for sentence in problems:
        typer.echo(sentence)
    if problems:
        raise typer.Exit(SOME_FAILED)
    typer.echo(f"{_summary(opened, list(_rows(opened)))} All is well.")


def _open(folder: Path) -> "AnnotationProject":
    from napari_glmedsa.project import AnnotationProject

    return AnnotationProject.open(folder)


def _import_pair(
    opened: "AnnotationProject",
    image_path: Path,
    mask_path: Path,
    sources: dict[str, str],
    *,
    group: str | None,
    split: Literal["train", "val", "test"] | None,
) -> Literal["new", "there"]:
    import numpy as np

    from napari_glmedsa.project import Provenance, image_id

    image, mask = read_pair(image_path, mask_path)
    if not mask.any():
        raise ProjectError(
            f"{mask_path} is empty, so there is nothing to learn from it; outline the"
            " lesion, or leave the image out."
        )
    own_id = image_id(image)
    first = sources.setdefault(own_id, image_path.name)
    if first != image_path.name:
        raise ProjectError(
            f"{image_path} is a duplicate of {first}, pixel by pixel; keep one of them."
        )
    if opened.is_annotated(own_id) and not np.array_equal(opened.mask(own_id), mask):
        raise ProjectError(
            f"{image_path} is in the project already, with another mask; the mask there"
            " was kept."
        )
    known = opened.is_annotated(own_id)
    opened.add_image(image, source=image_path.name, group=group, split=split)
    if known:
        return "there"
    opened.save_annotation(own_id, mask, [Provenance(origin="import")])
    return "new"


def _read_groups(path: Path | None, names: list[str]) -> dict[str, str]:
    """Return the group of each image's stem."""
    if path is None:
        return {}
    stems = {name: Path(name).stem for name in names}
    known = {**stems, **{stem: stem for stem in stems.values()}}
    groups: dict[str, str] = {}
    for name, group in _csv_rows(path):
        stem = known.get(name)
        if stem is None or not group:
            continue
        if groups.setdefault(stem, group) != group:
            raise ProjectError(
                f"{path} gives the image {name} two groups, {groups[stem]} and {group};"
                " keep one of them."
            )
    if not groups:
        raise ProjectError(
            f"{path} names none of the images; its column image must hold their file"
            " names."
        )
    if without := len(names) - len(groups):
        remark(f"{path} gives no group to {without} of {len(names)} images.")
    return groups


def _csv_rows(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if not {"image", "group"} <= set(reader.fieldnames or ()):
                raise ProjectError(
                    f"{path} has no columns image and group; its first line must be"
                    " image,group."
                )
            for row in reader:
                yield (row["image"] or "").strip(), (row["group"] or "").strip()
    except OSError as error:
        raise ProjectError(
            f"{path} cannot be read ({error.strerror}); check its name."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProjectError(
            f"{path} is not a CSV file in UTF-8; save it as one."
        ) from error


def _rows(opened: "AnnotationProject") -> Iterator[dict[str, Any]]:
    splits = opened.splits()
    for record in opened.images():
        annotated = record.id in splits
        objects = opened.objects(record.id) if annotated else ()
        yield {
            "id": record.id,
            "source": record.source,
            "group": record.group,
            "width": record.size[1],
            "height": record.size[0],
            "status": "annotated" if annotated else "no mask",
            "split": splits.get(record.id) or record.split,
            "objects": len(opened.labels(record.id)) if annotated else 0,
            "annotators": sorted({item.annotator for item in objects} - {""}),
        }


def _summary(opened: "AnnotationProject", rows: list[dict[str, Any]]) -> str:
    splits = Counter(row["split"] for row in rows if row["status"] == "annotated")
    parts = ", ".join(f"{splits[name]} {name}" for name in ("train", "val", "test"))
    return f"{opened.name}: {len(rows)} images, {splits.total()} with a mask ({parts})."


def _end(refused: int, total: int, what: str) -> None:
    if refused:
        complain(f"{refused} of {total} {what}; the others are in the project.")
        raise typer.Exit(SOME_FAILED)
