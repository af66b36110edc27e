"""A lesion in numbers: its size, shape, border and colours. Measured, not diagnosed."""

from napari_glmedsa.measurement.columns import COLUMNS, Column, row, write_csv
from napari_glmedsa.measurement.measure import Measurements, measure

__all__ = ["COLUMNS", "Column", "Measurements", "measure", "row", "write_csv"]
