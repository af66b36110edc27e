"""Variants of one computation, measured in turn, each in a process of its own."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from napari_glmedsa.inference import resolve_precision

Variants = Mapping[str, Callable[[argparse.Namespace], Mapping[str, Any]]]


def measure(run: Callable[[], object], *, repeats: int) -> dict[str, Any]:
    """Run once to warm up, then `repeats` times; return seconds and memory.

    ``peak_bytes`` is the most memory the process ever had, ``extra_bytes`` the
    part of it that came after this call, so without libraries and weights.
    """
    before = psutil.Process().memory_info().rss
    run()
    seconds, cpu_seconds = [], []
    for _ in range(repeats):
        start, cpu_start = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    peak = _peak_bytes()
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": peak,
        "extra_bytes": peak - before,
    }


def main(
    description: str, variants: Variants, parser: argparse.ArgumentParser
) -> dict[str, Any] | None:
    """Measure the variants in turn, in several rounds, and return the medians.

    In a child process it measures one variant, prints the figures, returns None.
    """
    parser.description = description
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1, help="runs per process")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="*", choices=list(variants), default=None)
    parser.add_argument("--json", type=Path, help="folder for a file of all figures")
    parser.add_argument("--child", choices=list(variants), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        torch.set_num_threads(args.threads)
        torch.manual_seed(0)
        print(json.dumps(variants[args.child](args)))
        return None
    chosen = [name for name in variants if not args.only or name in args.only]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for index in range(args.rounds):
        for name in chosen:
            print(f"round {index + 1} of {args.rounds}: {name}", file=sys.stderr)
            found[name].append(_in_a_child(name))
    result = {
        "machine": machine(args.threads),
        "arguments": {k: str(v) for k, v in vars(args).items() if v is not None},
        "variants": {name: summary(runs) for name, runs in found.items()},
    }
    if args.json:
        args.json.mkdir(parents=True, exist_ok=True)
        path = args.json / f"{Path(sys.argv[0]).stem}.json"
        path.write_text(json.dumps(result, indent=2) + "\n")
    return result


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return medians over all runs of all rounds; other figures of the last round."""
    joined = {
        key: statistics.median(value for run in runs for value in run[key])
        for key in ("seconds", "cpu_seconds")
    }
    sizes = {
        key: int(statistics.median(run[key] for run in runs))
        for key in ("peak_bytes", "extra_bytes")
    }
    return {**runs[-1], **joined, **sizes}


def machine(threads: int) -> dict[str, Any]:
    """Return what the figures depend on besides the code."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(),
        "threads": threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "precision auto": resolve_precision("auto", torch.device("cpu")),
        "load": load,
    }


def show_machine(result: Mapping[str, Any]) -> None:
    """Print what the figures depend on besides the code, in one line."""
    print(", ".join(f"{key} {value}" for key, value in result["machine"].items()))


def show(result: Mapping[str, Any], *, reference: str) -> None:
    """Print the table; ratios above 1 are in favour of the variant."""
    show_machine(result)
    rows = result["variants"]
    base = rows.get(reference)
    print(
        f"{'variant':26}{'seconds':>9}{'times':>7}{'CPU s':>8}{'times':>7}"
        f"{'peak GB':>9}{'extra GB':>9}{'share':>7}"
    )
    for name, row in rows.items():
        faster = f"{base['seconds'] / row['seconds']:.2f}" if base else ""
        cheaper = f"{base['cpu_seconds'] / row['cpu_seconds']:.2f}" if base else ""
        share = f"{row['extra_bytes'] / base['extra_bytes']:.2f}" if base else ""
        print(
            f"{name:26}{row['seconds']:9.2f}{faster:>7}{row['cpu_seconds']:8.2f}"
            f"{cheaper:>7}{row['peak_bytes'] / 1e9:9.2f}"
            f"{row['extra_bytes'] / 1e9:9.2f}{share:>7}"
        )


def _in_a_child(name: str) -> dict[str, Any]:
    finished = subprocess.run(
        [sys.executable, *sys.argv, "--child", name],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return figures


def _peak_bytes() -> int:
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    names = [line for line in info.read_text().splitlines() if "model name" in line]
    return names[0].split(":")[1].strip() if names else platform.machine()
