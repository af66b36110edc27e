"""Which mask file belongs to which photograph."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_glmedsa.cli.inputs import MASK_ENDING, image_files, images_in
from napari_glmedsa.cli.terminal import remark
from napari_glmedsa.errors import ImageFormatError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NAMES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which mask belongs to which image, and which files stay alone."""

    pairs: list[tuple[Path, Path]] = field(default_factory=list)
    without_mask: list[Path] = field(default_factory=list)
    without_image: list[Path] = field(default_factory=list)


def pair_by_stem(images: Path, masks: Path) -> Pairing:
    """Pair `x.jpg` with `x_segmentation.png` or, if there is none, with `x.png`.

    The ending is read in any case, as ISIC 2016 and 2017 wrote `_Segmentation`.

    Raises
    ------
    ImageFormatError
        If a folder cannot be read, nothing fits together, or two files claim the
        same place.
    """
    photographs = _by_stem(images_in(images))
    plain: dict[str, list[Path]] = {}
    suffixed: dict[str, list[Path]] = {}
    taken = set(photographs.values())
    for path in image_files(masks):
        if path.stem.lower().endswith(MASK_ENDING):
            suffixed.setdefault(path.stem[: -len(MASK_ENDING)], []).append(path)
        elif path not in taken:  # one folder may hold both
            plain.setdefault(path.stem, []).append(path)

    pairing = Pairing()
    for stem, image in photographs.items():
        candidates = suffixed.pop(stem, []) or plain.pop(stem, [])
        plain.pop(stem, None)
        if len(candidates) > 1:
            raise ImageFormatError(
                f"{candidates[0]} and {candidates[1]} both claim to be the mask of"
                f" {image}; keep one of them."
            )
        if candidates:
            pairing.pairs.append((image, candidates[0]))
        else:
            pairing.without_mask.append(image)
    alone = [path for left in (suffixed, plain) for ps in left.values() for path in ps]
    pairing.without_image.extend(sorted(alone))
    if not pairing.pairs:
        raise ImageFormatError(
            f"No mask in {masks} has the name of an image in {images}; a.jpg goes with"
            " a.png or a_segmentation.png."
        )
    return pairing


def name_unpaired(pairing: Pairing) -> None:
    """Say on stderr which images and masks stay alone."""
    for paths, lacking in (
        (pairing.without_mask, "image(s) without a mask"),
        (pairing.without_image, "mask(s) without an image"),
    ):
        if paths:
            names = ", ".join(path.name for path in paths[:_NAMES_SHOWN])
            more = len(paths) - _NAMES_SHOWN
            rest = f" and {more} more" if more > 0 else ""
            remark(f"Left out {len(paths)} {lacking}: {names}{rest}.")


def read_pair(
    image_path: Path, mask_path: Path
) -> "tuple[NDArray[np.uint8], NDArray[np.bool_]]":
    """Read an image, (H, W, 3), and its mask, (H, W).

    Raises
    ------
    ImageFormatError
        If one of them cannot be read or they are of different sizes.
    """
    from napari_glmedsa.images import read_image, read_mask

    image, mask = read_image(image_path), read_mask(mask_path)
    if image.shape[:2] != mask.shape:
        raise ImageFormatError(
            f"{mask_path} is {_size(mask)} pixels but {image_path} is {_size(image)};"
            " use the mask that was made for this image."
        )
    return image, mask


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    by_stem: dict[str, Path] = {}
    for path in paths:
        other = by_stem.setdefault(path.stem, path)
        if other is not path:
            raise ImageFormatError(
                f"{other} and {path} have one name, so their mask is not known; keep"
                " one of them."
            )
    return by_stem


def _size(array: Any) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
