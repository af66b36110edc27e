"""The photographs in a folder, and which mask file belongs to which of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_glmedsa.errors import ImageFormatError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MASK_ENDING = "_segmentation"
OVERLAY_ENDING = "_overlay"
"""Ends of the names of files that the program writes beside photographs."""

_NAMES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which mask belongs to which image, and which files stay alone."""

    pairs: list[tuple[Path, Path]] = field(default_factory=list)
    without_mask: list[Path] = field(default_factory=list)
    without_image: list[Path] = field(default_factory=list)

    def remarks(self) -> Iterator[str]:
        """Yield a sentence about the images, and one about the masks, left alone."""
        for paths, lacking in (
            (self.without_mask, "image(s) without a mask"),
            (self.without_image, "mask(s) without an image"),
        ):
            if paths:
                names = ", ".join(path.name for path in paths[:_NAMES_SHOWN])
                more = len(paths) - _NAMES_SHOWN
                rest = f" and {more} more" if more > 0 else ""
                yield f"Left out {len(paths)} {lacking}: {names}{rest}."


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
    check_sizes(image, mask, (image_path, mask_path))
    return image, mask


def check_sizes(
    image: "NDArray[Any]", mask: "NDArray[Any]", files: tuple[Path, Path]
) -> None:
    """Raise ImageFormatError if an image, (H, W, 3), and its mask differ in size."""
    if image.shape[:2] != mask.shape:
        raise ImageFormatError(
            f"{files[1]} is {_size(mask)} pixels but {files[0]} is {_size(image)};"
            " use the mask that was made for this image."
        )


def images_in(folder: Path) -> list[Path]:
    """Return a folder's photographs, in the order of their names."""
    return [
        path
        for path in image_files(folder)
        if not path.stem.lower().endswith((MASK_ENDING, OVERLAY_ENDING))
    ] or _no_images(folder)


def image_files(folder: Path) -> list[Path]:
    """Return all image files of a folder by their endings, in the names' order."""
    from napari_glmedsa.images import IMAGE_SUFFIXES

    try:
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES
            and not path.name.startswith(".")
            and path.is_file()
        )
    except OSError as error:
        raise ImageFormatError(
            f"The folder {folder} cannot be read ({error.strerror}); check its name."
        ) from error


def _no_images(folder: Path) -> list[Path]:
    raise ImageFormatError(
        f"There is no image in {folder}; name a folder with PNG, JPEG or TIFF files."
    )


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
