"""A CSV table that says which images show one lesion or patient."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from napari_glmedsa.errors import ProjectError


@dataclass(frozen=True, slots=True)
class GroupTable:
    """Which image belongs to which group.

    Parameters
    ----------
    groups
        Stem of an image's file to its group.
    remark
        A sentence about the images without one; empty if there is none.
    """

    groups: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""

    @classmethod
    def read(cls, path: Path, names: Sequence[str]) -> Self:
        """Read the columns image and group of a CSV file.

        Parameters
        ----------
        path
            UTF-8; what is in its other columns and lines does not matter.
        names
            File names of the images; the table has them with or without endings.

        Raises
        ------
        ProjectError
            If the file cannot be read, has no such columns, names none of the images,
            or gives one of them two groups.
        """
        stems = {name: Path(name).stem for name in names}
        known = {**stems, **{stem: stem for stem in stems.values()}}
        groups: dict[str, str] = {}
        for name, group in _rows(path):
            stem = known.get(name)
            if stem is None or not group:
                continue
            if groups.setdefault(stem, group) != group:
                raise ProjectError(
                    f"{path} gives the image {name} two groups, {groups[stem]} and"
                    f" {group}; keep one of them."
                )
        if not groups:
            raise ProjectError(
                f"{path} names none of the images; its column image must hold their"
                " file names."
            )
        without, remark = len(names) - len(groups), ""
        if without:
            remark = f"{path} gives no group to {without} of {len(names)} images."
        return cls(groups, remark)

    def group_of(self, image: Path) -> str | None:
        """Return the group of an image's file, if it has one."""
        return self.groups.get(image.stem)


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if not {"image", "group"} <= set(reader.fieldnames or ()):
                raise ProjectError(
                    f"{path} has no columns image and group; its first line must be"
                    " image,group."
                )
            for row in reader:
                yield (row["image"] or "").strip(), (row["group"] or "").strip()
    except OSError as error:
        raise ProjectError(
            f"{path} cannot be read ({error.strerror}); check its name."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProjectError(
            f"{path} is not a CSV file in UTF-8; save it as one."
        ) from error
