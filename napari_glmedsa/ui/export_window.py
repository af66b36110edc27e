"""The one export dialog of a dock or window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from napari_glmedsa.ui.export_dialog import ExportDialog


class ExportWindow:
    """Opens the export dialog of a project, and that of another in its place.

    Attributes
    ----------
    dialog : ExportDialog or None
        Once it was opened.
    """

    def __init__(self) -> None:
        self.dialog: ExportDialog | None = None

    def show(self, project_folder: Path, parent: QWidget) -> None:
        """Show the dialog without halting the viewer; it ends with its parent."""
        from napari_glmedsa.ui.export_dialog import ExportDialog  # takes its time

        if self.dialog is None or self.dialog.project_folder != project_folder:
            if self.dialog is not None:
                self.dialog.close_down()
                self.dialog.deleteLater()
            self.dialog = ExportDialog(project_folder, parent)
        self.dialog.show()
        self.dialog.raise_()

    def close_down(self) -> None:
        """Call off what is being done, and take on nothing more."""
        if self.dialog is not None:
            self.dialog.close_down()
