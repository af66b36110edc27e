"""A mask that somebody made before, taken as the start of one to be refined."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import napari.viewer
import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_glmedsa.errors import ImageFormatError
from napari_glmedsa.ui import convert
from napari_glmedsa.ui.companion import OURS
from napari_glmedsa.ui.finishing import Finishing
from napari_glmedsa.ui.layers import LayerTrio
from napari_glmedsa.ui.workbench import Background, Workbench


class StartingMask:
    """Offers Labels layers of the viewer, and files: PNG, TIFF or DICOM SEG.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where Labels layers are.
    form : Finishing
        Where the user chooses.
    bench : Workbench
        At the image.
    start : callable
        Takes the mask, (H, W) bool.
    in_background : callable
        Reads files.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        form: Finishing,
        bench: Workbench,
        *,
        start: Callable[[NDArray[np.bool_]], object],
        in_background: Background,
    ) -> None:
        self._viewer, self._form, self._bench = viewer, form, bench
        self._start, self._in_background = start, in_background
        form.menu.aboutToShow.connect(self.offer)
        form.started_from.connect(self._on_chosen)

    def offer(self) -> None:
        """Offer the layers that the viewer has now."""
        self._form.offer_masks(tuple(self._layers()))

    def _layers(self) -> Iterator[Labels]:
        for layer in self._viewer.layers:
            if isinstance(layer, Labels) and not layer.metadata.get(OURS, {}).get(
                "image"
            ):
                yield layer

    def _on_chosen(self, chosen: Labels | Path) -> None:
        trio = self._bench.trio
        if trio is None:
            return
        if isinstance(chosen, Path):
            path = chosen
            self._in_background(
                "read mask",
                lambda _: read_mask(path),
                lambda mask: self._take(trio, mask, path.name),
            )
        else:
            self._take(trio, _mask_of(chosen), chosen.name)

    def _take(self, trio: LayerTrio, mask: NDArray[np.bool_], name: str) -> None:
        if trio is not self._bench.trio:
            return
        size = convert.image_size(trio.image)
        if mask.shape != size:
            there = " x ".join(str(length) for length in mask.shape[::-1])
            self._bench.warned.emit(
                f"“{name}” has {there} pixels and the photograph "
                f"{size[1]} x {size[0]}: choose a mask of the photograph's size."
            )
        elif not mask.any():
            self._bench.warned.emit(f"“{name}” is empty: choose a mask of a lesion.")
        else:
            self._start(mask)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask, (H, W) bool; not for the Qt thread.

    Raises
    ------
    ImageFormatError
        If the file holds no mask.
    MissingPackageError
        If it is DICOM and pydicom is not installed.
    """
    from napari_glmedsa import dicom, images

    if not dicom.is_dicom(path):
        return images.read_mask(path)
    from napari_glmedsa.export import dicom_seg_reader

    if not dicom.is_segmentation(path):
        msg = f"{path} is a DICOM photograph, not a mask: choose a DICOM SEG file."
        raise ImageFormatError(msg)
    return np.asarray(dicom_seg_reader.read(path).label_map > 0)


def _mask_of(layer: Labels) -> NDArray[np.bool_]:
    """Return the selected object of a layer; if it has no pixels, all objects."""
    labels = np.asarray(layer.data)
    selected = labels == layer.selected_label
    return selected if layer.selected_label and selected.any() else labels > 0
