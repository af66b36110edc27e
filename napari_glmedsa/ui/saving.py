"""Ask where a mask should go, and write it there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_info
from numpy.typing import NDArray
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_glmedsa.jobs import Job

SUFFIX = "_segmentation.png"
"""The ISIC archive's name for the mask of an image."""


def suggested_path(image: Image) -> Path:
    """Return the ISIC name of the mask, beside the file that the image came from."""
    source = _source(image)
    return source.with_name(source.stem + SUFFIX)


def source_name(image: Image) -> str:
    """Return the name of the file that the image came from, without its folder."""
    return _source(image).name


def ask_where(image: Image, parent: QWidget) -> Path | None:
    """Let the user choose a file for the mask; None if they changed their mind."""
    path, _ = QFileDialog.getSaveFileName(
        parent, "Save mask", str(suggested_path(image)), "PNG image (*.png)"
    )
    return Path(path).with_suffix(".png") if path else None


def write(path: Path, mask: NDArray[np.bool_], _: Job) -> Path:
    """Write a mask (H, W) bool as 8-bit PNG, 0 and 255; not for the Qt thread."""
    from napari_glmedsa.images import write_mask

    write_mask(path, mask)
    return path


def say_saved(path: Path) -> None:
    """Tell the user that the file is there."""
    show_info(f"Saved {path}")


def _source(image: Image) -> Path:
    return Path(image.source.path or image.name)
