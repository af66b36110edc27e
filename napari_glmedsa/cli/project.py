"""`glmedsa project`: make, fill, list and check the folder that is learnt from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_glmedsa.cli.inputs import find_images
from napari_glmedsa.cli.project_rank import rank
from napari_glmedsa.cli.terminal import SOME_FAILED, complain, remark, telling
from napari_glmedsa.errors import ProjectError

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
project.command()(rank)


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
    from napari_glmedsa.project.arrivals import add_photographs

    opened = _open(folder)
    paths = find_images(images)
    refused = 0
    with telling(len(paths), "Adding") as teller:
        for arrival in add_photographs(opened, paths):
            if arrival.kind != "refused":
                teller.result(f"{arrival.file} -> {arrival.image_id}")
            elif len(paths) == 1:
                raise ProjectError(arrival.reason)
            else:
                teller.failure(arrival.reason)
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
        typer.Option(
            metavar="DIR|FILE",
            help="Their masks: <stem>[_segmentation].png; for coco the JSON file.",
        ),
    ],
    format_name: Annotated[
        Literal["isic-png", "label-map", "tiff", "coco", "dicom-seg"],
        typer.Option("--format", help="What the masks are."),
    ] = "isic-png",
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
    from napari_glmedsa.export.incoming import incoming
    from napari_glmedsa.project.arrivals import Arrival, import_pairs, import_sentence
    from napari_glmedsa.project.group_table import GroupTable

    opened = _open(folder)
    found = incoming(format_name, images, masks)
    table = GroupTable()
    if groups is not None:
        table = GroupTable.read(groups, [image.name for image, _ in found.pairs])
    for sentence in (*found.remarks, *filter(None, [table.remark])):
        remark(sentence)
    pairs = found.pairs[:limit]
    arrivals: list[Arrival] = []
    with telling(len(pairs), "Importing") as teller:
        for arrival in import_pairs(
            opened, pairs, groups=table, split=split, read=found.read
        ):
            arrivals.append(arrival)
            if arrival.kind == "refused":
                teller.failure(arrival.reason)
            teller.step()
    typer.echo(import_sentence(opened, arrivals))
    refused = sum(arrival.kind == "refused" for arrival in arrivals)
    _end(refused, len(pairs), "pairs were refused")


@project.command(name="list")
def show_images(
    folder: ProjectArgument,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead.")
    ] = False,
) -> None:
    """List the images: whether they have a mask, their split, objects, annotator."""
    from napari_glmedsa.project.listing import list_images, list_sentence

    opened = _open(folder)
    rows = list_images(opened)
    if as_json:
        import json

        images = [row.to_json() for row in rows]
        typer.echo(json.dumps({"name": opened.name, "images": images}, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("Image", "Id", "Status", "Split", "Objects", "Annotator"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        cells = (row.source, row.id, row.status, row.split or "")
        objects = str(row.objects or "")
        table.add_row(*map(escape, (*cells, objects, ", ".join(row.annotators))))
    console = Console(emoji=False)
    if not console.is_terminal:  # a file or a pipe has no right edge
        console.width = _NO_EDGE
    if rows:
        console.print(table)
    typer.echo(list_sentence(opened, rows))


@project.command()
def check(
    folder: ProjectArgument,
    *,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="First mend what can be; the files before are kept in PROJECT/aside.",
        ),
    ] = False,
) -> None:
    """Read every image and mask, and say in one sentence what is wrong with each."""
    from napari_glmedsa.project.listing import list_images, list_sentence

    opened = _open(folder)
    if repair:
        from napari_glmedsa.project.repairs import repair as mend

        for sentence in mend(opened.root):
            typer.echo(f"Mended: {sentence}")
    problems = opened.check()
    for sentence in problems:
        typer.echo(sentence)
    if problems:
        raise typer.Exit(SOME_FAILED)
    typer.echo(f"{list_sentence(opened, list_images(opened))} All is well.")


def _open(folder: Path) -> "AnnotationProject":
    from napari_glmedsa.project import AnnotationProject

    return AnnotationProject.open(folder)


def _end(refused: int, total: int, what: str) -> None:
    if refused:
        complain(f"{refused} of {total} {what}; the others are in the project.")
        raise typer.Exit(SOME_FAILED)
