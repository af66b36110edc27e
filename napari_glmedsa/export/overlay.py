"""Photographs with the outlines and clicks drawn on them, for a report."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from napari_glmedsa.export.place import whole_folder
from napari_glmedsa.export.subject import Step, Written, silent, subjects
from napari_glmedsa.overlay import draw_overlay
from napari_glmedsa.pairs import OVERLAY_ENDING
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.project.annotations import present_labels


def write(
    project: AnnotationProject,
    ids: Sequence[str],
    output: Path,
    *,
    overwrite: bool = False,
    step: Step = silent,
) -> Written:
    """Write `<stem>_overlay.png` for every image; see `isic_png.write`."""
    n_images = n_objects = 0
    with whole_folder(output, format_name="overlay", overwrite=overwrite) as folder:
        for subject in subjects(project, ids, step):
            label_map = project.label_map(subject.id)
            objects = project.objects(subject.id)
            boxes = [one.box for one in objects if one.box is not None]
            drawn = draw_overlay(
                project.image(subject.id),
                _apart(label_map),
                np.array(
                    [xy for one in objects for xy in one.point_coords], dtype=np.float64
                ).reshape(-1, 2),
                np.array(
                    [said for one in objects for said in one.point_labels],
                    dtype=np.int64,
                ),
                np.array(boxes[0], dtype=np.float64) if len(boxes) == 1 else None,
            )
            drawn.save(folder / f"{subject.stem}{OVERLAY_ENDING}.png", compress_level=3)
            n_images += 1
            n_objects += len(present_labels(label_map))
    return Written(output, n_images, n_objects)


def _apart(label_map: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Return where objects are, with a gap where two of them touch."""
    mask = np.asarray(label_map > 0)
    if len(present_labels(label_map)) > 1:
        touching = find_boundaries(label_map, mode="inner", background=0)
        mask &= ~(touching & ~find_boundaries(mask, mode="inner", background=0))
    return mask
