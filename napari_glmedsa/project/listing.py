"""A project's images as a table: mask, split, group, objects, annotators."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from napari_glmedsa.project.project import AnnotationProject
from napari_glmedsa.project.splits import SPLITS, Split


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image of a project.

    Parameters
    ----------
    id, source, group
        As in `ImageRecord`.
    width, height
        In pixels.
    status
        Whether it has an accepted mask.
    split
        Where it is or, without a mask, where the user wants it.
    objects
        How many there are in its mask.
    annotators
        Who accepted them, in the order of their names.
    """

    id: str
    source: str
    group: str | None
    width: int
    height: int
    status: Literal["annotated", "no mask"]
    split: Split | None
    objects: int
    annotators: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain JSON types."""
        return {**asdict(self), "annotators": list(self.annotators)}


def list_images(project: AnnotationProject) -> list[ImageRow]:
    """Return a row for every image, in the order of their names."""
    splits, rows = project.splits(), []
    for record in project.images():
        annotated = record.id in splits
        objects = project.objects(record.id) if annotated else ()
        row = ImageRow(
            id=record.id,
            source=record.source,
            group=record.group,
            width=record.size[1],
            height=record.size[0],
            status="annotated" if annotated else "no mask",
            split=splits.get(record.id) or record.split,
            objects=len(project.labels(record.id)) if annotated else 0,
            annotators=tuple(sorted({item.annotator for item in objects} - {""})),
        )
        rows.append(row)
    return sorted(rows, key=lambda row: (row.source, row.id))


def list_sentence(project: AnnotationProject, rows: Sequence[ImageRow]) -> str:
    """Return how many images there are, and how many of them in which split."""
    splits = Counter(row.split for row in rows if row.status == "annotated")
    parts = ", ".join(f"{splits[name]} {name}" for name in SPLITS)
    return (
        f"{project.name}: {len(rows)} images, {splits.total()} with a mask ({parts})."
    )
