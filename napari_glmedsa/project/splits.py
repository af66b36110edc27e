"""Which images train, which choose the best epoch, and which judge the result."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

from napari_glmedsa.errors import ProjectError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
FRACTIONS = (0.7, 0.15, 0.15)
"""Shares of train, val and test that a new project aims at."""

Fractions = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Deal:
    """Which image was dealt to which split, and by which rule the next ones are."""

    splits: Mapping[str, Split] = field(default_factory=dict)
    fractions: Fractions = FRACTIONS
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the deal as plain JSON types."""
        return {
            "fractions": list(self.fractions),
            "seed": self.seed,
            "splits": dict(sorted(self.splits.items())),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; ValueError, TypeError or KeyError if it is not."""
        splits = dict(document["splits"])
        if not set(splits.values()) <= set(SPLITS):
            raise ValueError("unknown split")
        train, val, test = map(float, document["fractions"])
        return cls(splits, (train, val, test), int(document["seed"]))


def split_groups(
    groups: Sequence[Collection[str]],
    fixed: Mapping[str, Split],
    *,
    fractions: Fractions = FRACTIONS,
    seed: int = 0,
) -> dict[str, Split]:
    """Give every image a split, whole groups at a time, and move none that has one.

    A group that has a split already keeps it; if its images have several, what is
    new in it goes to the one furthest from training. The other groups go one by one,
    in an order that follows from the seed and their first id, to the split that is
    most below its fraction. Two groups make a training and a validation part, three
    or more also a test part.

    Parameters
    ----------
    groups : sequence of collections of str
        Disjoint sets of image ids that must stay together.
    fixed : mapping of str to Split
        Images whose split is known; ids that are in no group are ignored.
    fractions : (train, val, test)
        Aimed shares of the images; they need not add up to 1.
    seed : int
        Another seed deals the groups otherwise.

    Returns
    -------
    dict of str to Split
        The split of every image of `groups`, ids in ascending order.

    Raises
    ------
    ProjectError
        If the fractions are negative, not finite or all zero.
    """
    aims = _aims(fractions)
    dealt: dict[str, Split] = {}
    new: list[list[str]] = []
    for group in groups:
        known = {image: fixed[image] for image in group if image in fixed}
        if known:
            furthest = max(known.values(), key=SPLITS.index)
            dealt |= {image: known.get(image, furthest) for image in group}
        else:
            new.append(sorted(group))
    counts = {split: list(dealt.values()).count(split) for split in SPLITS}
    total = sum(map(len, groups))
    needed = [split for split in SPLITS[: len(groups)] if aims[split] > 0]
    new.sort(key=lambda group: _draw(seed, group[0]))
    for position, group in enumerate(new):
        empty = [split for split in needed if counts[split] == 0]
        scarce = len(new) - position <= len(empty)
        split = max(
            empty if scarce else SPLITS,
            key=lambda split: aims[split] * total - counts[split],
        )
        dealt |= dict.fromkeys(group, split)
        counts[split] += len(group)
    return dict(sorted(dealt.items()))


def _aims(fractions: Fractions) -> dict[Split, float]:
    total = sum(fractions)
    if (
        len(fractions) != len(SPLITS)
        or not 0 < total < float("inf")
        or min(fractions) < 0
    ):
        raise ProjectError(
            f"The fractions {fractions} do not say how to share images between train,"
            " val and test; give three numbers such as 0.7, 0.15, 0.15."
        )
    return {split: part / total for split, part in zip(SPLITS, fractions, strict=True)}


def _draw(seed: int, image: str) -> bytes:
    return hashlib.sha256(f"{seed}:{image}".encode()).digest()
