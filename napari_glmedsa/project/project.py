"""Images, accepted masks and splits: what the plugin learns from."""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.errors import ProjectError
from napari_glmedsa.project.annotations import (
    check_label_map,
    decode_label_map,
)
from napari_glmedsa.project.contents import ProjectContents
from napari_glmedsa.project.folder import ProjectFolder
from napari_glmedsa.project.history import RunHistory, refuse_to_move, settle
from napari_glmedsa.project.photographs import ImageRecord
from napari_glmedsa.project.problems import (
    find_leaks,
    find_problems,
    find_straddling,
)
from napari_glmedsa.project.splits import (
    FRACTIONS,
    Deal,
    Fractions,
    Split,
    split_groups,
)
from napari_glmedsa.project.work import WorkInProgress
from napari_glmedsa.provenance import Provenance


class AnnotationProject(WorkInProgress):
    """A folder that holds everything the plugin learns from.

    Answers always come from the folder as it is now, so several programs may have
    one project open. Files are written whole, and under a lock. Reading works in a
    folder that may not be written to.

    Parameters
    ----------
    root : Path
        The project's folder; use `create` or `open`, which check it.
    name : str
        What the user calls it.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        super().__init__(ProjectFolder(root))
        self._contents = ProjectContents(self._folder, name)
        self._history = RunHistory(self._folder.runs)

    @classmethod
    def create(cls, root: Path, *, name: str = "") -> Self:
        """Make a project in a new or empty folder; it is named like the folder.

        Raises
        ------
        ProjectError
            If something else is in the folder.
        OutputError
            If the folder cannot be written to.
        """
        ProjectFolder(root.expanduser().absolute()).create(name)
        return cls.open(root)

    @classmethod
    def open(cls, root: Path) -> Self:
        """Open a project's folder.

        Raises
        ------
        ProjectError
            If the folder is missing, damaged or something else.
        ProjectVersionError
            If a newer version of this program made it.
        """
        root = root.expanduser().absolute()
        return cls(root, ProjectFolder(root).read_name())

    @property
    def runs_folder(self) -> Path:
        """Where the training runs are kept."""
        return self._folder.runs

    def add_image(
        self,
        image: NDArray[np.uint8],
        *,
        source: str,
        group: str | None = None,
        split: Split | None = None,
    ) -> str:
        """Copy an image into the project, unless it is there; return its id.

        Parameters
        ----------
        image : ndarray of uint8, shape (H, W, 3)
            RGB.
        source : str
            Its file; only the name is kept, without the folders.
        group : str, optional
            Images of one group (a lesion, a patient) stay in one split.
        split : {"train", "val", "test"}, optional
            Puts the image into this split, unless a run has used it in another.

        Raises
        ------
        ImageFormatError
            If the array is not such an image.
        ProjectError
            If the image is there with another group or split, or if a run has used it,
            or what belongs with it, in another split.
        OutputError
            If the folder cannot be written to.
        """
        record = ImageRecord.of(image, source=source, group=group, split=split)
        if split is not None:
            dealt, uses = self._folder.read_deal().splits, self._history.uses()
            if dealt or uses:
                refuse_to_move(record, dealt, uses, records=self._contents.records())
        files = self._folder.photograph(record.id)
        if not files.holds(record):
            with self._folder.writing():
                files.write(image, record)
        return record.id

    def images(self) -> list[ImageRecord]:
        """Return what is known about every image, ids in ascending order."""
        return self._contents.records()

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """Return an image, (H, W, 3) uint8.

        Raises
        ------
        ProjectError
            If it is missing, damaged, or not the one that was added.
        """
        return self._folder.photograph(image_id).read_pixels()

    def save_annotation(
        self, image_id: str, label_map: NDArray[Any], objects: Sequence[Provenance]
    ) -> None:
        """Keep an accepted mask in place of the image's former one, whole or not.

        Parameters
        ----------
        image_id : str
            As `add_image` returned it.
        label_map : ndarray of bool or integers, shape (H, W)
            0 is skin, 1 to 65535 are objects; True is object 1.
        objects : sequence of Provenance
            `objects[i]` describes label `i + 1`.

        Raises
        ------
        ProjectError
            If the image is unknown, or the mask is empty, of another size, or has
            labels that `objects` does not describe.
        OutputError
            If the folder cannot be written to; the former mask stays.
        """
        record = self._contents.record(image_id)
        if record is None:
            raise ProjectError(
                f"The project {self.name} has no image {image_id}; add the image first."
            )
        checked = check_label_map(label_map, record.size, n_objects=len(objects))
        with self._folder.writing():
            self._folder.annotation(image_id).write(checked, objects)

    def withdraw_annotation(self, image_id: str) -> None:
        """Take back an image's accepted mask; raises OutputError if it cannot."""
        with self._folder.writing():
            self._folder.annotation(image_id).remove()

    def changing(self) -> AbstractContextManager[None]:
        """Let no other program write between what is read and written meanwhile."""
        return self._folder.writing()

    def label_map(self, image_id: str) -> NDArray[np.uint16]:
        """Return an image's accepted mask, (H, W): 0 is skin, 1, 2, ... are objects.

        Raises
        ------
        ProjectError
            If the image has none.
        """
        found = self._folder.annotation(image_id).read()
        if found is None:
            raise self._contents.has_no_mask(image_id)
        return decode_label_map(found[1])

    def mask(self, image_id: str, label: int | None = None) -> NDArray[np.bool_]:
        """Return where one object, or any, is: (H, W); raises as `label_map`."""
        label_map = self.label_map(image_id)
        if label is None:
            return np.asarray(label_map > 0)
        if label not in self.labels(image_id):
            raise ProjectError(f"The mask of image {image_id} has no object {label}.")
        return np.asarray(label_map == label)

    def labels(self, image_id: str) -> tuple[int, ...]:
        """Return the labels in an image's mask, ascending; raises as `label_map`."""
        return self._contents.require_annotation(image_id).labels

    def objects(self, image_id: str) -> tuple[Provenance, ...]:
        """Return what `save_annotation` was told; raises as `label_map`."""
        return self._contents.require_annotation(image_id).objects

    def annotated(self, split: Split | None = None) -> list[str]:
        """Return the ids of the images with a mask (of one split), ascending."""
        if split is not None:
            return [image for image, own in self.splits().items() if own == split]
        return [record.id for record in self._contents.annotated_records()]

    def is_annotated(self, image_id: str) -> bool:
        """Say whether an image is there and has a mask."""
        return bool(
            self._contents.record(image_id) and self._contents.annotation(image_id)
        )

    def splits(self) -> dict[str, Split]:
        """Return the split of every annotated image, ids in ascending order.

        What `assign_splits` has written stays, and what a run has learnt from trains.
        For images that came later this tells what it would write now, with the
        fractions and the seed it had.
        """
        return self._deal_out(self._folder.read_deal())

    def assign_splits(
        self, fractions: Fractions = FRACTIONS, *, seed: int = 0
    ) -> dict[str, Split]:
        """Give every annotated image its split for good, before it is learnt from.

        Images that have one keep it; groups and near-duplicates stay together, and
        the split given to `add_image` wins. See `split_groups` for the rest.

        Raises
        ------
        ProjectError
            If the fractions make no sense.
        OutputError
            If there is something new to write and the folder cannot be written to.
        """
        written = self._folder.read_deal()
        dealt = self._deal_out(replace(written, fractions=fractions, seed=seed))
        if dealt.items() <= written.splits.items():
            return dealt
        with self._folder.writing():
            deal = replace(self._folder.read_deal(), fractions=fractions, seed=seed)
            dealt = self._deal_out(deal)
            self._folder.write_deal(replace(deal, splits={**deal.splits, **dealt}))
        return dealt

    def check(self) -> list[str]:
        """Return one sentence per problem in the folder; none means all is well.

        Every image and mask is read, which takes seconds to minutes.
        """
        problems = list(find_problems(self._folder))
        try:
            splits = self.splits()
        except ProjectError as error:
            return [*problems, str(error)]
        records = self._contents.annotated_records()
        return [
            *problems,
            *find_straddling(records, self._contents.groups(records), splits),
            *find_leaks(self._contents.records(), self._folder, self._history),
        ]

    def data_sha256(self, image_ids: Iterable[str]) -> str:
        """Return a hash of which images these are and which masks they have now."""
        digest = hashlib.sha256()
        for image_id in sorted(set(image_ids)):
            annotation = self._contents.require_annotation(image_id)
            digest.update(f"{image_id} {annotation.mask_sha256}\n".encode())
        return digest.hexdigest()

    def _deal_out(self, deal: Deal) -> dict[str, Split]:
        records = self._contents.annotated_records()
        pinned = {record.id: record.split for record in records if record.split}
        return split_groups(
            self._contents.groups(records),
            settle(deal.splits, self._history.uses(), pinned=pinned),
            fractions=deal.fractions,
            seed=deal.seed,
        )
