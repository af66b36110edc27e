"""`glmedsa measure`: size, shape, border and colours of outlined lesions, as CSV."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_glmedsa.cli.inputs import prepare_folder
from napari_glmedsa.cli.pairing import name_unpaired, pair_by_stem
from napari_glmedsa.cli.terminal import SOME_FAILED, complain, remark, telling
from napari_glmedsa.errors import GLMedSAError, MeasurementError, OutputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_glmedsa.measurement.columns import Value

    Rows = list[dict[str, Value]]
    Read = Callable[[], Rows]

_NAMES_SHOWN = 10


def measure(
    images: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES|PROJECT",
            help="Photographs (a folder or a file), or a project with accepted masks.",
        ),
    ],
    masks: Annotated[
        Path | None,
        typer.Argument(
            metavar="[MASKS]",
            help="Their masks, <stem>[_segmentation].png (a folder or a file).",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="The CSV file to write.")
    ],
    mm_per_pixel: Annotated[
        float | None,
        typer.Option(
            metavar="MM",
            help="Scale of images that have none of their own.",
            show_default=False,
        ),
    ] = None,
    label_map: Annotated[
        bool,
        typer.Option(
            "--label-map",
            help="In MASKS every grey value is an object of its own, not only white.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace FILE if it is there.")
    ] = False,
) -> None:
    """Measure lesions that have been outlined; one row per lesion.

    Millimetres are only given for images whose scale is known, everything else is in
    pixels. These are measurements, not a diagnosis.
    """
    from napari_glmedsa.calibration import Calibration
    from napari_glmedsa.measurement import write_csv

    if mm_per_pixel is not None:  # finds out what makes no sense
        Calibration.from_spacing((mm_per_pixel, mm_per_pixel), "given")
    _prepare(output, project=images if masks is None else None, overwrite=overwrite)
    sources = (
        _of_project(images, mm_per_pixel)
        if masks is None
        else _of_pairs(images, masks, mm_per_pixel, as_label_map=label_map)
    )
    rows: list[dict[str, Value]] = []
    failed: list[str] = []
    with telling(len(sources), "Measuring") as teller:
        for name, read in sources:
            try:
                rows += read()
            except GLMedSAError as error:
                if len(sources) == 1:
                    raise
                teller.failure(str(error))
                failed.append(name)
            teller.step()
    if rows:
        write_csv(output, rows)
        lesions = "1 lesion" if len(rows) == 1 else f"{len(rows)} lesions"
        typer.echo(f"Measured {lesions} -> {output}")
        if not any(row["mm_per_pixel"] for row in rows):
            remark("No scale is known, so all lengths are in pixels.")
    if failed:
        names = ", ".join(failed[:_NAMES_SHOWN])
        more = f" and {len(failed) - _NAMES_SHOWN} more" * (len(failed) > _NAMES_SHOWN)
        complain(f"{len(failed)} of {len(sources)} images failed: {names}{more}.")
        raise typer.Exit(SOME_FAILED)


def _of_project(folder: Path, mm_per_pixel: float | None) -> "list[tuple[str, Read]]":
    """Return each annotated image's name and what measures it."""
    from napari_glmedsa.calibration import read_calibration
    from napari_glmedsa.project import AnnotationProject

    project = AnnotationProject.open(folder)
    names = {record.id: record.source for record in project.images()}

    def read(image_id: str) -> "Rows":
        calibration = read_calibration(project.root, image_id)
        scale = mm_per_pixel if calibration is None else calibration.mm_per_pixel
        where = {"image": names[image_id], "image_id": image_id}
        image, labels = project.image(image_id), project.label_map(image_id)
        return _rows(where, image, labels, scale)

    annotated = project.annotated()
    if not annotated:
        raise MeasurementError(
            f"The project {project.name} has no accepted mask to measure; accept one"
            " first, or name a folder of photographs and one of masks."
        )
    return [(names[one], partial(read, one)) for one in annotated]


def _of_pairs(
    images: Path, masks: Path, mm_per_pixel: float | None, *, as_label_map: bool
) -> "list[tuple[str, Read]]":
    """Return each photograph's name and what measures it."""
    from napari_glmedsa.images import read_image, read_mask

    def read(image: Path, mask: Path) -> "Rows":
        labels = read_label_map(mask) if as_label_map else read_mask(mask)
        try:
            where, scale = {"image": image.name}, _scale_of_file(image, mm_per_pixel)
            return _rows(where, read_image(image), labels, scale)
        except MeasurementError as error:
            raise MeasurementError(f"{mask}: {error}") from error

    if masks.is_file():
        pairs = [(images, masks)]
    else:
        pairing = pair_by_stem(images, masks)
        name_unpaired(pairing)
        pairs = pairing.pairs
    return [(pair[0].name, partial(read, *pair)) for pair in pairs]


def _scale_of_file(image: Path, given: float | None) -> float | None:
    """Return what a DICOM photograph says of its pixels, else what was given."""
    from napari_glmedsa.calibration import Calibration
    from napari_glmedsa.dicom import is_dicom, pixel_spacing

    spacing = pixel_spacing(image) if is_dicom(image) else None
    if spacing is None:
        return given
    try:
        return Calibration.from_spacing(spacing, "dicom").mm_per_pixel
    except MeasurementError as error:
        remark(f"{image.name} is measured in pixels: {error}")
        return given


def read_label_map(path: Path) -> "NDArray[np.integer[Any]]":
    """Read a grey PNG or TIFF, (H, W), whose values are labels; 8 or 16 bits.

    Raises
    ------
    MeasurementError
        If it is a picture of colours or of fractions.
    """
    import numpy as np

    from napari_glmedsa.pixels import read_pixels

    pixels = read_pixels(path)
    if pixels.ndim != 2 or pixels.dtype.kind not in "bui":
        raise MeasurementError(
            f"{path} is no label map (one whole number per pixel); leave out"
            " --label-map if it is black and white."
        )
    return pixels.astype(np.uint8) if pixels.dtype == np.bool_ else pixels


def _rows(
    where: "Mapping[str, Value]",
    image: "NDArray[np.uint8]",
    labels: "NDArray[Any]",
    mm_per_pixel: float | None,
) -> "Rows":
    from napari_glmedsa.measurement import measure as measure_objects
    from napari_glmedsa.measurement import row

    found = [
        {**where, **row(one)}
        for one in measure_objects(image, labels, mm_per_pixel=mm_per_pixel)
    ]
    if not found:
        raise MeasurementError(
            f"The mask of {where['image']} is empty, so there is nothing to measure."
        )
    return found


def _prepare(output: Path, *, project: Path | None, overwrite: bool) -> None:
    """Find out now that the table cannot be written."""
    from napari_glmedsa.export.place import is_inside

    if project is not None and is_inside(output, project):
        raise OutputError(
            f"{output} is inside the project; name a file somewhere else."
        )
    if output.is_dir():
        raise OutputError(f"{output} is a folder; name a file for --output.")
    if output.exists() and not overwrite:
        raise OutputError(
            f"{output} is there already; name another file or add --overwrite."
        )
    prepare_folder(output.parent)
