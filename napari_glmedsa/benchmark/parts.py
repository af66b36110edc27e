"""The images of a table: learnt from, judging epochs, and measured on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_glmedsa.benchmark.index import DataIndex, IndexRow
from napari_glmedsa.benchmark.made import OnProgress
from napari_glmedsa.errors import GLMedSAError, ProjectError


@dataclass(frozen=True, slots=True)
class Parts:
    """The images of a table.

    Parameters
    ----------
    train, val
        Learnt from, and judging epochs.
    tests
        Protocol to its images; nothing is learnt or chosen from them.
    """

    train: tuple[IndexRow, ...]
    val: tuple[IndexRow, ...]
    tests: Mapping[str, tuple[IndexRow, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return which images these are, as plain JSON types."""
        tests = {name: [row.id for row in rows] for name, rows in self.tests.items()}
        return {
            "train": [row.id for row in self.train],
            "val": [row.id for row in self.val],
            "tests": tests,
        }


def choose_parts(
    index: DataIndex,
    *,
    train: Sequence[str],
    tests: Sequence[str],
    fold: str = "0",
    images: int | None = None,
) -> Parts:
    """Return the images of a table.

    What shows a lesion that is measured on is not learnt from, nor what shows one
    that judges epochs; that is what the index says by its groups and files.

    Parameters
    ----------
    index
        All there are.
    train, tests
        Protocols to learn from, and to measure on.
    fold
        Of the training protocols; it judges epochs and is not learnt from.
    images
        Learn from so many at most, in the order of their ids.

    Raises
    ------
    ProjectError
        If a protocol is learnt from and measured on, or has no image.
    """
    both = sorted(set(train) & set(tests))
    if both:
        raise ProjectError(
            f"The protocol {both[0]} cannot be learnt from and measured on; choose one."
        )
    tested = index.of(tests)
    known = _without(index.of(train), tested)
    val = tuple(row for row in known if row.fold == fold)
    others = [row for row in known if row.fold != fold]
    learnt = tuple(_without(others, val))[:images]
    if not val or not learnt:
        raise ProjectError(
            f"The training images have no fold {fold!r} beside others to judge epochs "
            "by; give another --fold."
        )
    if images is not None:
        val = val[: max(1, images // 9)]
    measured = {
        name: tuple(row for row in tested if row.protocol == name) for name in tests
    }
    return Parts(learnt, val, measured)


def require_usable(parts: Parts, say: OnProgress) -> None:
    """Look at every photograph once, so that none stops a training of hours.

    Parameters
    ----------
    parts
        What is to be learnt from and measured on.
    say
        Told how many were looked at.

    Raises
    ------
    ProjectError
        If photographs or masks cannot be read, a mask is of another size than its
        photograph, or one to learn from is empty.
    """
    learnt = {*parts.train, *parts.val}
    tested = [row for rows in parts.tests.values() for row in rows]
    rows = [*parts.train, *parts.val, *tested]
    wrong = []
    for number, row in enumerate(rows, start=1):
        try:
            empty = not row.case().mask.any()
        except GLMedSAError as error:
            wrong.append(str(error))
        else:
            if empty and row in learnt:
                wrong.append(
                    f"{row.mask} marks no lesion to learn from; mark it, or leave out "
                    "its line of the index."
                )
        say("looking at photographs", number, len(rows))
    if wrong:
        others = f" {len(wrong) - 1} more of the {len(rows)} cannot be used either."
        raise ProjectError(wrong[0] + others * (len(wrong) > 1))


def _without(rows: Sequence[IndexRow], others: Iterable[IndexRow]) -> list[IndexRow]:
    """Return the rows that show none of the lesions of others."""
    taken = {shown for row in others for shown in _shows(row)}
    return [row for row in rows if not taken & _shows(row)]


def _shows(row: IndexRow) -> set[str | Path]:
    return {row.image.resolve(), *({row.group} if row.group else ())}
