"""Every format that a project can be exported in, behind one function."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from napari_glmedsa.errors import OutputError
from napari_glmedsa.export import (
    coco,
    dicom_seg,
    isic_png,
    label_map,
    overlay,
    table,
)
from napari_glmedsa.export.coco import Outline
from napari_glmedsa.export.isic_png import Pieces
from napari_glmedsa.export.place import check_file, check_folder, is_inside
from napari_glmedsa.export.subject import Step, Written, silent
from napari_glmedsa.project import AnnotationProject, Split

FormatName = Literal[
    "isic-png",
    "label-map",
    "tiff",
    "coco",
    "dicom-seg",
    "csv",
    "overlay",
]
FORMAT_NAMES: tuple[FormatName, ...] = get_args(FormatName)


@dataclass(frozen=True, slots=True)
class Format:
    """How people see a format.

    Attributes
    ----------
    title : str
        Short.
    about : str
        What is in it, in a sentence.
    suffix : str
        Of its one file; empty if it is a folder of files.
    """

    title: str
    about: str
    suffix: str = ""


FORMATS: Mapping[FormatName, Format] = {
    "isic-png": Format(
        "ISIC masks (PNG)",
        "A folder with one black and white mask (0 and 255) per photograph, as the ISIC"
        " archive has them.",
    ),
    "label-map": Format(
        "Label maps (PNG)",
        "A folder with one grey picture per photograph: 0 is skin, every lesion has its"
        " own number; 8-bit up to 255 lesions, else 16-bit.",
    ),
    "tiff": Format(
        "Label maps (TIFF)",
        "The same as TIFF files, for ImageJ and napari.",
    ),
    "coco": Format(
        "COCO (JSON)",
        "One file with the outline, box and area of every lesion.",
        ".json",
    ),
    "dicom-seg": Format(
        "DICOM SEG",
        "A folder with one DICOM Segmentation per photograph, for hospitals' viewers.",
    ),
    "csv": Format(
        "Measurements (CSV)",
        "One table with a row per lesion: what it measures, who outlined it and how.",
        ".csv",
    ),
    "overlay": Format(
        "Pictures with outlines (PNG)",
        "A folder with the photographs, outlines and clicks drawn on them, for a"
        " report.",
    ),
}


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be exported, how and where to.

    Attributes
    ----------
    format : FormatName
        See `FORMATS`.
    output : Path
        A new folder, or a file.
    overwrite : bool
        Whether a former export may be replaced.
    split : Split or None
        Only the images of this split.
    pieces : {"all", "largest"}
        Of ISIC masks: the whole mask, or its largest piece without holes.
    outline : {"rle", "polygons"}
        Of COCO: run lengths or polygons.
    sources : Path or None
        For DICOM SEG: where the DICOM photographs are.
    """

    format: FormatName
    output: Path
    overwrite: bool = False
    split: Split | None = None
    pieces: Pieces = "all"
    outline: Outline = "rle"
    sources: Path | None = None


def check_place(project: AnnotationProject, request: Request) -> None:
    """Raise OutputError if the export may not go where it should."""
    if is_inside(request.output, project.root):
        raise OutputError(
            f"{request.output} is inside the project {project.name}; name a place"
            " outside of its folder."
        )
    check = check_file if FORMATS[request.format].suffix else check_folder
    check(request.output, overwrite=request.overwrite)


def export(
    project: AnnotationProject, request: Request, *, step: Step = silent
) -> Written:
    """Export a project's accepted masks; the output is there whole or not at all.

    Parameters
    ----------
    project : AnnotationProject
        Where the masks are.
    request : Request
        What is wanted.
    step : callable
        Told how many images are done, of how many. What it raises, such as
        `Cancelled`, ends the export and leaves nothing behind.

    Raises
    ------
    ProjectError
        If there is nothing to export.
    OutputError
        If the output is there already, or cannot be written.
    MissingPackageError
        If the format needs a package that is not installed.
    """
    check_place(project, request)
    ids, where = project.annotated(request.split), request.output
    over = request.overwrite
    match request.format:
        case "isic-png":
            return isic_png.write(
                project, ids, where, pieces=request.pieces, overwrite=over, step=step
            )
        case "label-map" | "tiff":
            kind: Literal["png", "tiff"] = "tiff" if request.format == "tiff" else "png"
            return label_map.write(
                project, ids, where, file_type=kind, overwrite=over, step=step
            )
        case "coco":
            return coco.write(
                project, ids, where, outline=request.outline, overwrite=over, step=step
            )
        case "dicom-seg":
            return dicom_seg.write(
                project, ids, where, sources=request.sources, overwrite=over, step=step
            )
        case "csv":
            return table.write(project, ids, where, overwrite=over, step=step)
        case "overlay":
            return overlay.write(project, ids, where, overwrite=over, step=step)
