"""Measurements as a table: what each column is called, its unit, and its file."""

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_glmedsa.errors import OutputError
from napari_glmedsa.files import atomic_write
from napari_glmedsa.measurement.colour import COLOURS, COUNTED_SHARE
from napari_glmedsa.measurement.measure import Measurements
from napari_glmedsa.measurement.shape import IRREGULAR

Value = float | int | str | None

UNITS = {1: ("px", "mm"), 2: ("px²", "mm²")}
"""Of lengths and areas: without and with a calibration."""


@dataclass(frozen=True, slots=True)
class Column:
    """One number of every object.

    Attributes
    ----------
    name : str
        In files; lengths get ``_px`` and ``_mm``, areas ``_px2`` and ``_mm2`` after it.
    title : str
        On the screen.
    about : str
        Definition and source in a sentence or two.
    read : callable
        Takes the `Measurements`; a length or an area is given in pixels.
    power : {0, 1, 2}
        1 for a length, 2 for an area, 0 for what a calibration does not change.
    digits : int
        Behind the point, on the screen; in mm and mm² one or two more.
    """

    name: str
    title: str
    about: str
    read: Callable[[Measurements], Value]
    power: int = 0
    digits: int = 2

    def unit(self, *, calibrated: bool) -> str:
        """Return the unit on the screen, empty for a plain number."""
        return UNITS[self.power][calibrated] if self.power else ""

    def text(self, measured: Measurements) -> str:
        """Return the number as the user reads it, in mm if it is calibrated."""
        value = self.read(measured)
        if value is None or isinstance(value, str):
            return value or "-"
        digits = self.digits
        if self.power and (in_mm := measured.in_mm(value, power=self.power)):
            value, digits = in_mm, 2
        return f"{value:,.{digits}f}"

    def cells(self, measured: Measurements) -> dict[str, Value]:
        """Return the number as it stands in a file; what is not known is None."""
        value = self.read(measured)
        if not self.power or value is None or isinstance(value, str):
            return {self.name: value}
        ending = "2" if self.power == 2 else ""
        in_mm = measured.in_mm(value, power=self.power)
        return {f"{self.name}_px{ending}": value, f"{self.name}_mm{ending}": in_mm}


COLUMNS = (
    Column(
        "area",
        "Area",
        "Number of pixels, in mm² if calibrated.",
        lambda one: one.shape.area,
        power=2,
        digits=0,
    ),
    Column(
        "equivalent_diameter",
        "Equivalent diameter",
        "Diameter of the circle with the same area (ISO 9276-6).",
        lambda one: one.shape.equivalent_diameter,
        power=1,
        digits=1,
    ),
    Column(
        "feret_diameter",
        "Feret diameter",
        "Greatest distance between two points of the object (ISO 9276-6).",
        lambda one: one.shape.feret_diameter,
        power=1,
        digits=1,
    ),
    Column(
        "perimeter",
        "Perimeter",
        "Length of all outlines by Crofton's formula (scikit-image).",
        lambda one: one.shape.perimeter,
        power=1,
        digits=1,
    ),
    Column(
        "solidity",
        "Solidity",
        "Area over the area of the convex hull: 1 without any dent (scikit-image).",
        lambda one: one.shape.solidity,
        digits=3,
    ),
    Column(
        "eccentricity",
        "Eccentricity",
        "Of the ellipse with the same second moments: 0 is a circle (scikit-image).",
        lambda one: one.shape.eccentricity,
        digits=3,
    ),
    Column(
        "asymmetry_major",
        "Asymmetry, major axis",
        "Folded over the long axis: share of the object that does not come to lie on"
        " the object (Stoecker 1992). 0 is symmetric.",
        lambda one: one.shape.asymmetry_major,
        digits=3,
    ),
    Column(
        "asymmetry_minor",
        "Asymmetry, minor axis",
        "The same, folded over the short axis (Stoecker 1992).",
        lambda one: one.shape.asymmetry_minor,
        digits=3,
    ),
    Column(
        "compactness",
        "Compactness",
        "Perimeter² / (4 π area): 1 is a circle (irregularity index, Golston 1992).",
        lambda one: one.shape.compactness,
    ),
    Column(
        "border_roughness",
        "Border roughness",
        "Mean over 8 octants of how far the outline strays from a smooth one, as a"
        " share of the radius (this project's own).",
        lambda one: sum(one.shape.border_roughness) / len(one.shape.border_roughness),
        digits=3,
    ),
    Column(
        "irregular_octants",
        "Irregular octants",
        f"Octants of 8 whose border roughness is above {IRREGULAR} (this project's"
        " own; the octants are those of the ABCD rule, Stolz 1994).",
        lambda one: one.shape.irregular_octants,
        digits=0,
    ),
    *(
        Column(
            f"{name}_{statistic}",
            f"{letter} {word}",
            f"{word.capitalize()} of CIELAB {letter} over the object (D65, sRGB).",
            lambda one, n=number, part=statistic: getattr(one.colour, part)[n],  # type: ignore[misc]
            digits=1,
        )
        for number, (name, letter) in enumerate(
            (("lightness", "L*"), ("a", "a*"), ("b", "b*"))
        )
        for statistic, word in (("mean", "mean"), ("sd", "deviation"))
    ),
    Column(
        "variegation",
        "Variegation",
        "Root of the summed variances of L*, a* and b*: typical distance from the mean"
        " colour.",
        lambda one: one.colour.variegation,
        digits=1,
    ),
    Column(
        "contrast",
        "Contrast to skin",
        "Distance of the mean colour from the median colour of the skin around it"
        " (CIE 1976 ΔE).",
        lambda one: one.colour.contrast,
        digits=1,
    ),
    Column(
        "n_colours",
        "Colours of six",
        f"How many of {', '.join(COLOURS)} cover at least {COUNTED_SHARE:.0%} (names of"
        " the ABCD rule, Stolz 1994; this project's own thresholds).",
        lambda one: None if one.colour.present is None else len(one.colour.present),
        digits=0,
    ),
    Column(
        "pieces",
        "Pieces",
        "Parts that do not touch one another; all are measured together.",
        lambda one: one.shape.pieces,
        digits=0,
    ),
    Column(
        "touches_edge",
        "Touches the edge",
        "Whether it reaches the image's edge: then only what is seen is measured.",
        lambda one: "yes" if one.touches_edge else "no",
    ),
)
"""What is measured, in the order of the tables."""


def row(measured: Measurements) -> dict[str, Value]:
    """Return everything about one object as the cells of a file, by their headings."""
    cells: dict[str, Value] = {"label": measured.label}
    for column in COLUMNS:
        cells |= column.cells(measured)
    present = measured.colour.present
    cells["colours"] = None if present is None else "; ".join(present)
    shares = measured.colour.shares or (None,) * len(COLOURS)
    for name, share in zip(COLOURS, shares, strict=True):
        cells[f"share_{name.replace(' ', '_').replace('-', '_')}"] = share
    for number, roughness in enumerate(measured.shape.border_roughness, start=1):
        cells[f"roughness_octant_{number}"] = roughness
    cells["mm_per_pixel"] = measured.mm_per_pixel
    return cells


def write_csv(path: Path, rows: Iterable[Mapping[str, Value]]) -> None:
    """Write rows as CSV (UTF-8, comma, point), whole or not at all.

    Numbers have six significant digits; what is not known is an empty cell. The
    headings are those of the first row, or of an empty table nothing.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    filled = [{name: _cell(value) for name, value in one.items()} for one in rows]
    try:
        with (
            atomic_write(path) as partial,
            partial.open(
                "w",
                encoding="utf-8",
                errors="backslashreplace",  # names of files may be no text
                newline="",
            ) as stream,
        ):
            writer = csv.DictWriter(stream, list(filled[0]) if filled else [])
            writer.writeheader()
            writer.writerows(filled)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); choose another"
            " file."
        ) from error


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")):
        return f"'{value}"  # else a spreadsheet would compute it
    return f"{value:.6g}" if isinstance(value, float) else str(value)
