"""`glmedsa export`: the accepted masks of a project in a format that others read."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_glmedsa.cli.terminal import remark, telling

FormatName = Literal[
    "isic-png", "label-map", "tiff", "coco", "dicom-seg", "csv", "overlay"
]

_BELONG_TO = {"pieces": "isic-png", "outline": "coco", "sources": "dicom-seg"}


def export(
    folder: Annotated[
        Path, typer.Argument(metavar="PROJECT", help="The project's folder.")
    ],
    *,
    format_name: Annotated[
        FormatName,
        typer.Option("--format", help="What the masks become.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="A new folder; for coco and csv a new file.",
            show_default=False,
        ),
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a former export.")
    ] = False,
    split: Annotated[
        Literal["train", "val", "test"] | None,
        typer.Option(help="Only the images of this split.", show_default=False),
    ] = None,
    pieces: Annotated[
        Literal["all", "largest"] | None,
        typer.Option(
            help="Of isic-png: the whole mask, or its largest piece without holes.",
            show_default="all",
        ),
    ] = None,
    outline: Annotated[
        Literal["rle", "polygons"] | None,
        typer.Option(help="Of coco: run lengths or polygons.", show_default="rle"),
    ] = None,
    sources: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Of dicom-seg: the DICOM photographs that the masks belong to.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the accepted masks of a project, whole or not at all.

    An existing output is only replaced with --overwrite, and a folder only if a former
    export is all that it holds.
    """
    given = {"pieces": pieces, "outline": outline, "sources": sources}
    for option, value in given.items():
        if value is not None and _BELONG_TO[option] != format_name:
            raise typer.BadParameter(
                f"--{option} belongs to --format {_BELONG_TO[option]}; leave it out."
            )
    from napari_glmedsa.export import FORMATS, Request, check_place
    from napari_glmedsa.export import export as export_project
    from napari_glmedsa.project import AnnotationProject

    project = AnnotationProject.open(folder)
    request = Request(
        format_name,
        output,
        overwrite=overwrite,
        split=split,
        pieces=pieces or "all",
        outline=outline or "rle",
        sources=sources,
    )
    check_place(project, request)  # before there is a bar on the screen
    with telling(len(project.annotated(split)), "Exporting") as teller:

        def step(done: int, _: int) -> None:
            if done:
                teller.step()

        written = export_project(project, request, step=step)
    images = "1 image" if written.n_images == 1 else f"{written.n_images} images"
    title = FORMATS[format_name].title
    typer.echo(f"Exported {images} as {title} -> {written.output}")
    if written.remark:
        remark(written.remark)
