"""Take the pictures of the export dialog anew, in a real napari window.

Run it with ``python docs/export_screenshots.py``, on a screen or under ``xvfb-run``; it
writes docs/images/export*.png.
"""

import tempfile
from contextlib import chdir
from pathlib import Path

import napari
import numpy as np
from screenshots import IMAGES, WINDOW, settle, wait

from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.ui.export_dialog import ExportDialog
from napari_glmedsa.ui.project_dialog import ProjectDialog


def annotated_project(folder: Path) -> AnnotationProject:
    """Make a project of drawn lesions and their masks."""
    project = AnnotationProject.create(folder)
    for seed in range(6):
        lesion = draw_lesion(seed=seed, size=(240, 320))
        image = project.add_image(lesion.image, source=f"mole{seed}.jpg")
        project.save_annotation(image, lesion.mask.astype(np.uint16), [Provenance()])
    return project


def picture(theme: str, root: Path) -> None:
    """Picture the dialog of the project, and that of an export that is done."""
    viewer = napari.Viewer()
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    window = viewer.window._qt_window
    images = ProjectDialog(window)
    images.present(root)
    wait(lambda: images.table.rowCount() == 6)
    images.export_button.click()
    dialog = images.export
    assert isinstance(dialog, ExportDialog)
    choice = dialog.form.format
    choice.setCurrentIndex(choice.findData("dicom-seg"))
    dialog.form.output.path_edit.setText("moles-dicom-seg")
    dialog.export_button.click()
    wait(lambda: "Exported" in dialog.report.text())
    settle()
    dialog.grab().save(str(IMAGES / f"export-{theme}.png"))
    images.close_down()
    viewer.close()


def main() -> None:
    """Take every picture."""
    IMAGES.mkdir(exist_ok=True)
    for theme in ("dark", "light"):
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            picture(theme, annotated_project(Path(folder) / "moles").root)


if __name__ == "__main__":
    main()
