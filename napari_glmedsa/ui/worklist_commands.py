"""What the Worklist dock can do, as commands of napari's palette."""

from __future__ import annotations

import napari
from napari.utils.notifications import show_info

from napari_glmedsa.ui.worklist_widget import WorklistWidget
from napari_glmedsa.worklist import Status


def next_photograph(viewer: napari.Viewer) -> None:
    """Open the next photograph of the worklist."""
    if (dock := _dock(viewer)) is not None:
        dock.go(1)


def previous_photograph(viewer: napari.Viewer) -> None:
    """Open the photograph before."""
    if (dock := _dock(viewer)) is not None:
        dock.go(-1)


def flag_photograph(viewer: napari.Viewer) -> None:
    """Flag the photograph, or take the flag back."""
    if (dock := _dock(viewer)) is not None:
        dock.mark(Status.FLAGGED)


def skip_photograph(viewer: napari.Viewer) -> None:
    """Skip the photograph, or take that back."""
    if (dock := _dock(viewer)) is not None:
        dock.mark(Status.SKIPPED)


def _dock(viewer: napari.Viewer) -> WorklistWidget | None:
    docks = viewer.window.dock_widgets.values()
    found = next((one for one in docks if isinstance(one, WorklistWidget)), None)
    if found is None:
        show_info("There is no worklist yet: open Plugins > Worklist first.")
    return found
