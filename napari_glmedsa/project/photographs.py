"""One photograph of a project: its pixels, and what is known about it."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_glmedsa.errors import ImageFormatError, ProjectError
from napari_glmedsa.files import NONSENSE, read_json, sha256_array, write_json
from napari_glmedsa.images import write_image
from napari_glmedsa.project.annotations import DECODE_ERRORS
from napari_glmedsa.project.lookalikes import perceptual_hash
from napari_glmedsa.project.splits import SPLITS, Split

_ID_DIGITS = 16


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """What a project knows about one of its images.

    Parameters
    ----------
    id
        First 16 hex digits of the SHA-256 of its pixels.
    source
        Name of the file it came from, without its folder.
    group
        Images of one group (a lesion, a patient) stay in one split.
    size
        (H, W) in pixels.
    split
        Where the user put it, or None if the project decides.
    perceptual_hash
        Tells near-duplicates; see `lookalikes`.
    """

    id: str
    source: str
    group: str | None
    size: tuple[int, int]
    split: Split | None = None
    perceptual_hash: str = ""

    @classmethod
    def of(
        cls,
        image: NDArray[np.uint8],
        *,
        source: str,
        group: str | None = None,
        split: Split | None = None,
    ) -> Self:
        """Describe an RGB image, (H, W, 3) uint8, that came from the file `source`."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ImageFormatError(
                f"A project holds (H, W, 3) uint8 images, not {image.dtype} of shape"
                f" {image.shape}; convert it with to_rgb_uint8 first."
            )
        if image.size == 0:
            raise ImageFormatError("The image has no pixels; choose another one.")
        if split is not None and split not in SPLITS:
            raise ProjectError(
                f"There is no split {split}; choose one of {', '.join(SPLITS)}."
            )
        return cls(
            id=image_id(image),
            # Windows' rules take apart the paths of every system.
            source=PureWindowsPath(source).name,
            group=group or None,
            size=(image.shape[0], image.shape[1]),
            split=split,
            perceptual_hash=perceptual_hash(image),
        )

    def joined(self, other: Self) -> Self:
        """Return this record with the group and the split that only `other` knows."""
        for word, old, new in (
            ("group", self.group, other.group),
            ("split", self.split, other.split),
        ):
            if old is not None and new is not None and old != new:
                raise ProjectError(
                    f"The image {other.source} is in the project already, in the"
                    f" {word} {old} and not {new}; keep one of the two."
                )
        return replace(
            self, group=self.group or other.group, split=self.split or other.split
        )

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON types; the id is the file's name."""
        return {
            "source": self.source,
            "group": self.group,
            "size": list(self.size),
            "split": self.split,
            "perceptual_hash": self.perceptual_hash,
        }

    @classmethod
    def from_json(cls, image: str, document: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote about the image of that id."""
        height, width = document["size"]
        group, split = document.get("group"), document.get("split")
        if split is not None and split not in SPLITS:
            raise ValueError(split)
        return cls(
            id=image,
            source=str(document["source"]),
            group=None if group is None else str(group),
            size=(int(height), int(width)),
            split=split,
            perceptual_hash=str(document.get("perceptual_hash", "")),
        )


@dataclass(frozen=True, slots=True)
class PhotographFiles:
    """The two files of one photograph; it is there when both are."""

    pixels: Path
    record: Path

    def read(self) -> ImageRecord | None:
        """Return the record, or None if a file is missing or unreadable."""
        if not self.pixels.is_file():
            return None
        try:
            return ImageRecord.from_json(self.record.stem, read_json(self.record))
        except (OSError, *NONSENSE):
            return None

    def read_pixels(self) -> NDArray[np.uint8]:
        """Return the image, (H, W, 3) uint8, if it is still the one that was added."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about sizes that are fine here
                with Image.open(self.pixels, formats=("PNG",)) as image:
                    pixels = np.array(image.convert("RGB"))
        except FileNotFoundError as error:
            raise ProjectError(
                f"The project's image {self.pixels} is missing; add the original once"
                " more."
            ) from error
        except DECODE_ERRORS as error:
            raise self._damaged() from error
        if image_id(pixels) != self.pixels.stem:
            raise self._damaged()
        return pixels

    def write(self, image: NDArray[np.uint8], record: ImageRecord) -> None:
        """Write the pixels if they are not there, and then what is known of them."""
        known = self.read()
        joined = known.joined(record) if known else record
        if not self._holds_pixels():
            write_image(self.pixels, image)
        if joined != known:
            self.write_record(joined)

    def write_record(self, record: ImageRecord) -> None:
        """Write what is known of the pixels in place of what was."""
        write_json(self.record, record.to_json())

    def holds(self, record: ImageRecord) -> bool:
        """Say whether `write` would change nothing."""
        known = self.read()
        return (
            known is not None and known.joined(record) == known and self._holds_pixels()
        )

    def _holds_pixels(self) -> bool:
        try:
            self.read_pixels()
        except ProjectError:
            return False
        return True

    def _damaged(self) -> ProjectError:
        return ProjectError(
            f"The project's image {self.pixels} is damaged or another one; add the"
            " original once more."
        )


def image_id(image: NDArray[np.uint8]) -> str:
    """Return the id of an RGB image, (H, W, 3) uint8: it follows from the pixels."""
    return sha256_array(image)[:_ID_DIGITS]
