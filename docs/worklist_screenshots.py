"""Take the pictures of the Worklist dock anew, in a real napari window.

Run it with ``python docs/worklist_screenshots.py``, on a screen or under ``xvfb-run``;
it writes docs/images/worklist*.png.
"""

import os
import tempfile
from pathlib import Path

import napari
import numpy as np
from screenshots import IMAGES, WINDOW, middle, settle, take, wait

from napari_glmedsa.images import write_image
from napari_glmedsa.project import Provenance
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui.segment_widget import SegmentWidget
from napari_glmedsa.ui.worklist_widget import WorklistWidget
from napari_glmedsa.worklist import Order, Shown, Worklist, ordered

N_PHOTOGRAPHS = 9
RANKING = 600.0
SECONDS = 60.0


def fill(folder: Path) -> Worklist:
    """Make a folder of drawn lesions, on some of which something was done."""
    lesions = [draw_lesion(seed=seed, size=(360, 480)) for seed in range(N_PHOTOGRAPHS)]
    folder.mkdir(parents=True)
    for number, lesion in enumerate(lesions):
        write_image(folder / f"visit{number + 1:02}.png", lesion.image)
    worklist = Worklist.open(folder, spare=folder.parent)
    entries = ordered(worklist.entries(), Order.NAME)
    for entry, lesion in zip(entries[:2], lesions, strict=False):
        pixels = worklist.read(entry)
        own_id = worklist.project.add_image(pixels, source=entry.name)
        worklist.identify(entry, pixels)
        worklist.project.save_annotation(own_id, lesion.mask, [Provenance()])
    worklist.mark(entries[3], "flagged", by="Ada", note="hair")
    worklist.mark(entries[5], "skipped", by="Ada")
    return worklist


def picture(theme: str, registry: ModelRegistry, folder: Path) -> None:
    """Picture the window with both docks, one click in, before and after ranking."""
    viewer = napari.Viewer()
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    segment = SegmentWidget(viewer, registry)
    viewer.window.add_dock_widget(segment, name="Segment", area="right")
    dock = WorklistWidget(viewer, registry)
    viewer.window.add_dock_widget(dock, name="Worklist", area="right", tabify=True)
    dock.form.shown.value = Shown.ALL
    dock.open_folder(folder)
    photographs = dock.form.list.photographs
    wait(lambda: len(photographs.entries) == N_PHOTOGRAPHS)
    dock.open_photograph(photographs.entries[2])
    wait(lambda: "lesion mask" in viewer.layers, SECONDS)
    wait(lambda: segment.session.state is SessionState.READY, SECONDS)
    viewer.layers["lesion"].add(middle(draw_lesion(seed=2, size=(360, 480)).mask))
    wait(lambda: bool(np.asarray(viewer.layers["lesion mask"].data).any()), SECONDS)
    settle()
    take(viewer, f"worklist-{theme}")
    if theme == "dark":
        dock.form.order.value = Order.UNCERTAINTY
        dock.form.rank_button.native.click()
        wait(lambda: any(one.uncertainty for one in photographs.entries), RANKING)
        settle()
        take(viewer, "worklist-ranking")
        wait(lambda: not dock._ranking.is_running, RANKING)
        dock.form.shown.value = Shown.TO_DO
        settle()
        take(viewer, "worklist-ranked")
    dock.close_work()
    viewer.close()


def main() -> None:
    """Take every picture, with the built-in model alone."""
    IMAGES.mkdir(exist_ok=True)
    for theme in ("dark", "light"):
        with tempfile.TemporaryDirectory() as nothing_of_the_users:
            root = Path(nothing_of_the_users)
            os.environ["NAPARI_GLMEDSA_CACHE"] = str(root / "cache")
            fill(root / "photographs" / "clinic")
            registry = ModelRegistry(root / "registry")
            picture(theme, registry, root / "photographs" / "clinic")


if __name__ == "__main__":
    main()
