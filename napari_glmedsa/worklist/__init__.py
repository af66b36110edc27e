"""The worklist: which photographs there are, how far each is, and which comes next."""

from napari_glmedsa.worklist.bookmark import Bookmark, LastWorklist
from napari_glmedsa.worklist.entries import (
    Entry,
    Order,
    Shown,
    Status,
    neighbour,
    ordered,
    to_be_done,
)
from napari_glmedsa.worklist.uncertainty import Uncertainty, estimate_uncertainty
from napari_glmedsa.worklist.worklist import Worklist

__all__ = [
    "Bookmark",
    "Entry",
    "LastWorklist",
    "Order",
    "Shown",
    "Status",
    "Uncertainty",
    "Worklist",
    "estimate_uncertainty",
    "neighbour",
    "ordered",
    "to_be_done",
]
