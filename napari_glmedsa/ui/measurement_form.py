"""What one sees of the dock "Measure": the scale, a ruler, and a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from magicgui.widgets import PushButton
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDoubleSpinBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_glmedsa.measurement import COLUMNS, Measurements
from napari_glmedsa.measurement.colour import COLOURS
from napari_glmedsa.ui import forms
from napari_glmedsa.ui.actions import MEASURE
from napari_glmedsa.ui.keymap import keys_of

NOTICE = "Measurements, not a diagnosis. " + forms.DISCLAIMER

MIN_WIDTH = 280
"""Pixels in which every word fits."""
_TABLE_HEIGHT = 120
_ROW_LEADING = 6
_SWATCH = 12
_DEFAULT_LENGTH, _LONGEST = 10.0, 1000.0  # mm

Swatch = Callable[[int], Sequence[float] | None]
"""From a label to the colour that it has on the screen, RGB in 0 to 1."""


class MeasurementForm(QWidget):
    """The widgets of the dock, without any behaviour."""

    def __init__(self) -> None:
        super().__init__()
        self.subject = forms.paragraph()
        self.ruler_button = PushButton(
            text="Ruler",
            tooltip="Drag a line along a known length in the photograph, such as the "
            f"scale on the contact plate ({keys_of('ruler', MEASURE)})",
        )
        self.ruler_button.native.setCheckable(True)
        self.length = QDoubleSpinBox()
        self.length.setRange(0.01, _LONGEST)
        self.length.setDecimals(2)
        self.length.setValue(_DEFAULT_LENGTH)
        self.length.setSuffix(" mm")
        self.length.setToolTip("How long the ruler's line is on the skin")
        self.length.setAccessibleName("Length of the ruler in millimetres")
        self.forget_button = PushButton(
            text="Forget", tooltip="Remove the ruler and its scale: pixels again"
        )
        self.scale = forms.paragraph(lines=2)
        self.table = MeasurementTable()
        self.save_button = PushButton(
            text="Save CSV…", tooltip="Write the table as a file for a spreadsheet"
        )
        self.words = forms.paragraph()
        self._lay_out()
        self.show_measured(())

    def show_measured(
        self, measured: Sequence[Measurements], swatch: Swatch = lambda _: None
    ) -> None:
        """Show the measurements of these objects."""
        self.table.show_measured(measured, swatch)
        self.save_button.enabled = bool(measured)

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.length, 1)
        row.addWidget(self.ruler_button.native)
        row.addWidget(self.forget_button.native)
        layout = QVBoxLayout(self)
        layout.addWidget(self.subject.native)
        layout.addLayout(row)
        layout.addWidget(self.scale.native)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.words.native)
        layout.addWidget(self.save_button.native)
        layout.addWidget(_notice())
        self.setMinimumWidth(MIN_WIDTH)
        # napari fills the rest of the dock with nothing unless the form wants it.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)


class MeasurementTable(QTableWidget):
    """One row per measurement, with its unit, and one column per object."""

    def __init__(self) -> None:
        super().__init__(len(COLUMNS), 0)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setMinimumHeight(_TABLE_HEIGHT)
        self.setWordWrap(False)
        self.setAccessibleName("Measurements")
        self.setToolTip("One column per lesion; point at a name to see what it means")
        for header in (self.horizontalHeader(), self.verticalHeader()):
            if header is not None:
                header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        if (rows := self.verticalHeader()) is not None:
            # So that all of them are seen in a small window.
            rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            rows.setMinimumSectionSize(0)
            rows.setDefaultSectionSize(self.fontMetrics().height() + _ROW_LEADING)
        self._name_rows(calibrated=False)

    def show_measured(self, measured: Sequence[Measurements], swatch: Swatch) -> None:
        """Show these objects, each under the colour that it has on the screen."""
        calibrated = any(one.mm_per_pixel is not None for one in measured)
        self._name_rows(calibrated=calibrated)
        self.setColumnCount(len(measured))
        for place, one in enumerate(measured):
            heading = QTableWidgetItem(f"Lesion {one.label}")
            colour = swatch(one.label)
            if colour is not None:
                heading.setIcon(_icon(colour))
            self.setHorizontalHeaderItem(place, heading)
            for number, column in enumerate(COLUMNS):
                cell = QTableWidgetItem(column.text(one))
                cell.setTextAlignment(
                    Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                )
                cell.setToolTip(
                    _colours(one) if column.name == "n_colours" else column.about
                )
                self.setItem(number, place, cell)

    def text(self, name: str, place: int = 0) -> str:
        """Return what is written about a measurement, by its name."""
        number = [column.name for column in COLUMNS].index(name)
        item = self.item(number, place)
        return "" if item is None else item.text()

    def _name_rows(self, *, calibrated: bool) -> None:
        for number, column in enumerate(COLUMNS):
            unit = column.unit(calibrated=calibrated)
            item = QTableWidgetItem(f"{column.title}, {unit}" if unit else column.title)
            item.setToolTip(column.about)
            self.setVerticalHeaderItem(number, item)


def _colours(measured: Measurements) -> str:
    """Return the share of each colour that occurs, in words."""
    shares = measured.colour.shares
    if shares is None:
        return "A grey picture has no colours."
    pairs = sorted(zip(shares, COLOURS, strict=True), reverse=True)
    words = [f"{name} {share:.0%}" for share, name in pairs if share >= 0.005]
    return ", ".join(words) or "None of the six"


def _icon(colour: Sequence[float]) -> QIcon:
    red, green, blue = (round(255 * part) for part in colour[:3])
    swatch = QPixmap(_SWATCH, _SWATCH)
    swatch.fill(QColor(red, green, blue))
    return QIcon(swatch)


def _notice() -> QLabel:
    label = QLabel(NOTICE)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label
