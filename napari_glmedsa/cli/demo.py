"""`glmedsa demo`: a sample lesion, in napari or as files where there is no display."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from napari_glmedsa.cli.inputs import (
    load_predictor,
    model_spec,
    prepare_folder,
)
from napari_glmedsa.cli.machine import (
    INSTALL_ALL,
    has_display,
    has_module,
    qt_bindings,
)
from napari_glmedsa.cli.terminal import remark
from napari_glmedsa.pairs import MASK_ENDING, OVERLAY_ENDING

_SHOWCASE = "napari_glmedsa.ui.showcase"
_STEM = "sample_lesion"


def demo(
    *,
    output: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder for the files without a window."),
    ] = Path("glmedsa-demo"),
    no_window: Annotated[
        bool, typer.Option("--no-window", help="Write files, open nothing.")
    ] = False,
) -> None:
    """Open napari with a sample lesion, ready to click.

    Without a display, or with --no-window, click the lesion for you and write the
    photograph, the mask and a picture of both.
    """
    reason = "" if no_window else _why_no_window()
    if not no_window and not reason:
        reason = _open_napari()
        if not reason:
            return
    if reason:
        remark(reason)
    _write_files(output)


def _why_no_window() -> str:
    if not has_display():
        return "There is no display here, so the demo writes files."
    if not has_module("napari"):
        return (
            f"napari is not installed ({INSTALL_ALL} installs it), so the demo"
            " writes files."
        )
    if not qt_bindings():
        return (
            f"napari has no Qt to draw with ({INSTALL_ALL} installs one), so the"
            " demo writes files."
        )
    return ""


def _open_napari() -> str:
    """Run napari in a process of its own until it is closed; say what went wrong.

    Qt aborts the process when it cannot reach the display, and the command line
    must not know napari: both are reasons for not importing it here.
    """
    from napari_glmedsa.images import write_image
    from napari_glmedsa.samples import draw_lesion

    with tempfile.TemporaryDirectory(prefix="glmedsa-demo-") as folder:
        photograph = Path(folder) / f"{_STEM}.png"
        write_image(photograph, draw_lesion().image)
        # -P: modules that happen to lie in the user's folder are none of ours.
        command = [sys.executable, "-P", "-m", _SHOWCASE, str(photograph)]
        finished = subprocess.run(command, check=False)
    if finished.returncode == 0:
        return ""
    return (
        f"napari ended with an error (exit code {finished.returncode}; glmedsa doctor"
        " shows what is missing), so the demo writes files."
    )


def _write_files(output: Path) -> None:
    import numpy as np

    from napari_glmedsa.evaluation import dice
    from napari_glmedsa.images import write_image, write_mask, write_overlay
    from napari_glmedsa.inference import Prompts
    from napari_glmedsa.samples import draw_lesion

    prepare_folder(output)
    sample = draw_lesion()
    rows, columns = np.nonzero(sample.mask)
    click = np.array([[columns.mean().round(), rows.mean().round()]])
    prompts = Prompts(click, np.array([1]))
    predictor = load_predictor(model_spec(None), "auto", "auto")
    prediction = predictor.predict(predictor.encode(sample.image), prompts)

    photograph = output / f"{_STEM}.png"
    mask, overlay = (
        output / f"{_STEM}{ending}.png" for ending in (MASK_ENDING, OVERLAY_ENDING)
    )
    write_image(photograph, sample.image)
    write_mask(mask, prediction.mask)
    write_overlay(overlay, sample.image, prediction.mask, prompts)
    x, y = click[0]
    typer.echo(f"One click at ({x:g}, {y:g}) on the sample lesion:")
    typer.echo(f"  photograph  {photograph}")
    typer.echo(f"  mask        {mask}")
    typer.echo(f"  overlay     {overlay}")
    typer.echo(
        f"Dice against the drawn truth: {dice(prediction.mask, sample.mask):.3f}"
    )
