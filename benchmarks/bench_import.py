"""What starting costs: the package, the command's help, the dock in a napari window."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from measuring import main, show

REFERENCE = "import torch"

PROGRAM = """
import json, sys, time
{before}
start, cpu_start = time.perf_counter(), time.process_time()
{measured}
seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
heavy = sorted({{"torch", "numpy", "napari", "qtpy"}} & set(sys.modules))
import os, psutil
size = psutil.Process().memory_info().rss
figures = [seconds, cpu_seconds, size, heavy]
print(json.dumps(figures), flush=True)
os._exit(0)  # windows and workers are not what is measured
"""

VIEWER = """
import napari
viewer = napari.Viewer(show=False)
"""
DOCK = """
from napari_glmedsa.ui.segment_widget import SegmentWidget
viewer.window.add_dock_widget(SegmentWidget(viewer), name="Segment")
"""
HELP = """
from napari_glmedsa.cli.app import run
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()):
    run(["--help"])
"""


def started(
    args: argparse.Namespace, *, measured: str, before: str = ""
) -> Mapping[str, Any]:
    """Measure lines of code in new interpreters, after one to warm the disk's cache."""
    program = PROGRAM.format(before=before, measured=measured)
    platform = {} if os.environ.get("DISPLAY") else {"QT_QPA_PLATFORM": "offscreen"}
    runs = []
    for _ in range(args.repeats + 1):
        finished = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **platform},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        runs.append(json.loads(finished.stdout.splitlines()[-1]))
    seconds, cpu_seconds, sizes, heavy = zip(*runs[1:], strict=True)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": max(sizes),
        "extra_bytes": max(sizes),
        "heavy": heavy[-1],
    }


VARIANTS = {
    REFERENCE: partial(started, measured="import torch"),
    "import napari_glmedsa": partial(started, measured="import napari_glmedsa"),
    "glmedsa --help": partial(started, measured=HELP),
    "import the session": partial(started, measured="import napari_glmedsa.session"),
    "the dock, in napari": partial(started, measured=DOCK, before=VIEWER),
}


if __name__ == "__main__":
    result = main(__doc__.split("\n")[0], VARIANTS, argparse.ArgumentParser())
    if result:
        show(result, reference=REFERENCE)
        for name, row in result["variants"].items():
            heavy = ", ".join(row["heavy"]) or "none of torch, numpy, napari, Qt"
            print(f"{name:26}{1000 * row['seconds']:9.1f} ms  imported: {heavy}")
