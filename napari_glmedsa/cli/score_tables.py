"""Tables of scores: each image's, and their means."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

Metrics = dict[str, list[float]]  # a value per click
Intervals = dict[str, list[tuple[float, float]]]

_HEADINGS = {
    "dice": "Dice",
    "iou": "IoU",
    "threshold_jaccard": "Threshold\nJaccard",
    "pooled_dice": "Pooled\nDice",
    "pooled_iou": "Pooled\nIoU",
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "hd95": "HD95 (px)",
}
_FURTHER = ("accuracy", "sensitivity", "specificity", "hd95")
_WIDE_UP_TO = 3  # clicks; more of them would not fit on a line of 80 characters


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of all images, and of all seeds.

    Parameters
    ----------
    seeds
        Each with its means over images.
    images
        Name and scores, which are means over seeds.
    mean, sd
        Over seeds; `sd` is empty if there is one seed only.
    interval
        95 % bootstrap over images of the mean; empty if there is one image only.
    """

    seeds: Mapping[int, Metrics]
    images: Sequence[tuple[str, Metrics]]
    mean: Metrics
    sd: Metrics
    interval: Intervals


def show_scores(result: Scores) -> None:
    """Print the images' scores and the summary to standard output."""
    console = Console(emoji=False)
    wide = len(result.mean["dice"]) <= _WIDE_UP_TO
    images = [
        (name, {key: row for key, row in scores.items() if key not in _FURTHER})
        for name, scores in result.images
    ]
    further = [metric for metric in _FURTHER if metric in result.mean]
    overlaps = [metric for metric in result.mean if metric not in further]
    tables = [
        _wide_table(images) if wide else _long_table(images),
        *(_summary(result, metrics) for metrics in (overlaps, further) if metrics),
    ]
    if not console.is_terminal:  # a file or a pipe has no right edge
        needed = (console.measure(table).maximum for table in tables)
        console.width = max(console.width, *needed)
    for table in tables:
        console.print(table)


def _summary(result: Scores, metrics: Sequence[str]) -> Table:
    """Per click a row of means, one of their intervals, one of their SD."""
    n = len(result.images)
    title = "Mean of 1 image" if n == 1 else f"Mean of {n} images"
    if result.sd:
        title += f" and {len(result.seeds)} seeds"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("Clicks", justify="right")
    for metric in metrics:
        table.add_column(_HEADINGS[metric], justify="right", no_wrap=True)
    notes = []
    if result.interval:
        notes.append("95 %: bootstrap over images")
    if result.sd:
        notes.append(f"SD: over seeds {', '.join(map(str, result.seeds))}")
    table.caption = "; ".join(notes) or None
    table.caption_justify = "left"
    mean = [result.mean[metric] for metric in metrics]
    intervals = [result.interval[m] for m in metrics if m in result.interval]
    sd = [result.sd[metric] for metric in metrics if result.sd]
    for click in range(len(result.mean["dice"])):
        table.add_row(str(click + 1), *_at(click, mean))
        if intervals:
            pairs = ["-".join(map(_number, values[click])) for values in intervals]
            table.add_row("95 %", *pairs, style="dim")
        if sd:
            table.add_row("SD", *_at(click, sd), style="dim")
    return table


def _wide_table(images: Sequence[tuple[str, Metrics]]) -> Table:
    """One row per image, one column per metric and click."""
    table = _image_table()
    metrics = images[0][1]
    table.caption = "after 1, 2, ... clicks"
    if "threshold_jaccard" in metrics:
        table.caption += "; TJ is the threshold Jaccard"
    table.caption_justify = "left"
    for metric, values in metrics.items():
        short = "TJ" if metric == "threshold_jaccard" else _HEADINGS[metric]
        for click in range(1, len(values) + 1):
            table.add_column(f"{short}\n{click}", justify="right", no_wrap=True)
    for name, scores in images:
        table.add_row(name, *(_number(v) for values in scores.values() for v in values))
    return table


def _long_table(images: Sequence[tuple[str, Metrics]]) -> Table:
    """One row per image and click."""
    table = _image_table()
    table.add_column("Clicks", justify="right", no_wrap=True)
    for metric in images[0][1]:
        table.add_column(_HEADINGS[metric], justify="right", no_wrap=True)
    for name, scores in images:
        n_clicks = len(scores["dice"])
        for click in range(n_clicks):
            table.add_row(
                name if click == 0 else "",
                str(click + 1),
                *_at(click, scores.values()),
                end_section=click + 1 == n_clicks,
            )
    return table


def _image_table() -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("Image", overflow="fold")
    return table


def _at(click: int, metrics: Iterable[Sequence[float]]) -> list[str]:
    return [_number(values[click]) for values in metrics]


def _number(value: float) -> str:
    return f"{value:.3f}"
