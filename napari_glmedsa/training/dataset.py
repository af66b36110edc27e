"""Images and their objects at the model's size, one object of each per epoch."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

from napari_glmedsa.errors import TrainingError
from napari_glmedsa.evaluation import Case
from napari_glmedsa.inference.preprocess import Resize, resize_to_input
from napari_glmedsa.project import AnnotationProject, Split
from napari_glmedsa.training.augmentation import augment
from napari_glmedsa.training.config import AugmentationName
from napari_glmedsa.training.draws import generator

Picture = tuple[NDArray[np.uint8], NDArray[Any]]
_CACHE_BYTES = 2 * 1024**3
_BYTES_PER_PIXEL = 5  # three colours and a label of 16 bits
_VALIDATION = 0  # the epoch whose draws choose what is validated on


@dataclass(frozen=True, eq=False)
class Sample:
    """One object of one image in the model's input frame, before padding.

    Parameters
    ----------
    id
        The image's.
    image
        (h, w, 3) uint8, the longest side as the model wants it.
    mask
        (h, w) bool, never empty.
    """

    id: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]


class SegmentationDataset:
    """Annotated images, read and shrunk once.

    Parameters
    ----------
    ids
        Images with at least one object each.
    read
        Gives an image (H, W, 3) uint8 and its label map (H, W), 0 = no object.
    cache_bytes
        Shrunk images are kept up to this size; the rest is read every time.
    """

    def __init__(
        self,
        ids: Sequence[str],
        read: Callable[[str], Picture],
        *,
        cache_bytes: int = _CACHE_BYTES,
    ) -> None:
        self.ids = list(ids)
        self.read = read
        self.cache_bytes = cache_bytes
        self._cache: dict[tuple[str, int, Resize], Picture] = {}
        self._cached_bytes = 0
        if len(set(self.ids)) != len(self.ids):
            raise ValueError("Two images of a training set have the same id.")

    @classmethod
    def from_cases(cls, cases: Iterable[Case]) -> Self:
        """Serve images from memory; those with an empty mask are left out."""
        known = {case.id: case for case in cases if case.mask.any()}
        return cls(list(known), lambda name: (known[name].image, known[name].mask))

    @classmethod
    def from_project(cls, project: AnnotationProject, split: Split) -> Self:
        """Serve a split of a project; images without an object are left out."""
        ids = [name for name in project.annotated(split) if project.labels(name)]
        return cls(ids, lambda name: (project.image(name), project.label_map(name)))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def digest(self) -> str:
        """A hash of the ids, whatever their order."""
        return hashlib.sha256("\n".join(sorted(self.ids)).encode()).hexdigest()

    def sample(
        self,
        name: str,
        *,
        size: int,
        seed: int,
        epoch: int,
        augmentation: AugmentationName = "none",
        how: Resize = "longest_side",
    ) -> Sample:
        """Return an object of an image, the same for the same arguments, always.

        Parameters
        ----------
        name
            One of `ids`.
        size
            Longest side in pixels.
        seed, epoch
            Decide, with `name`, which object it is and how it is augmented.
        augmentation
            ``"none"`` gives what the model sees when a user clicks.
        how
            As the model wants its images resized.

        Raises
        ------
        TrainingError
            If the image can no longer be read, or has no object any more.
        """
        image, labels = self._picture(name, size, how)
        rng = generator(seed, epoch, name, "object")
        mask = labels == rng.choice(np.unique(labels[labels > 0]))
        if augmentation == "standard":
            rng = generator(seed, epoch, name, "augmentation")
            image, mask = augment(image, mask, rng, size=size)
            image, shape = resize_to_input(image, size, how)
            mask = _shrink_labels(mask, shape) > 0
        return Sample(name, image, mask)

    def case(
        self, name: str, *, size: int, seed: int, how: Resize = "longest_side"
    ) -> Case:
        """Return what validation looks at: every time the same object, shrunk."""
        found = self.sample(name, size=size, seed=seed, epoch=_VALIDATION, how=how)
        return Case(name, found.image, found.mask)

    def _picture(self, name: str, size: int, how: Resize) -> Picture:
        key = (name, size, how)
        if key in self._cache:
            return self._cache[key]
        try:
            image, labels = self.read(name)
        except OSError as error:
            raise TrainingError(
                f"Image {name} cannot be read any more ({error}); put it back, or "
                "remove it from the project, and resume."
            ) from error
        if labels.shape != image.shape[:2]:
            raise TrainingError(
                f"Image {name} is {image.shape[1]} x {image.shape[0]} pixels and its "
                f"mask {labels.shape[1]} x {labels.shape[0]}; annotate it again."
            )
        if not labels.any():
            raise TrainingError(
                f"Image {name} has no object in its mask; annotate it again."
            )
        resized, shape = resize_to_input(image, size, how)
        picture = resized, _shrink_labels(labels, shape)
        cost = sum(array.nbytes for array in picture)
        if self._cached_bytes + cost <= self.cache_bytes:
            self._cache[key] = picture
            self._cached_bytes += cost
        return picture


def cached_bytes(n_images: int, size: int) -> int:
    """Return what a data set of photographs keeps at most, shrunk to `size`."""
    return min(_CACHE_BYTES, n_images * size * size * _BYTES_PER_PIXEL)


def check_parts(train: SegmentationDataset, val: SegmentationDataset) -> None:
    """Raise TrainingError if there is nothing to learn from or to judge by."""
    if not len(train):
        raise TrainingError(
            "There is no annotated image to learn from; accept some masks first."
        )
    if not len(val):
        raise TrainingError(
            "There is no image to validate on; annotate at least one more lesion."
        )


def _shrink_labels(labels: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Resize every object by area, at least half a pixel; none is ever lost."""
    if labels.shape == shape:
        return labels.astype(np.uint16)
    shrunk = np.zeros(shape, np.uint16)
    scale = np.array(shape) / labels.shape
    for number, label in enumerate(np.unique(labels[labels > 0]), start=1):
        mask = labels == label
        share = resize(mask.astype(np.float32), shape, order=1, anti_aliasing=True)
        inside = share >= 0.5
        if not inside.any():  # thinner than a pixel
            rows, columns = (np.argwhere(mask) * scale).astype(int).T
            inside[rows, columns] = True
        shrunk[inside] = number
    return shrunk
