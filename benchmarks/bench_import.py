"""What starting costs: the package, the command, the dock in napari, the first mask."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from tempfile import TemporaryDirectory
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
OPENED = """
import tempfile
from pathlib import Path
import numpy as np
from qtpy.QtWidgets import QApplication
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui.segment_widget import SegmentWidget

def wait(condition):
    while not condition():
        QApplication.processEvents()
        time.sleep(0.001)

registry = ModelRegistry(Path(tempfile.mkdtemp()))  # the built-in models alone
image = draw_lesion(seed=0, size=(272, 408)).image.repeat(3, 0).repeat(3, 1)
def click():
    wait(lambda: "lesion" in viewer.layers and "lesion mask" in viewer.layers)
    viewer.layers["lesion"].add((400, 600))
    wait(lambda: viewer.layers["lesion mask"].data.any())
"""
LOADED = (
    VIEWER.replace("show=False", "")
    + OPENED
    + """
dock = SegmentWidget(viewer, registry)
viewer.window.add_dock_widget(dock, name="Segment")
wait(lambda: dock.session.state is SessionState.LOADING)
wait(lambda: dock.session.state is SessionState.EMPTY)
"""
)
FIRST_MASK = """
viewer.add_image(image, name="photograph")
click()
"""
FIRST_IMAGE = 'viewer.add_image(image, name="photograph")'
FROM_NOTHING = """
dock = SegmentWidget(viewer, registry)
viewer.window.add_dock_widget(dock, name="Segment")
click()
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
        with TemporaryDirectory() as cache:  # or the photograph would be known
            finished = subprocess.run(
                [sys.executable, "-c", program],
                env={**os.environ, **platform, "NAPARI_GLMEDSA_CACHE": cache},
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
if os.environ.get("DISPLAY") or sys.platform != "linux":  # Qt's offscreen has no OpenGL
    # a photograph of 1 megapixel and the built-in model, until the first mask is there
    VARIANTS |= {
        "photo opened, clicked": partial(started, measured=FIRST_MASK, before=LOADED),
        "dock opened, clicked": partial(
            started,
            measured=FROM_NOTHING,
            before=VIEWER.replace("show=False", "") + OPENED + FIRST_IMAGE,
        ),
    }


if __name__ == "__main__":
    result = main(__doc__.split("\n")[0], VARIANTS, argparse.ArgumentParser())
    if result:
        show(result, reference=REFERENCE)
        for name, row in result["variants"].items():
            heavy = ", ".join(row["heavy"]) or "none of torch, numpy, napari, Qt"
            print(f"{name:26}{1000 * row['seconds']:9.1f} ms  imported: {heavy}")
