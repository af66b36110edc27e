"""One accepted annotation: its label map and where every object in it came from."""

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_glmedsa.errors import ProjectError
from napari_glmedsa.files import NONSENSE, atomic_write, read_json, write_json
from napari_glmedsa.provenance import Provenance

MAX_LABEL = 65535
DECODE_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error),
    *(Image.DecompressionBombError, MemoryError),
)
"""What Pillow raises for a damaged PNG."""

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Annotation:
    """What a prompts file says: which mask it belongs to and what is in it."""

    mask_sha256: str
    size: tuple[int, int]
    labels: tuple[int, ...]
    objects: tuple[Provenance, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the annotation as plain JSON types."""
        return {
            "mask_sha256": self.mask_sha256,
            "size": list(self.size),
            "labels": list(self.labels),
            "objects": [item.to_json() for item in self.objects],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        height, width = document["size"]
        return cls(
            mask_sha256=str(document["mask_sha256"]),
            size=(int(height), int(width)),
            labels=tuple(map(int, document["labels"])),
            objects=tuple(map(Provenance.from_json, document["objects"])),
        )


@dataclass(frozen=True, slots=True)
class AnnotationFiles:
    """The two files of one annotation, changed as one.

    The annotation exists if and only if its prompts file names the SHA-256 of its
    mask file. The new prompts file waits beside the old one until the mask is in its
    place, and counts as soon as it is: whenever the writer is killed, either the old
    or the new annotation is there, whole.
    """

    mask: Path
    prompts: Path

    @property
    def all(self) -> tuple[Path, ...]:
        """All files that `read` looks into."""
        return self.mask, self.prompts, self._waiting

    def read_annotation(self) -> Annotation | None:
        """Return the annotation, or None if there is none."""
        found = self.read()
        return found[0] if found else None

    def read(self) -> tuple[Annotation, bytes] | None:
        """Return the annotation and its encoded mask, or None if there is none."""
        for _ in range(_ATTEMPTS):  # a writer may be between its two files
            try:
                png = self.mask.read_bytes()
            except OSError:
                return None
            for path in (self.prompts, self._waiting):
                if annotation := _read_prompts(path, of=png):
                    return annotation, png
        return None

    def write(
        self, label_map: NDArray[np.uint16], objects: Sequence[Provenance]
    ) -> None:
        """Replace the annotation; only one process may do so at a time."""
        png = encode_label_map(label_map)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        annotation = Annotation(
            hashlib.sha256(png).hexdigest(),
            (label_map.shape[0], label_map.shape[1]),
            present_labels(label_map),
            tuple(replace(item, created=item.created or now) for item in objects),
        )
        self._finish()
        write_json(self._waiting, annotation.to_json())
        with atomic_write(self.mask) as partial:
            partial.write_bytes(png)
        self._waiting.replace(self.prompts)

    def remove(self) -> None:
        """Make it that there is no annotation; only one process may do so at a time."""
        self._finish()
        self._waiting.unlink(missing_ok=True)  # it might name the mask, too
        self.prompts.unlink(missing_ok=True)
        self.mask.unlink(missing_ok=True)

    def _finish(self) -> None:
        """Take the last step of a writer that was killed just before it."""
        try:
            if _read_prompts(self._waiting, of=self.mask.read_bytes()):
                self._waiting.replace(self.prompts)
        except FileNotFoundError:
            pass

    @property
    def _waiting(self) -> Path:
        return self.prompts.with_suffix(".next")


def check_label_map(
    label_map: NDArray[Any], size: tuple[int, int], *, n_objects: int
) -> NDArray[np.uint16]:
    """Return a label map as uint16, or say why it is none.

    Parameters
    ----------
    label_map : ndarray of bool or integers, shape (H, W)
        0 is skin, 1 to 65535 are objects; True is object 1.
    size : (H, W)
        Size of the image it belongs to.
    n_objects : int
        How many objects are described.

    Raises
    ------
    ProjectError
        If it has another size, is empty, holds other numbers, or has a label that
        is not described.
    """
    if label_map.shape != size:
        found = " x ".join(map(str, label_map.shape[::-1])) or "a single number of"
        raise ProjectError(
            f"The mask is {found} pixels but its image is {size[1]} x {size[0]}; use"
            " the mask that was made for this image."
        )
    if label_map.dtype != np.bool_ and not np.issubdtype(label_map.dtype, np.integer):
        raise ProjectError(
            f"The mask holds numbers of type {label_map.dtype}; give whole numbers, 0"
            " for skin and 1, 2, ... for the lesions."
        )
    low, high = int(label_map.min(initial=0)), int(label_map.max(initial=0))
    if low < 0 or high > MAX_LABEL:
        raise ProjectError(
            f"The mask holds the label {low if low < 0 else high}; labels go from 1 to"
            f" {MAX_LABEL}."
        )
    if high == 0:
        raise ProjectError(
            "The mask is empty, so there is nothing to learn from it; outline the"
            " lesion first."
        )
    if high > n_objects:
        raise ProjectError(
            f"The mask has the label {high}, but only {n_objects} objects are"
            " described; describe each label."
        )
    return label_map.astype(np.uint16)


def present_labels(label_map: NDArray[np.uint16]) -> tuple[int, ...]:
    """Return the labels in a map, ascending, without 0."""
    return tuple((np.flatnonzero(np.bincount(label_map.ravel())[1:]) + 1).tolist())


def encode_label_map(label_map: NDArray[np.uint16]) -> bytes:
    """Return a label map as PNG, 8-bit if its labels allow it, else 16-bit."""
    small = int(label_map.max()) < 256
    stream = io.BytesIO()
    pixels = label_map.astype(np.uint8) if small else label_map
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=3)
    return stream.getvalue()


def decode_label_map(png: bytes) -> NDArray[np.uint16]:
    """Return the label map in a PNG, shape (H, W)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes that are fine here
            with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
                return np.asarray(image).astype(np.uint16)
    except DECODE_ERRORS as error:
        raise ProjectError(
            "A mask of the project is damaged; annotate its image once more."
        ) from error


def _read_prompts(path: Path, *, of: bytes) -> Annotation | None:
    try:
        annotation = Annotation.from_json(read_json(path))
    except (OSError, *NONSENSE):
        return None
    belongs = annotation.mask_sha256 == hashlib.sha256(of).hexdigest()
    return annotation if belongs else None
