"""What the training runs of a project have done with its images."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from napari_glmedsa.errors import ProjectError
from napari_glmedsa.files import NONSENSE, read_json
from napari_glmedsa.project.lookalikes import find_lookalikes
from napari_glmedsa.project.photographs import ImageRecord
from napari_glmedsa.project.remembered import Remembered
from napari_glmedsa.project.splits import SPLITS, Split

_PLAN = "config.json"


@dataclass(frozen=True, slots=True)
class RunUse:
    """What one run learns from and is judged on.

    Parameters
    ----------
    run
        Name of its folder, which begins with the time of its making.
    images
        Split to ids of images.
    """

    run: str
    images: Mapping[Split, tuple[str, ...]]

    @property
    def held_out(self) -> set[str]:
        """Ids of the images that it does not learn from but is judged on."""
        return {*self.images.get("val", ()), *self.images.get("test", ())}


class RunHistory:
    """Reads the plans of the runs below a folder, each one once.

    Parameters
    ----------
    runs : Path
        The project's folder of runs.
    """

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._uses = Remembered[RunUse | None]()

    def uses(self) -> list[RunUse]:
        """Return what every readable run does, the oldest first."""
        found = (self._uses_of(folder) for folder in self._folders())
        return [use for use in found if use]

    def unreadable(self) -> list[Path]:
        """Return the plans that do not say it."""
        return [
            folder / _PLAN for folder in self._folders() if not self._uses_of(folder)
        ]

    def _folders(self) -> list[Path]:
        return sorted(plan.parent for plan in self._runs.glob(f"*/{_PLAN}"))

    def _uses_of(self, folder: Path) -> RunUse | None:
        plan = folder / _PLAN
        return self._uses.get(folder.name, [plan], lambda: _read_use(plan))


def first_trainings(uses: Iterable[RunUse]) -> dict[str, str]:
    """Return the first run that learns from an image, for every image of any."""
    first: dict[str, str] = {}
    for use in uses:
        for image in use.images.get("train", ()):
            first.setdefault(image, use.run)
    return first


def settle(
    dealt: Mapping[str, Split], uses: Iterable[RunUse], *, pinned: Mapping[str, Split]
) -> dict[str, Split]:
    """Return the split of every image that has one for good, or is pinned to one.

    An image that a run has learnt from is never held out again, whatever else says so.
    What was dealt stays even if the user pins the image elsewhere afterwards, and so
    does what a run was judged on if the deal was lost.
    """
    uses = list(uses)
    judged: dict[str, Split] = {}
    for use in uses:
        for split in SPLITS[1:]:
            judged |= dict.fromkeys(use.images.get(split, ()), split)
    trained: dict[str, Split] = dict.fromkeys(first_trainings(uses), "train")
    return {**pinned, **judged, **dealt, **trained}


def refuse_to_move(
    record: ImageRecord,
    dealt: Mapping[str, Split],
    uses: Sequence[RunUse],
    *,
    records: Iterable[ImageRecord],
) -> None:
    """Raise ProjectError if an image cannot go where its record puts it any more.

    Parameters
    ----------
    record
        Of the image, with the split that the user wants.
    dealt, uses
        What was fixed for good, as for `settle`.
    records
        Of the images that are in the project.
    """
    settled = settle(dealt, uses, pinned={})
    own, run = settled.get(record.id), first_trainings(uses).get(record.id)
    if own is not None and own != record.split:
        reason = f"is in the {own} part for good"
        if run:
            reason = f"has trained in the run {run}"
        raise ProjectError(
            f"{record.source} {reason}, so it cannot be moved to"
            f" {record.split}; take another image for that."
        )
    if own is None and (other := _company(record, settled, records)):
        raise ProjectError(
            f"{record.source} belongs with {other.source} (one group, or they look"
            f" alike), which is in the {settled[other.id]} part for good, so it cannot"
            f" be put into {record.split}; leave its part to the project."
        )


def _company(
    record: ImageRecord, settled: Mapping[str, Split], records: Iterable[ImageRecord]
) -> ImageRecord | None:
    """Return an image of another part that the image must stay together with."""
    others = {
        other.id: other
        for other in records
        if settled.get(other.id, record.split) != record.split
    }
    hashes = {other.id: other.perceptual_hash for other in others.values()}
    alike = find_lookalikes({record.id: record.perceptual_hash}, hashes)
    grouped = (
        other.id
        for other in others.values()
        if record.group is not None and other.group == record.group
    )
    found = next(chain(grouped, (image for _, image in alike)), None)
    return None if found is None else others[found]


def _read_use(plan: Path) -> RunUse | None:
    try:
        images = read_json(plan)["images"]
        return RunUse(
            plan.parent.name,
            {split: tuple(map(str, images.get(split, ()))) for split in SPLITS},
        )
    except (OSError, *NONSENSE):
        return None
