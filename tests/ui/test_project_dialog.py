"""The dialog of a project lists its images, checks them and takes new ones in."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QWidget
from runs import drawn_project, new_run
from segmenting import LONG

from napari_glmedsa.images import write_image, write_mask
from napari_glmedsa.pairs import read_pair
from napari_glmedsa.project import arrivals
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.ui.finetune_form import MIN_WIDTH
from napari_glmedsa.ui.finetune_widget import FineTuneWidget
from napari_glmedsa.ui.project_dialog import ProjectDialog

pytestmark = pytest.mark.ui

SIZE = (48, 64)


@pytest.fixture
def project(tmp_path):
    return drawn_project(tmp_path / "moles", train=4, val=1, test=1)


@pytest.fixture
def folders(tmp_path):
    """Three more drawn lesions and their masks."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    for seed in range(10, 13):
        sample = draw_lesion(seed, SIZE)
        write_image(images / f"ISIC_{seed}.png", sample.image)
        write_mask(masks / f"ISIC_{seed}_segmentation.png", sample.mask)
    return SimpleNamespace(images=images, masks=masks)


@pytest.fixture
def dialog(qtbot, project, wait):
    parent = QWidget()
    qtbot.addWidget(parent)
    dialog = ProjectDialog(parent)
    dialog.present(project.root)
    wait(lambda: dialog.table.rowCount() == 6)
    yield dialog
    dialog.close_down()


def cells(dialog, column):
    table = dialog.table
    return [table.item(row, column).text() for row in range(table.rowCount())]


def fill(dialog, folders, *, masks=True, groups=None, part=None):
    dialog.import_button.click()
    form = dialog.form
    form.images.path_edit.setText(str(folders.images))
    form.masks.path_edit.setText(str(folders.masks) if masks else "")
    form.groups.path_edit.setText(str(groups or ""))
    form.part.setCurrentIndex(form.part.findData(part))
    form.button.click()


def said(dialog):
    return dialog.report.toPlainText()


def test_every_image_is_listed_with_part_group_mask_and_id(dialog, project):
    assert cells(dialog, 0) == [f"{seed}.png" for seed in range(6)]
    assert cells(dialog, 1) == [*["train"] * 4, "validate", "test"]
    assert cells(dialog, 2) == [str(seed) for seed in range(6)]
    assert cells(dialog, 3) == ["1 object"] * 6
    ids = {record.source: record.id for record in project.images()}
    shown = dict(zip(cells(dialog, 0), cells(dialog, 4), strict=True))
    assert all(ids[name].startswith(words) for name, words in shown.items())
    assert "6 images, 6 with a mask (4 train, 1 val, 1 test)" in dialog.summary.text()
    assert "moles" in dialog.windowTitle()


def test_a_project_without_fault_is_said_to_have_none(dialog, wait):
    dialog.check_button.click()
    assert not dialog.check_button.isEnabled()
    wait(lambda: "nothing is wrong" in said(dialog))
    assert dialog.check_button.isEnabled()


def test_a_check_shows_a_sentence_per_problem(dialog, project, registry, wait):
    new_run(project, registry)
    held_out = project.annotated("test")[0]
    plan = next(project.runs_folder.glob("*/config.json"))
    plan.write_text(plan.read_text().replace('"train": [', f'"train": ["{held_out}",'))
    (project.root / "images" / f"{project.annotated()[0]}.png").write_bytes(b"")
    dialog.check_button.click()
    wait(lambda: "2 problems" in said(dialog))
    assert "damaged" in said(dialog)
    assert "has trained in the run" in said(dialog)


def test_pairs_are_imported_and_what_was_refused_is_said(
    dialog, project, folders, wait
):
    write_mask(folders.masks / "ISIC_11_segmentation.png", np.zeros(SIZE, bool))
    write_image(folders.images / "alone.png", draw_lesion(20, SIZE).image)
    with_signal = []
    dialog.changed.connect(lambda: with_signal.append(True))
    fill(dialog, folders, part="test")
    wait(lambda: "Imported 2 of 3 pairs into Drawn lesions." in said(dialog))
    assert "ISIC_11_segmentation.png is empty" in said(dialog)
    assert "Left out 1 image(s) without a mask: alone.png." in said(dialog)
    wait(lambda: dialog.table.rowCount() == 8)
    assert len(project.annotated("test")) == 3
    assert with_signal
    dialog.form.button.click()
    wait(lambda: "2 were there already" in said(dialog))


def test_groups_are_read_from_a_table(dialog, project, folders, wait, tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("image,group\nISIC_10,p\nISIC_11,p\n")
    fill(dialog, folders, groups=table)
    wait(lambda: "Imported 3 of 3" in said(dialog))
    assert "gives no group to 1 of 3 images" in said(dialog)
    wait(lambda: cells(dialog, 2).count("p") == 2)
    table.write_text("nothing\n")
    dialog.form.button.click()
    wait(lambda: "has no columns image and group" in said(dialog))


def test_photographs_alone_wait_for_their_masks(dialog, project, folders, wait):
    (folders.images / "bad.png").write_bytes(b"no image")
    fill(dialog, folders, masks=False)
    wait(lambda: "Added 3 of 4 photographs" in said(dialog))
    assert "bad.png is not an image" in said(dialog)
    wait(lambda: cells(dialog, 3).count("none") == 3)
    assert len(project.annotated()) == 6


def test_an_image_that_has_trained_cannot_be_moved_to_the_test_part(
    dialog, project, registry, folders, wait
):
    new_run(project, registry)
    sample = draw_lesion(0, SIZE)
    write_image(folders.images / "0.png", sample.image)
    write_mask(folders.masks / "0.png", sample.mask)
    for path in folders.images.glob("ISIC*"):
        path.unlink()
    fill(dialog, folders, part="test")
    wait(lambda: "0.png has trained in the run" in said(dialog))
    assert "Imported 0 of 1 pairs" in said(dialog)


def test_folders_that_do_not_fit_are_one_sentence(dialog, folders, wait):
    for mask in folders.masks.iterdir():
        mask.unlink()
    fill(dialog, folders)
    wait(lambda: said(dialog).startswith("⚠ No mask in"))
    dialog.form.images.path_edit.setText("/nowhere")
    dialog.form.button.click()
    wait(lambda: said(dialog).startswith("⚠ The folder /nowhere cannot be read"))


def test_a_project_that_is_gone_is_one_sentence(dialog, project, wait):
    project.root.rename(project.root.with_name("away"))
    dialog.check_button.click()
    wait(lambda: "There is no folder" in said(dialog))
    wait(lambda: "There is no folder" in dialog.summary.text())
    assert dialog.table.rowCount() == 0


def test_an_import_never_halts_the_window_and_can_be_stopped(
    dialog, project, folders, wait, monkeypatch
):
    reading, go_on = threading.Event(), threading.Event()

    def slow(*files):
        reading.set()
        assert go_on.wait(LONG / 1000)
        return read_pair(*files)

    monkeypatch.setattr(arrivals, "read_pair", slow)
    fill(dialog, folders)
    wait(reading.is_set)  # the window lives meanwhile
    assert not dialog.form.button.isEnabled()
    dialog.stop_button.click()
    go_on.set()
    assert "Stopped" in said(dialog)
    wait(lambda: len(project.annotated()) == 7)  # the pair that was being read
    dialog.check_button.click()  # waits for the worker, which does no more
    wait(lambda: "nothing is wrong" in said(dialog))
    assert len(project.annotated()) == 7


def test_paths_can_be_looked_for(dialog, folders, monkeypatch, tmp_path):
    form = dialog.form
    assert not form.button.isEnabled()
    monkeypatch.setattr(
        QFileDialog, "getExistingDirectory", lambda *_: str(folders.images)
    )
    form.images.button.click()
    assert form.button.isEnabled()
    assert form.button.text() == "Add photographs"
    assert not form.groups.isEnabled()
    form.masks.button.click()
    assert form.button.text() == "Import pairs"
    table = str(tmp_path / "groups.csv")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (table, ""))
    form.groups.button.click()
    assert str(form.request().groups) == table


def test_the_dock_opens_the_dialog_and_counts_what_comes_in(
    make_napari_viewer_proxy, registry, project, folders, wait
):
    RecentProjects(registry.root).add(project.root)
    viewer = make_napari_viewer_proxy()
    widget = FineTuneWidget(viewer, registry)
    assert not widget.form.images_button.enabled  # nothing is known yet
    viewer.window.add_dock_widget(widget)
    wait(lambda: widget.form.images_button.enabled)
    widget.form.images_button.native.click()
    dialog = widget.projects.dialog
    assert dialog.root == project.root
    fill(dialog, folders)
    wait(lambda: "9 annotated images" in widget.form.images.value)
    widget.form.images_button.native.click()
    assert widget.projects.dialog is dialog
    assert widget.form.widget().minimumSizeHint().width() <= MIN_WIDTH
    widget.close_work()
