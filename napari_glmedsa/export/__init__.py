"""Accepted masks in the formats that other programs read, and back again."""

from napari_glmedsa.export.formats import (
    FORMAT_NAMES,
    FORMATS,
    Format,
    FormatName,
    Request,
    check_place,
    export,
)
from napari_glmedsa.export.subject import Step, Written

__all__ = [
    "FORMATS",
    "FORMAT_NAMES",
    "Format",
    "FormatName",
    "Request",
    "Step",
    "Written",
    "check_place",
    "export",
]
