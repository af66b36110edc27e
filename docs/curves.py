"""Draw how the base, the built-in adapters and the methods of a table learnt.

    python docs/curves.py --table DIR

`DIR` is of `glmedsa benchmark table1`. It writes docs/images/accuracy-curves.png.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napari_glmedsa.benchmark.result import RowResult, first_seeds

ROOT = Path(__file__).parent.parent
BASE = ROOT / "models/base/sam_vit_mini/curve.jsonl"
ADAPTER = ROOT / "models/adapters/glmedsa_vit_mini_isic/curve.jsonl"
PICTURE = ROOT / "docs/images/accuracy-curves.png"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file with one JSON document per line; nothing if it is not there."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def draw_base(axes: Axes) -> None:
    """Draw what clicks on held-out natural images got while the base was trained."""
    points = read_lines(BASE)
    points = [point for point in points if point["size"] == points[0]["size"]]
    for click in range(3):
        values = [point["natural_held_out_iou_by_click"][click] for point in points]
        label = f"{click + 1} click" + "s" * (click > 0)
        axes.plot([point["step"] for point in points], values, label=label)
    axes.set(title="Base: held-out natural images", xlabel="step", ylabel="IoU")


def draw_methods(axes: Axes, table: Path) -> None:
    """Draw the validation Dice of every method with one click and the built-in's.

    Of several seeds the first is drawn: each clicks elsewhere on the photographs.
    """
    results = [RowResult.read(path.parent) for path in table.glob("*/result.json")]
    curved = [result for result in results if result and result.curve]
    known = first_seeds(sorted(curved, key=lambda result: result.row.place)).get(1, {})
    for method in sorted(known):
        points = [p for p in known[method].curve if "val_dice" in p]
        values = [point["val_dice"] for point in points]
        axes.plot([p["epoch"] for p in points], values, ".-", label=method)
    own = read_lines(ADAPTER)
    if own:
        values = [point["val_dice"] for point in own]
        axes.plot([p["epoch"] for p in own], values, "k.-", label="built-in")
    axes.set(title="Adapters: validation photographs", xlabel="epoch", ylabel="Dice")


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--table", type=Path, required=True)
    args = parser.parse_args()
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_base(left)
    draw_methods(right, args.table)
    for axes in (left, right):
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
