"""Put what was measured into docs/explanation/accuracy.md: nobody types figures.

    python docs/accuracy.py --runs DIR

It also fills README.md and docs/explanation/fine-tuning.md. `DIR` holds what the
commands of the pages wrote: ``isic100`` of `benchmarks/isic_project.py` with its run,
``clicks/isic.json`` and ``clicks/ph2.json`` of `benchmarks/clicks_to_target.py`,
``table1-*`` of `glmedsa benchmark table1`, and of `glmedsa benchmark fairness`
``fairness-PROTOCOL`` for the built-in model and ``base-PROTOCOL`` for its base. Each
part of a page between ``<!-- NAME -->`` and ``<!-- end -->`` is written anew if what it
is made of is there, and else stays.
"""

import argparse
import json
import re
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import built_in_figures as built_in

from napari_glmedsa.benchmark.fairness import NOTES
from napari_glmedsa.benchmark.methods import METHODS, SUBJECT
from napari_glmedsa.benchmark.report import (
    bound_note,
    compare_all,
    facts,
    known_commands,
    tables,
)
from napari_glmedsa.benchmark.result import RowResult
from napari_glmedsa.benchmark.summary import Line, summarise_rows
from napari_glmedsa.files import atomic_write

ROOT = Path(__file__).parent.parent
PAGES = (
    ROOT / "docs/explanation/accuracy.md",
    ROOT / "docs/explanation/fine-tuning.md",
    ROOT / "README.md",
)
PICTURES = ROOT / "docs/images"
FREE = ("isic2016_test",)  # only these photographs may be shown (CC-0)


def table_short(runs: Path) -> str:
    """Return the Dice of every clicked method of the tuned table, a line each."""
    folder = runs / "table1-tuned"
    document = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    found: dict[str, dict[int, Line]] = {}
    for line in summarise_rows(_results(folder, document)):
        if line.clicks:
            found.setdefault(line.method, {})[line.clicks] = line
    rows = ["| method | trained (M) | Dice, 1 click | Dice, 3 clicks | as printed |"]
    rows.append("|---" * 5 + "|")
    for method, lines in found.items():
        printed = METHODS[method].printed
        figures = printed.dice.values() if printed else ()
        cells = (
            METHODS[method].title,
            f"{next(iter(lines.values())).trainable / 1e6:.2f}",
            *(_with_interval(lines.get(clicks)) for clicks in (1, 3)),
            " / ".join(f"{value:.1f}" for value in figures) or "-",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def table(name: str, runs: Path, *, against: str | None = None) -> str:
    """Return the tables of a folder of `glmedsa benchmark table1`.

    With `against` only the differences from that method are shown.
    """
    folder = runs / name
    document = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    results = _results(folder, document)
    lines = summarise_rows(results)
    told = [built_in.shown_commands(*known_commands(folder))]
    told += [f"- {key}: {value}" for key, value in facts(results).items()]
    comparisons = compare_all(lines, against=against)
    text = "\n".join([*told, *tables(lines, comparisons)])
    return text.replace("\n## ", "\n### ")


def picture(
    name: str, source: str, alternative: str, runs: Path, pictures: Path
) -> str:
    """Take a picture over from a run, under a name."""
    if not any(name in source for name in FREE):
        raise ValueError(f"The photographs of {source} may not be shown.")
    pictures.mkdir(parents=True, exist_ok=True)
    file = f"accuracy-{name}.jpg"
    shutil.copyfile(runs / source, pictures / file)
    return f"![{alternative}](../images/{file})"


def parts(pictures: Path) -> Mapping[str, Callable[[Path], str]]:
    """Return what makes each part of the page."""
    found: dict[str, Callable[[Path], str]] = {
        "shipped": built_in.shipped,
        "shipped-short": built_in.shipped_short,
        "clicks": built_in.clicks,
        "against-base": built_in.against_base,
        "table1-short": table_short,
        "fine-tuning": built_in.fine_tuning,
        "fine-tuning-short": built_in.fine_tuning_short,
        "bound": lambda runs: bound_note(),
        "groups-notes": lambda runs: NOTES,
    }
    for recipe in ("tuned", "paper"):
        found[f"table1-{recipe}"] = partial(table, f"table1-{recipe}")
    found["table1-ablation"] = partial(table, "table1-ablation", against=SUBJECT)
    for protocol in ("isic2016_test", "ph2_test"):
        found[f"groups-{protocol}"] = partial(built_in.groups, protocol)
    shown = {
        "cases-0": ("table1-tuned/cases-isic2016_test.jpg", "Without clicks"),
        "cases-1": ("table1-tuned/cases-isic2016_test-1p.jpg", "Good and bad cases"),
        "cases-3": ("table1-tuned/cases-isic2016_test-3p.jpg", "With three clicks"),
        "worst": ("fairness-isic2016_test/worst.jpg", "The twenty worst cases"),
    }
    for name, (source, text) in shown.items():
        found[name] = partial(picture, name, source, text, pictures=pictures)
    return found


def fill(page: str, runs: Path, pictures: Path) -> str:
    """Return the page with every part whose runs are there written anew."""
    made = parts(pictures)

    def part(match: re.Match[str]) -> str:
        try:
            text = made[match["name"]](runs)
        except FileNotFoundError:
            return match[0]
        return f"<!-- {match['name']} -->\n\n{text.strip()}\n\n<!-- end -->"

    marks = r"<!-- (?P<name>[\w-]+) -->\n.*?<!-- end -->"
    return re.sub(marks, part, page, flags=re.DOTALL)


def main() -> None:
    """Fill the pages."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, required=True)
    runs = parser.parse_args().runs
    for page in PAGES:
        text = fill(page.read_text(encoding="utf-8"), runs, PICTURES)
        with atomic_write(page) as partial_file:
            partial_file.write_text(text, encoding="utf-8")


def _results(folder: Path, document: Mapping[str, Any]) -> list[RowResult]:
    """Return the rows of a table that are finished, in its order."""
    found = [RowResult.read(path.parent) for path in folder.glob("*/result.json")]
    order = [
        (line["method"], line["clicks"], seed)
        for line in document["lines"]
        for seed in line["seeds"]
    ]
    known = {(r.row.method, r.row.clicks, r.row.seed): r for r in found if r}
    return [known[key] for key in order]


def _with_interval(line: Line | None) -> str:
    if line is None:
        return "-"
    low, high = (100 * end for end in line.interval["dice"])
    return f"{100 * line.mean['dice']:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main()
