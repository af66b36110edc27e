"""Good and bad cases side by side: what each method made of the same click."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from napari_glmedsa.benchmark.answers import Answer, read_answers
from napari_glmedsa.benchmark.index import IndexRow
from napari_glmedsa.benchmark.methods import METHODS, SUBJECT
from napari_glmedsa.benchmark.parts import Parts
from napari_glmedsa.benchmark.result import RowResult, first_seeds
from napari_glmedsa.benchmark.tiles import ANSWER, TRUTH, Tile, draw_sheet, draw_tile
from napari_glmedsa.files import atomic_write

_SIDE, _EACH = 180, 2  # pixels of a picture; cases of each kind


def write_cases(
    folder: Path, results: Sequence[RowResult], parts: Parts
) -> tuple[str, ...]:
    """Write a figure for every protocol and number of clicks, as JPEG.

    Each shows the best, middle and worst cases of `SUBJECT` (without a row of its own,
    those of its first): the photograph with its first click, the true outline, and each
    method's (cyan) over it (white) with the clicks that the method was given. Of
    several seeds the first is shown.

    Parameters
    ----------
    folder
        Of the table, with a folder for every row.
    results
        Of the table.
    parts
        Where the photographs are.

    Returns
    -------
    tuple of str
        Names of the rows that kept no masks and are left out.

    Raises
    ------
    TrainingError
        If the masks of a row are damaged.
    """
    lost: set[str] = set()
    subject = next((r for r in results if r.row.method == SUBJECT), None)
    for clicks, firsts in first_seeds(results).items():
        judge = firsts.get(SUBJECT) or subject or list(firsts.values())[-1]
        for protocol, images in parts.tests.items():
            cases = choose_cases(
                {name: s["dice"] for name, s in judge.scores[protocol].items()}
            )
            kept = {
                method: read_answers(folder / result.row.name, protocol, list(cases))
                for method, result in firsts.items()
            }
            shown = {method: answers for method, answers in kept.items() if answers}
            lost |= {firsts[method].row.name for method in kept.keys() - shown}
            if not shown:
                continue
            known = {image.id: image for image in images}
            rows = [
                list(_row(known[name], kind, shown, firsts))
                for name, kind in cases.items()
            ]
            sheet = draw_sheet(rows, side=_SIDE, headings=_headings(shown))
            _write(folder / _file_name(protocol, clicks), sheet)
    return tuple(sorted(lost))


def choose_cases(dice: Mapping[str, float], each: int = _EACH) -> dict[str, str]:
    """Return image ids with ``"best"``, ``"middle"`` or ``"worst"``, best first.

    Parameters
    ----------
    dice
        Image id to Dice; where they are equal, the ids decide.
    each
        How many of each kind; no image is chosen twice.
    """
    order = sorted(dice, key=lambda name: (-dice[name], name))
    start = max(0, (len(order) - each) // 2)
    kinds = dict.fromkeys(order[:each], "best")
    for name in order[-each:]:
        kinds.setdefault(name, "worst")
    for name in order[start : start + each]:
        kinds.setdefault(name, "middle")
    return {name: kinds[name] for name in order if name in kinds}


def _row(
    image: IndexRow,
    kind: str,
    shown: Mapping[str, Mapping[str, Answer]],
    results: Mapping[str, RowResult],
) -> Iterator[Tile]:
    case = image.case()
    first = next(iter(shown.values()))[image.id].point_coords[:1]
    none = np.empty((0, 2))
    truth = (case.mask, TRUTH)
    yield Tile(draw_tile(case.image, [], first, side=_SIDE), f"{kind}: {case.id}")
    yield Tile(draw_tile(case.image, [truth], none, side=_SIDE), "")
    for method, answers in shown.items():
        answer = answers[image.id]
        outlines = [truth, (answer.mask, ANSWER)]
        picture = draw_tile(case.image, outlines, answer.point_coords, side=_SIDE)
        dice = results[method].scores[image.protocol][image.id]["dice"]
        yield Tile(picture, f"Dice {dice:.2f}")


def _headings(methods: Mapping[str, object]) -> list[str]:
    titles = [METHODS[name].title.partition(" (")[0] for name in methods]
    return ["photograph", "ground truth", *titles]


def _file_name(protocol: str, clicks: int) -> str:
    name = re.sub(r"[^\w.-]", "_", protocol)
    return f"cases-{name}-{clicks}p.jpg" if clicks else f"cases-{name}.jpg"


def _write(path: Path, sheet: Image.Image) -> None:
    with atomic_write(path) as partial:
        sheet.save(partial, format="JPEG", quality=88)
