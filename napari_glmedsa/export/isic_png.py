"""Masks as the ISIC archive keeps them: a black and white PNG per photograph."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.cleanup import fill_holes, largest_piece
from napari_glmedsa.export.place import whole_folder
from napari_glmedsa.export.subject import Step, Written, silent, subjects
from napari_glmedsa.images import write_mask
from napari_glmedsa.pairs import MASK_ENDING
from napari_glmedsa.project import AnnotationProject

Pieces = Literal["all", "largest"]
"""Keep the mask as it was accepted, or its largest piece without holes (ISIC 2018)."""


def write(
    project: AnnotationProject,
    ids: Sequence[str],
    output: Path,
    *,
    pieces: Pieces = "all",
    overwrite: bool = False,
    step: Step = silent,
) -> Written:
    """Write `<stem>_segmentation.png` for every image, 0 and 255, into a new folder.

    Parameters
    ----------
    project : AnnotationProject
        Where the masks are.
    ids : sequence of str
        Of annotated images.
    output : Path
        The folder; see `whole_folder`.
    pieces : {"all", "largest"}
        Whether only the largest piece is kept, its holes filled.
    overwrite : bool
        Whether a former export may be replaced.
    step : callable
        Told how far it is.

    Raises
    ------
    ProjectError, OutputError
        If a mask is missing, or the folder cannot be written.
    """
    n_images = 0
    with whole_folder(output, format_name="isic-png", overwrite=overwrite) as folder:
        for subject in subjects(project, ids, step):
            mask = one_mask(project.label_map(subject.id), pieces)
            write_mask(folder / f"{subject.stem}{MASK_ENDING}.png", mask)
            n_images += 1
    return Written(output, n_images, n_images)


def one_mask(
    label_map: NDArray[np.uint16], pieces: Pieces = "all"
) -> NDArray[np.bool_]:
    """Return where any object of a label map (H, W) is, as a mask (H, W)."""
    mask = np.asarray(label_map > 0)
    return fill_holes(largest_piece(mask)) if pieces == "largest" else mask
