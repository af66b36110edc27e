"""Take the pictures of the fine-tuning tutorial anew: a real run in a real window.

Run it with ``make screenshots``; it writes docs/images/finetune*.png.
"""

import tempfile
from pathlib import Path

import napari
from screenshots import IMAGES, WINDOW, settle, take, wait

from napari_glmedsa.project import AnnotationProject, Provenance, Split
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.training.status import RunStatus
from napari_glmedsa.ui.finetune_form import RUNS, FineTuneForm
from napari_glmedsa.ui.finetune_widget import FineTuneWidget

SPLITS: list[Split] = ["train"] * 6 + ["val"] * 3 + ["test"] * 5
N_EPOCHS = 12
VERY_LONG = 1800.0


def annotated_project(folder: Path) -> AnnotationProject:
    """Make a project of drawn lesions and their masks."""
    project = AnnotationProject.create(folder)
    for seed, split in enumerate(SPLITS):
        lesion = draw_lesion(seed=seed, size=(240, 320))
        source = f"lesion{seed}.png"
        name = project.add_image(lesion.image, source=source, split=split)
        project.save_annotation(name, lesion.mask, [Provenance()])
    return project


def open_dock(theme: str, registry: ModelRegistry) -> FineTuneWidget:
    """Open napari with the dock and wait until it knows the project."""
    viewer = napari.Viewer()
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    viewer.add_image(draw_lesion(seed=0).image, name="lesion photo")
    dock = FineTuneWidget(viewer, registry)
    viewer.window.add_dock_widget(dock, name="Fine-tune", area="right")
    wait(lambda: dock.look.project is not None)
    return dock


def photograph(form: FineTuneForm, name: str, *, bottom: bool = False) -> None:
    """Picture the window, scrolled to one end of the dock."""
    settle()
    bar = form.verticalScrollBar()
    bar.setValue(bar.maximum() if bottom else 0)
    settle()
    viewer = napari.current_viewer()
    assert viewer is not None
    take(viewer, name)


def picture_images(dock: FineTuneWidget) -> None:
    """Picture the dialog of the project after a check, with the form unfolded."""
    dock.form.images_button.native.click()
    dialog = dock.projects.dialog
    assert dialog is not None
    wait(lambda: dialog.table.rowCount() == len(SPLITS))
    dialog.import_button.click()
    for row, folder in ((dialog.form.images, "images"), (dialog.form.masks, "masks")):
        row.path_edit.setText(f"~/dermoscopy/{folder}")
    dialog.check_button.click()
    wait(dialog.check_button.isEnabled)
    settle()
    dialog.grab().save(str(IMAGES / "finetune-images.png"))
    dialog.close()


def fine_tune(registry: ModelRegistry) -> None:
    """Picture the dock before, during and after a run."""
    dock = open_dock("dark", registry)
    form, setup = dock.form, dock.form.setup
    setup.preset.value = "quick"
    setup.advanced.epochs.setValue(N_EPOCHS)
    wait(lambda: "GB" in setup.estimate.value)
    photograph(form, "finetune-before")
    picture_images(dock)
    setup.collapsible.expand(animate=False)
    photograph(form, "finetune-advanced")
    setup.collapsible.collapse(animate=False)
    setup.start_button.native.click()
    wait(lambda: dock.look.run is not None)

    def status() -> RunStatus:
        assert dock.look.run is not None
        if dock.look.run.status.can_resume:
            raise RuntimeError(dock.look.run.status.message)
        return dock.look.run.status

    wait(lambda: status().epoch > N_EPOCHS // 3, VERY_LONG)
    photograph(form, "finetune-during")
    wait(lambda: not status().is_active, VERY_LONG)
    wait(lambda: bool(form.run.gallery.thumbnails))
    photograph(form, "finetune-after")
    photograph(form, "finetune-after-pictures", bottom=True)
    form.run.gallery.thumbnails[0].clicked.emit(form.run.gallery.thumbnails[0].shown)
    settle()
    assert form.run.gallery.enlarged is not None
    form.run.gallery.enlarged.grab().save(str(IMAGES / "finetune-picture.png"))
    dock.close_work()
    napari.current_viewer().close()

    dock = open_dock("light", registry)
    dock.form.show_page(RUNS)
    wait(lambda: bool(dock.form.run.gallery.thumbnails))
    photograph(dock.form, "finetune-light")
    dock.close_work()
    napari.current_viewer().close()


def main() -> None:
    """Take every picture, with the built-in model and nothing of the user's."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        registry = ModelRegistry(Path(folder) / "registry")
        project = annotated_project(Path(folder) / "moles")
        RecentProjects(registry.root).add(project.root)
        fine_tune(registry)


if __name__ == "__main__":
    main()
