"""A data set as one CSV file: which photograph has which mask, and what it is for."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from napari_glmedsa.errors import ProjectError
from napari_glmedsa.evaluation import Case
from napari_glmedsa.images import read_image, read_mask
from napari_glmedsa.training.dataset import Picture, SegmentationDataset

_NEEDED = ("id", "image", "mask", "protocol")


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One photograph.

    Parameters
    ----------
    id
        Of the image, unlike every other's.
    image, mask
        Where the files are.
    protocol
        The part of the data set, such as ``isic2016_train``.
    fold
        Of a training protocol; one fold judges epochs.
    group
        Photographs of one lesion have the same; empty if that is not known.
    """

    id: str
    image: Path
    mask: Path
    protocol: str
    fold: str = ""
    group: str = ""

    def case(self) -> Case:
        """Read photograph and mask.

        Raises
        ------
        ImageFormatError
            If a file cannot be read.
        ProjectError
            If the mask is of another size than the photograph.
        """
        case = Case(self.id, read_image(self.image), read_mask(self.mask))
        if case.mask.shape != case.image.shape[:2]:
            sizes = [" x ".join(map(str, a.shape[:2])) for a in (case.image, case.mask)]
            raise ProjectError(
                f"{self.image} has {sizes[0]} pixels and its mask {self.mask} "
                f"{sizes[1]}; give the mask of that very image."
            )
        return case


@dataclass(frozen=True, slots=True)
class DataIndex:
    """All rows of an index file."""

    rows: tuple[IndexRow, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an index file, or ``index.csv`` in a folder.

        Parameters
        ----------
        path
            CSV with the columns id, image, mask and protocol, fold if there are folds,
            and group if several photographs show one lesion; files are named from the
            index file's folder.

        Raises
        ------
        ProjectError
            If it cannot be read, lacks a column or a value, or names an image twice.
        """
        file = path / "index.csv" if path.is_dir() else path
        try:
            # Excel puts a byte order mark before the first column's name.
            with file.open(newline="", encoding="utf-8-sig") as stream:
                reader = csv.DictReader(stream)
                missing = [c for c in _NEEDED if c not in (reader.fieldnames or ())]
                if missing:
                    raise ProjectError(
                        f"The index {file} has no column {', '.join(missing)}; it "
                        f"needs {', '.join(_NEEDED)}."
                    )
                found = tuple(_row(file, reader.line_num, line) for line in reader)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ProjectError(
                f"The index {file} cannot be read ({error}); give a CSV file with the "
                f"columns {', '.join(_NEEDED)}."
            ) from error
        if len({row.id for row in found}) != len(found):
            raise ProjectError(f"Two images in {file} have the same id; rename one.")
        return cls(found)

    def of(self, protocols: Iterable[str]) -> list[IndexRow]:
        """Return the rows of some protocols, ids in ascending order.

        Raises
        ------
        ProjectError
            If none is named, one has no image, or a file of theirs is missing.
        """
        wanted = tuple(protocols)
        known = {row.protocol for row in self.rows}
        if not wanted:
            raise ProjectError(
                f"No protocol is named; the index has {', '.join(sorted(known))}."
            )
        for name in wanted:
            if name not in known:
                raise ProjectError(
                    f"The index has no image of protocol {name!r}; it has "
                    f"{', '.join(sorted(known)) or 'none'}."
                )
        found = [row for row in self.rows if row.protocol in wanted]
        files = [path for row in found for path in (row.image, row.mask)]
        missing = [path for path in files if not path.is_file()]
        if missing:  # before hours of training, not after them
            raise ProjectError(
                f"{len(missing)} of the {len(files)} files that the index names are "
                f"not there, such as {missing[0]}; get them, or leave out their lines."
            )
        return sorted(found, key=lambda row: row.id)


def dataset(rows: Sequence[IndexRow]) -> SegmentationDataset:
    """Return what the trainer learns from; files are read when they are needed."""
    known = {row.id: row for row in rows}

    def read(name: str) -> Picture:
        case = known[name].case()
        return case.image, case.mask

    return SegmentationDataset(list(known), read)


def _row(file: Path, number: int, line: dict[str, str]) -> IndexRow:
    empty = [column for column in _NEEDED if not line[column]]
    if empty:
        raise ProjectError(
            f"Line {number} of the index {file} has no {', '.join(empty)}; complete it "
            "or leave it out."
        )
    return IndexRow(
        line["id"],
        file.parent / line["image"],
        file.parent / line["mask"],
        line["protocol"],
        line.get("fold") or "",
        line.get("group") or "",
    )
