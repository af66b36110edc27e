"""What was measured of the built-in model, as Markdown; see accuracy.py."""

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from napari_glmedsa.adapters import read_card
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.training.gate import METRICS, GateResult, paired_bootstrap
from napari_glmedsa.training.run import TrainingRun

ROOT = Path(__file__).parent.parent
ADAPTER = ROOT / "models/adapters/glmedsa_vit_mini_isic/adapter.safetensors"
PARTS = {
    "isic2016_test": "ISIC 2016 test (335 of its 379 images)",
    "ph2_test": "PH2 (another hospital and camera)",
    "validation": "validation fold of the training images",
}
CORRECTED = {"isic2016_test": "isic", "ph2_test": "ph2"}


def shipped(runs: Path) -> str:
    """Return the built-in model's figures from its card, one line per set."""
    metrics = read_card(ADAPTER).metrics
    lines = ["| images | n | Dice after 1 / 2 / 3 clicks | IoU | threshold Jaccard |"]
    lines.append("|---" * 5 + "|")
    for name, title in PARTS.items():
        part: Any = metrics[name]
        cells = [
            " / ".join(f"{value:.3f}" for value in part[metric])
            for metric in ("dice", "iou", "threshold_jaccard")
        ]
        lines.append(f"| {title} | {part['n']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def shipped_short(runs: Path) -> str:
    """Return the Dice on the test sets after one and more clicks of either kind."""
    metrics = read_card(ADAPTER).metrics
    lines = ["| images | n | 1 / 3 clicks at random | 1 / 3 / 5 where it is worst |"]
    lines.append("|---" * 4 + "|")
    for protocol, name in CORRECTED.items():
        document = json.loads((runs / f"clicks/{name}.json").read_text())
        part: Any = metrics[protocol]
        cells = [PARTS[protocol], str(part["n"])]
        for dice, clicks in ((part["dice"], (1, 3)), (document["dice"], (1, 3, 5))):
            cells.append(" / ".join(f"{dice[n - 1]:.3f}" for n in clicks))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def against_base(runs: Path) -> str:
    """Return what the built-in adapters add to their base, image by image."""
    lines = ["| images | n | base | built-in | difference in Dice | 95 % |"]
    lines.append("|---" * 6 + "|")
    for protocol in ("isic2016_test", "ph2_test"):
        base, own = (_dice(runs / f"{k}-{protocol}") for k in ("base", "fairness"))
        if base.keys() != own.keys():
            raise SystemExit(f"The two runs of {protocol} are of other images.")
        before, after = (np.array([run[i] for i in sorted(own)]) for run in (base, own))
        low, high = (100 * end for end in paired_bootstrap(after - before))
        lines.append(
            f"| {PARTS[protocol]} | {len(own)} | {100 * before.mean():.1f} | "
            f"{100 * after.mean():.1f} | {100 * (after - before).mean():+.1f} | "
            f"{low:+.1f} to {high:+.1f} |"
        )
    return "\n".join(lines)


def clicks(runs: Path) -> str:
    """Return the Dice of two annotators: one who only adds, and one who corrects."""
    metrics = read_card(ADAPTER).metrics
    columns: list[tuple[str, list[float]]] = []
    for protocol, name in CORRECTED.items():
        document = json.loads((runs / f"clicks/{name}.json").read_text())
        title = PARTS[protocol].partition(" (")[0]
        part: Any = metrics[protocol]
        columns += [
            (f"{title}: at random on missed lesion", part["dice"]),
            (f"{title}: in the middle of the largest error", document["dice"]),
        ]
    lines = [f"| clicks | {' | '.join(heading for heading, _ in columns)} |"]
    lines.append("|---" * (1 + len(columns)) + "|")
    for click in (1, 2, 3, 5, 10):
        cells = [
            f"{dice[click - 1]:.3f}" if click <= len(dice) else "-"
            for _, dice in columns
        ]
        lines.append(f"| {click} | {' | '.join(cells)} |")
    return "\n".join(lines)


def groups(protocol: str, runs: Path) -> str:
    """Return the table of groups of `glmedsa benchmark fairness`."""
    text = (runs / f"fairness-{protocol}" / "groups.md").read_text(encoding="utf-8")
    document = json.loads((runs / f"fairness-{protocol}" / "groups.json").read_text())
    body = text[text.index("| grouping") : text.rindex("|") + 1]
    return f"{shown_commands(document['command'])}\n{body}"


def fine_tuning(runs: Path) -> str:
    """Return what a hundred photographs taught, from the newest run in ``isic100``."""
    run, gate = _hundred(runs)
    lines = [
        f"| on {gate.n} held-out photographs | clicks | untouched base | after "
        f"{run.status().n_epochs} epochs | gain |",
        "|---" * 5 + "|",
    ]
    for metric, title in zip(
        METRICS, ("Dice", "IoU", "threshold Jaccard"), strict=True
    ):
        pairs = zip(gate.before[metric], gate.after[metric], strict=True)
        for index, (before, after) in enumerate(pairs):
            gain = f"{after - before:+.3f}"
            if metric == "dice" and index == 0:
                low, high = gate.interval
                gain += f" (95 % interval {low:+.3f} to {high:+.3f})"
            cells = (title if index == 0 else "", str(gate.clicks[index]))
            figures = (f"{before:.3f}", f"{after:.3f}", gain)
            lines.append(f"| {' | '.join((*cells, *figures))} |")
    took = f"Training and comparison took {run.status().seconds / 60:.0f} minutes."
    return "\n".join([*lines, "", took])


def fine_tuning_short(runs: Path) -> str:
    """Return the same in one sentence."""
    run, gate = _hundred(runs)
    low, high = gate.interval
    return (
        "A hundred annotated photographs took the built-in base, which knows no "
        f"dermoscopy, from Dice {gate.before['dice'][0]:.3f} to "
        f"{gate.after['dice'][0]:.3f} after one\nclick ({gate.n} held-out images, "
        f"difference 95 % interval {low:.3f} to {high:.3f}), in "
        f"{run.status().seconds / 60:.0f} minutes:\n"
        "[how that was measured](docs/explanation/fine-tuning.md), and "
        "[the tutorial](docs/tutorials/first-fine-tuning.md)."
    )


def shown_commands(*commands: str) -> str:
    """Return commands as a reader would give them, without this computer's paths."""
    return "\n".join(["```", *map(_shown, commands), "```\n"])


def _shown(command: str) -> str:
    words = shlex.split(command)
    for index, word in enumerate(words[:-1]):
        if word == "--data":
            words[index + 1] = "DIR"
        elif word == "--output":
            words[index + 1] = Path(words[index + 1]).name
    return shlex.join(words)


def _hundred(runs: Path) -> tuple[TrainingRun, GateResult]:
    folder = runs / "isic100"
    if not (folder / "project.json").exists():
        raise FileNotFoundError(folder)
    run = TrainingRun.runs(AnnotationProject.open(folder))[0]
    gate = run.gate()
    if gate is None:
        raise FileNotFoundError(run.gate_path)
    return run, gate


def _dice(folder: Path) -> dict[str, float]:
    with (folder / "images.csv").open(newline="", encoding="utf-8") as stream:
        return {row["id"]: float(row["dice"]) for row in csv.DictReader(stream)}
