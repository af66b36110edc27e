"""What is exported from a project, in which format and where to."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QStackedWidget,
    QWidget,
)

from napari_glmedsa.export import FORMATS, FormatName, Request
from napari_glmedsa.project import SPLITS
from napari_glmedsa.ui.import_form import PathRow
from napari_glmedsa.ui.project_table import PART_WORDS

_ABOUT_LINES = 3


class ExportForm(QWidget):
    """Rows for format, images, options and place.

    Parameters
    ----------
    project : Path
        Folder of the project. What it is exported to is suggested beside it.
    """

    edited = Signal()
    """The form says something else now."""

    def __init__(self, project: Path) -> None:
        super().__init__()
        self._project = project
        self.format = QComboBox()
        for name, one in FORMATS.items():
            self.format.addItem(one.title, name)
        self.about = QLabel()
        self.part = QComboBox()
        self.part.addItem("all with a mask", None)
        for split in SPLITS:
            self.part.addItem(PART_WORDS[split], split)
        self.largest = QCheckBox("Only the largest piece, without holes")
        self.polygons = QCheckBox("Polygons instead of run lengths")
        self.sources = PathRow("Folder of the DICOM photographs; optional", _folder)
        self.no_options = QLabel("none")
        self.options = QStackedWidget()
        self.output = PathRow("New folder or file", self._ask_where)
        self.overwrite = QCheckBox("Replace a former export")
        for widget, tooltip in (
            (self.format, "What the masks are written in"),
            (self.part, "Which of the project's images"),
            (self.largest, "As the ISIC challenges want it"),
            (self.polygons, "For programs that read no run lengths"),
            (self.overwrite, "Without it, nothing that is there is touched"),
        ):
            widget.setToolTip(tooltip)
        self._lay_out()
        self._on_format()
        self.format.currentIndexChanged.connect(self._on_format)
        self.output.path_edit.textChanged.connect(self.edited.emit)

    def request(self) -> Request:
        """Return what the form says."""
        sources = self.sources.path
        return Request(
            self._name,
            (self.output.path or Path()).expanduser(),
            overwrite=self.overwrite.isChecked(),
            split=self.part.currentData(),
            pieces="largest" if self.largest.isChecked() else "all",
            outline="polygons" if self.polygons.isChecked() else "rle",
            sources=None if sources is None else sources.expanduser(),
        )

    @property
    def _name(self) -> FormatName:
        name: FormatName = self.format.currentData()
        return name

    def _suggestion(self) -> str:
        return f"{self._project.name}-{self._name}{FORMATS[self._name].suffix}"

    def _on_format(self, *_: object) -> None:
        pages: dict[FormatName, QWidget] = {
            "isic-png": self.largest,
            "coco": self.polygons,
            "dicom-seg": self.sources,
        }
        self.options.setCurrentWidget(pages.get(self._name, self.no_options))
        self.about.setText(FORMATS[self._name].about)
        before = self.output.path
        folder = self._project.parent if before is None else before.parent
        self.output.path_edit.setText(str(folder / self._suggestion()))
        self.overwrite.setChecked(False)
        self.edited.emit()

    def _ask_where(self, parent: QWidget, near: str) -> str:
        """Ask for a file, or for the folder in which a new one is made."""
        if suffix := FORMATS[self._name].suffix:
            kind = f"{self.format.currentText()} (*{suffix})"
            options = QFileDialog.Option.DontConfirmOverwrite
            path, _ = QFileDialog.getSaveFileName(
                parent, "Export to a file", near, kind, options=options
            )
            return str(Path(path).with_suffix(suffix)) if path else ""
        where = str(Path(near).parent) if near else ""
        folder = _folder(parent, where)
        return str(Path(folder) / self._suggestion()) if folder else ""

    def _lay_out(self) -> None:
        self.about.setWordWrap(True)
        line = self.about.fontMetrics().lineSpacing()
        self.about.setMinimumHeight(_ABOUT_LINES * line)
        for page in (self.no_options, self.largest, self.polygons, self.sources):
            self.options.addWidget(page)
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for word, widget in (
            ("Format", self.format),
            ("", self.about),
            ("Images", self.part),
            ("Options", self.options),
            ("To", self.output),
            ("", self.overwrite),
        ):
            layout.addRow(word, widget)


def _folder(parent: QWidget, near: str) -> str:
    return QFileDialog.getExistingDirectory(parent, "Choose a folder", near)
