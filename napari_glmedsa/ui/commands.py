"""The commands of napari's palette: a function for each action of `actions.ACTIONS`."""

from __future__ import annotations

from collections.abc import Callable

import napari
from napari.utils.notifications import show_info

from napari_glmedsa.ui.actions import (
    ACTIONS,
    FINE_TUNE,
    MEASURE,
    SEGMENT,
    WORKLIST,
    Action,
)
from napari_glmedsa.ui.finetune_widget import FineTuneWidget
from napari_glmedsa.ui.keymap import press
from napari_glmedsa.ui.measurement_widget import MeasurementWidget
from napari_glmedsa.ui.segment_widget import SegmentWidget
from napari_glmedsa.ui.worklist_widget import WorklistWidget

_KINDS = {
    SEGMENT: SegmentWidget,
    WORKLIST: WorklistWidget,
    MEASURE: MeasurementWidget,
    FINE_TUNE: FineTuneWidget,
}


def run(viewer: napari.Viewer, action: Action) -> None:
    """Let the open dock do an action, or say that it must be opened first."""
    docks = viewer.window.dock_widgets.values()
    dock = next((one for one in docks if isinstance(one, _KINDS[action.dock])), None)
    if dock is None:
        show_info(f"The {action.dock} dock is closed: open it in the menu Plugins.")
    elif action.button:
        press(dock.form, action)
    else:
        dock.act(action.name)


def __getattr__(name: str) -> Callable[[napari.Viewer], None]:
    """Return the function that the manifest calls ``DOCK_ACTION``."""
    for action in ACTIONS:
        if action.function == name:
            return _command(action)
    raise AttributeError(name)


def _command(action: Action) -> Callable[[napari.Viewer], None]:
    def command(viewer: napari.Viewer) -> None:
        run(viewer, action)

    command.__doc__ = f"{action.title}."
    return command
