"""A table of methods as Markdown, CSV and JSON."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

from napari_glmedsa.benchmark.methods import (
    GROUPS,
    METHODS,
    NOT_RUN,
    SUBJECT,
    Printed,
)
from napari_glmedsa.benchmark.result import RowResult
from napari_glmedsa.benchmark.summary import Comparison, Line, compare_lines
from napari_glmedsa.evaluation import jensen_bound
from napari_glmedsa.files import NONSENSE, atomic_write, read_json, write_json

_TABLE = "table.json"

_HEADINGS = (
    "method",
    "clicks",
    "frozen / trained (M)",
    "Dice",
    "95 %",
    "IoU",
    "95 %",
    "pooled Dice / IoU",
    "threshold Jaccard",
    "training s",
    "peak GB",
    "ms / image",
    "as printed: parameters (M)",
    "as printed: Dice / IoU",
)


def write_report(
    folder: Path,
    lines: Sequence[Line],
    *,
    commands: Sequence[str],
    facts: Mapping[str, Any],
) -> None:
    """Write ``table.md``, ``table.csv`` and ``table.json`` into a folder.

    Parameters
    ----------
    folder
        Of the table.
    lines
        What was measured.
    commands
        That made it, one after the other.
    facts
        What else a reader must know: base, images, machine.
    """
    comparisons = compare_all(lines)
    texts = {
        "table.md": to_markdown(lines, comparisons, commands=commands, facts=facts),
        "table.csv": to_csv(lines),
    }
    for name, text in texts.items():
        with atomic_write(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
    document = {
        "commands": list(commands),
        "facts": dict(facts),
        "lines": [_plain(line) for line in lines],
        "comparisons": [asdict(comparison) for comparison in comparisons],
    }
    write_json(folder / _TABLE, document)


def known_commands(folder: Path) -> list[str]:
    """Return which commands made the table in a folder so far."""
    try:
        document = read_json(folder / _TABLE)
        # A table of an earlier version tells its last command alone.
        known = document.get("commands") or [document["command"]]
        return [str(command) for command in known]
    except (OSError, *NONSENSE):  # no table, or none that can be read: it is made anew
        return []


def facts(results: Sequence[RowResult]) -> dict[str, str]:
    """Return what a reader must know beside the figures, from the rows themselves."""
    learnt = [result for result in results if result.config]
    found = {
        "base": _all(result.question["base"] for result in results),
        "recipe": _all(result.row.recipe for result in learnt),
        "epochs": _all(result.config["epochs"] for result in learnt),
        "images learnt from": _all(len(result.question["train"]) for result in learnt),
        "seeds": _all(result.row.seed for result in results),
    }
    for key in dict.fromkeys(key for result in results for key in result.machine):
        found[key] = _all(r.machine[key] for r in results if key in r.machine)
        silent = sum(key not in result.machine for result in learnt)
        if silent:
            found[key] += f" ({silent} of {len(learnt)} rows do not tell)"
    return {key: text for key, text in found.items() if text}


def compare_all(
    lines: Sequence[Line], *, against: str | None = None
) -> list[Comparison]:
    """Compare every two methods of one protocol and number of clicks.

    What nobody clicks is compared with the table's own method, after any number. With
    `against` only the differences from that method are computed.
    """
    return [
        compare_lines(later, earlier)
        for earlier, later in combinations(lines, 2)
        if earlier.protocol == later.protocol
        and against in (None, earlier.method, later.method)
        and (
            earlier.clicks == later.clicks
            or (earlier.clicks == 0 and later.method == SUBJECT)
        )
    ]


def to_markdown(
    lines: Sequence[Line],
    comparisons: Sequence[Comparison],
    *,
    commands: Sequence[str],
    facts: Mapping[str, Any],
) -> str:
    """Return the tables, one per protocol and recipe, with what a reader must know."""
    parts = ["Made by\n\n```", *commands, "```\n"]
    parts += [f"- {key}: {value}" for key, value in facts.items()]
    parts += tables(lines, comparisons)
    parts.append(f"\n{_NOTES}{bound_note()}")
    return "\n".join(parts) + "\n"


def tables(lines: Sequence[Line], comparisons: Sequence[Comparison]) -> list[str]:
    """Return the lines of Markdown tables, figures and tests of each protocol."""
    parts = []
    for protocol in dict.fromkeys(line.protocol for line in lines):
        own = [line for line in lines if line.protocol == protocol]
        parts.append(f"\n## {protocol}, {own[0].n_images} images\n")
        parts += _table(_HEADINGS, [_cells(line) for line in own] + _not_run(own))
        tested = [c for c in comparisons if c.protocol == protocol]
        if tested:
            parts.append(_DIFFERENCES)
            headings = ("first", "second", "clicks", "difference", "95 %", "p")
            parts += _table(headings, [_difference(c) for c in tested])
    return parts


def to_csv(lines: Sequence[Line]) -> str:
    """Return one row per line with plain numbers."""
    rows = [_flat(line) for line in lines]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


_DIFFERENCES = (
    "\nDifferences in mean Dice on the same images, and the same clicks if both are "
    "clicked:\n"
)
_NOTES = (
    "Dice and IoU are means over images at the images' own size, ± the standard "
    "deviation over seeds; the interval is a bootstrap over images; pooled figures "
    "count the pixels of all images together. p is Wilcoxon's signed-rank test over "
    "images, not corrected for the number of comparisons. "
)


def bound_note() -> str:
    """Say which printed rows cannot be per-image means of the same masks."""
    broken = [
        f"{method.title} with {clicks} click{'s' * (clicks > 1)} "
        f"({printed.iou[clicks]:.1f} below {100 * jensen_bound(dice / 100):.1f})"
        for method in METHODS.values()
        if (printed := method.printed) is not None
        for clicks, dice in printed.dice.items()
        if printed.iou[clicks] < 100 * jensen_bound(dice / 100)
    ]
    return (
        "A mean IoU is never below D / (2 - D) of the mean Dice D; as printed, these "
        f"rows are: {'; '.join(broken)}. So no run can match both of their columns. "
        "The measured rows are checked to keep the bound."
    )


def _all(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))


def _cells(line: Line) -> tuple[str, ...]:
    method = METHODS[line.method]
    return (
        method.title,
        str(line.clicks),
        f"{line.frozen / 1e6:.2f} / {line.trainable / 1e6:.2f}",
        _with_deviation(line, "dice"),
        _interval(line.interval["dice"]),
        _with_deviation(line, "iou"),
        _interval(line.interval["iou"]),
        f"{100 * line.pooled_dice:.1f} / {100 * line.pooled_iou:.1f}",
        _with_deviation(line, "threshold_jaccard"),
        f"{line.training_seconds:.0f}",
        f"{line.peak_memory / 1e9:.1f}",
        f"{line.milliseconds:.0f}",
        *_printed(method.printed, line.clicks),
    )


def _not_run(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    """Return the rows of the paper that nothing here runs, for a table like its own."""
    if all(line.method in GROUPS["ablation"] for line in lines):
        return []
    dash = "-"
    return [
        (title, dash, dash, "not run here", *[dash] * 8, *_printed(printed, 0))
        for title, printed in NOT_RUN.items()
    ]


def _printed(printed: Printed | None, clicks: int) -> tuple[str, str]:
    if printed is None:
        return "-", "-"
    if clicks not in printed.dice:
        return printed.parameters, "not at hand"
    dice, iou = printed.dice[clicks], printed.iou[clicks]
    return printed.parameters, f"{dice:.1f} / {iou:.1f}"


def _difference(comparison: Comparison) -> tuple[str, ...]:
    return (
        METHODS[comparison.better].title,
        METHODS[comparison.worse].title,
        str(comparison.clicks),
        f"{100 * comparison.difference:+.2f}",
        _interval(comparison.interval, signed=True),
        f"{comparison.p_value:.2g}",
    )


def _with_deviation(line: Line, metric: str) -> str:
    mean = f"{100 * line.mean[metric]:.1f}"
    return mean if len(line.seeds) == 1 else f"{mean} ± {100 * line.sd[metric]:.1f}"


def _interval(interval: tuple[float, float], *, signed: bool = False) -> str:
    low, high = (100 * value for value in interval)
    return f"{low:+.2f} to {high:+.2f}" if signed else f"{low:.1f} to {high:.1f}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [headings, ["---"] * len(headings), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _plain(line: Line) -> dict[str, Any]:
    document = asdict(line)
    del document["scores"]  # they stand in the rows' own files
    return document


def _flat(line: Line) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in _plain(line).items():
        if isinstance(value, dict):
            for metric, number in value.items():
                if isinstance(number, tuple):
                    flat[f"{metric}_low"], flat[f"{metric}_high"] = number
                else:
                    flat[metric if key == "mean" else f"{metric}_{key}"] = number
        else:
            flat[key] = " ".join(map(str, value)) if key == "seeds" else value
    return flat
