"""For whom a model works: scores by group, failures, and the worst cases to look at."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_glmedsa.benchmark.index import IndexRow
from napari_glmedsa.benchmark.tiles import ANSWER, TRUTH, Tile, draw_sheet, draw_tile
from napari_glmedsa.benchmark.traits import ORDER, Traits
from napari_glmedsa.evaluation import replay_clicks
from napari_glmedsa.files import atomic_write, write_json
from napari_glmedsa.inference import Predictor
from napari_glmedsa.metrics import JACCARD_THRESHOLD, overlap
from napari_glmedsa.training.gate import paired_bootstrap

_COLUMNS, _SIDE = 5, 220  # of the contact sheet; pixels of a tile
_FEWEST = 5  # images that an interval says anything of
NOTES = """\
Lesion size is the lesion's share of the picture; contrast the distance (Delta E 1976)
of its mean colour from the skin around it. Skin is grouped by the individual typology
angle of that skin. The camera is not calibrated and the light unknown, methods to take
the angle from pixels disagree, and public sets show hardly any dark skin (Fitzpatrick V
and VI below 1 %): read a group as light or dark pictures, not as people, and mind its
n. Dark corners, hair and coloured patches (stickers, a pen's marks) are found by simple
filters that miss some and see some that are not there; a filter for the ticks of rulers
was wrong more often than right, so rulers are not told apart, nor are gel bubbles.
Intervals are bootstraps over the images of a group, given from five images on.
"""
"""What a reader of the groups must know."""


@dataclass(frozen=True, eq=False)
class JudgedImage:
    """One photograph after its last click.

    Parameters
    ----------
    row
        Where it is.
    dice, iou
        Of the answer.
    traits
        What it is like.
    tile
        The photograph with truth and answer, small.
    """

    row: IndexRow
    dice: float
    iou: float
    traits: Traits
    tile: NDArray[np.uint8]

    @property
    def fails(self) -> bool:
        """Whether the outline counts for nothing (IoU below 0.65)."""
        return self.iou < JACCARD_THRESHOLD


@dataclass(frozen=True, slots=True)
class GroupScore:
    """A group's figures: n photographs, mean Dice with interval, share of failures."""

    grouping: str
    group: str
    n: int
    dice: float
    interval: tuple[float, float]
    failures: float


def judge(
    predictor: Predictor,
    rows: Sequence[IndexRow],
    *,
    clicks: int = 1,
    seed: int = 0,
    on_image: Callable[[], None] | None = None,
) -> list[JudgedImage]:
    """Click on every photograph and keep what is needed to compare groups."""
    judged = []
    for row in rows:
        case = row.case()
        *_, answer = replay_clicks(predictor, case, n_clicks=clicks, seed=seed)
        both, either = overlap(answer.mask, case.mask)
        jaccard = both / either if either else 1.0
        judged.append(
            JudgedImage(
                row,
                dice=2 * jaccard / (1 + jaccard),
                iou=jaccard,
                traits=Traits.of(case),
                tile=draw_tile(
                    case.image,
                    [(case.mask, TRUTH), (answer.mask, ANSWER)],
                    answer.prompts.point_coords,
                    side=_SIDE,
                ),
            )
        )
        if on_image is not None:
            on_image()
    return judged


def by_group(judged: Sequence[JudgedImage]) -> list[GroupScore]:
    """Return every group's figures, the groups of a grouping one after the other."""
    scores = [_score("all", "all", judged)]
    for grouping in judged[0].traits.groups if judged else ():
        groups: dict[str, list[JudgedImage]] = {}
        for image in judged:
            groups.setdefault(image.traits.groups[grouping], []).append(image)
        scores += [
            _score(grouping, name, groups[name])
            for name in sorted(groups, key=ORDER.index)
        ]
    return scores


def write_fairness(
    folder: Path,
    judged: Sequence[JudgedImage],
    *,
    command: str,
    facts: Mapping[str, Any],
    worst: int = 20,
) -> None:
    """Write ``groups.md``, ``groups.json``, ``images.csv`` and ``worst.jpg``.

    Parameters
    ----------
    folder
        Made if it is not there.
    judged
        As from `judge`.
    command, facts
        How the figures were made, for a reader.
    worst
        How many of the worst cases the contact sheet shows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scores = by_group(judged)
    with atomic_write(folder / "groups.md") as partial:
        partial.write_text(_markdown(scores, command, facts), encoding="utf-8")
    write_json(
        folder / "groups.json",
        {
            "command": command,
            "facts": dict(facts),
            "groups": [asdict(score) for score in scores],
        },
    )
    with (
        atomic_write(folder / "images.csv") as partial,
        partial.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(["id", "dice", "iou", *judged[0].traits.groups])
        for image in judged:
            figures = (f"{image.dice:.4f}", f"{image.iou:.4f}")
            writer.writerow([image.row.id, *figures, *image.traits.groups.values()])
    with atomic_write(folder / "worst.jpg") as partial:
        contact_sheet(judged, worst).save(partial, format="JPEG", quality=88)


def contact_sheet(judged: Sequence[JudgedImage], n: int) -> Image.Image:
    """Draw the worst cases: truth white, answer cyan, clicks blue, Dice below."""
    chosen = sorted(judged, key=lambda image: image.dice)[:n]
    tiles = [
        Tile(image.tile, f"{image.row.id}  Dice {image.dice:.2f}") for image in chosen
    ]
    rows = [tiles[start : start + _COLUMNS] for start in range(0, n, _COLUMNS)]
    return draw_sheet([row for row in rows if row], side=_SIDE)


def _score(grouping: str, group: str, images: Sequence[JudgedImage]) -> GroupScore:
    dice = np.array([image.dice for image in images])
    return GroupScore(
        grouping,
        group,
        len(images),
        float(dice.mean()),
        paired_bootstrap(dice),
        float(np.mean([image.fails for image in images])),
    )


def _markdown(
    scores: Sequence[GroupScore], command: str, facts: Mapping[str, Any]
) -> str:
    lines = ["Made by", "", "```", command, "```", ""]
    lines += [f"- {key}: {value}" for key, value in facts.items()]
    lines += ["", "| grouping | group | n | Dice | 95 % | failures (IoU < 0.65) |"]
    lines += ["|---|---|---|---|---|---|"]
    for score in scores:
        low, high = (100 * end for end in score.interval)
        interval = f"{low:.1f} to {high:.1f}" if score.n >= _FEWEST else "-"
        cells = (
            score.grouping,
            score.group,
            str(score.n),
            f"{100 * score.dice:.1f}",
            interval,
            f"{100 * score.failures:.1f} %",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", NOTES])
