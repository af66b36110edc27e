"""Validation images before and after a run, small enough to look at in a dock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_glmedsa.errors import TrainingError
from napari_glmedsa.files import read_json, write_json

GALLERY_SIZE = 6
"""Images in a gallery, at most."""

LONGEST_SIDE = 640
"""Pixels of the longer side of a gallery image."""

_FOLDER, _INDEX = "gallery", "gallery.json"


@dataclass(frozen=True, eq=False)
class GalleryItem:
    """One validation image with the old answer, the new answer and the truth.

    Parameters
    ----------
    id
        The image's name in the project.
    image
        (h, w, 3) uint8 RGB, shrunk.
    before, after, truth
        (h, w) bool, after one click.
    dice_before, dice_after
        Measured at the image's own size.
    """

    id: str
    image: NDArray[np.uint8]
    before: NDArray[np.bool_]
    after: NDArray[np.bool_]
    truth: NDArray[np.bool_]
    dice_before: float
    dice_after: float


def shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink an image, (H, W, 3) uint8, to gallery size; small ones stay as they are.

    A mask, (H, W) bool, is shrunk by `shrink_mask`.
    """
    picture = Image.fromarray(image)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return np.asarray(picture)


def shrink_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Shrink a mask, (H, W) bool, to the size that `shrink` gives its image."""
    grey = mask.astype(np.uint8) * np.uint8(255)
    return np.asarray(shrink(grey) > 127)


def write_gallery(run: Path, items: Sequence[GalleryItem]) -> None:
    """Write PNG files into a run's folder and, last, their index."""
    folder = run / _FOLDER
    folder.mkdir(exist_ok=True)
    rows = []
    for number, item in enumerate(items):
        Image.fromarray(item.image).save(folder / f"{number}_image.png")
        for name in ("before", "after", "truth"):
            mask = Image.fromarray(getattr(item, name))
            mask.save(folder / f"{number}_{name}.png")
        rows.append(
            {
                "id": item.id,
                "dice_before": item.dice_before,
                "dice_after": item.dice_after,
            }
        )
    write_json(folder / _INDEX, rows)


def read_gallery(run: Path) -> list[GalleryItem]:
    """Read the gallery of a run's folder; empty if there is none yet.

    Raises
    ------
    TrainingError
        If its files are damaged.
    """
    folder = run / _FOLDER
    if not (folder / _INDEX).exists():
        return []
    try:
        return [
            _read_item(folder, number, row)
            for number, row in enumerate(read_json(folder / _INDEX))
        ]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise TrainingError(
            f"The pictures of the run in {folder} are damaged ({error}); they are not "
            "needed for anything else, so delete that folder."
        ) from error


def _read_item(folder: Path, number: int, row: Mapping[str, Any]) -> GalleryItem:
    before, after, truth = (
        _pixels(folder / f"{number}_{name}.png") > 0
        for name in ("before", "after", "truth")
    )
    return GalleryItem(
        row["id"],
        _pixels(folder / f"{number}_image.png"),
        before,
        after,
        truth,
        row["dice_before"],
        row["dice_after"],
    )


def _pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path, formats=("PNG",)) as picture:
        return np.asarray(picture)
