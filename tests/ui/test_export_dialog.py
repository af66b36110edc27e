"""The export dialog asks for format and place, exports aside, and can be stopped."""

import threading

import numpy as np
import pytest
import tifffile
from dicoms import write_dicom
from pycocotools.coco import COCO
from qtpy.QtWidgets import QFileDialog, QWidget
from runs import drawn_project

from napari_glmedsa.export import FORMAT_NAMES, FORMATS
from napari_glmedsa.images import write_image
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.ui import export_dialog
from napari_glmedsa.ui.export_dialog import ExportDialog
from napari_glmedsa.ui.project_dialog import ProjectDialog

pytestmark = pytest.mark.ui


@pytest.fixture
def project(tmp_path):
    return drawn_project(tmp_path / "moles", train=3, val=1, test=1)


@pytest.fixture
def parent(qtbot):
    parent = QWidget()
    qtbot.addWidget(parent)
    return parent


@pytest.fixture
def dialog(project, parent):
    dialog = ExportDialog(project.root, parent)
    dialog.show()
    yield dialog
    dialog.close_down()


def choose(dialog, name):
    dialog.form.format.setCurrentIndex(dialog.form.format.findData(name))


def export(dialog, wait):
    dialog.export_button.click()
    wait(lambda: not dialog.stop_button.isEnabled())
    return dialog.report.text()


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_every_format_is_written_where_it_is_suggested(dialog, tmp_path, wait, name):
    choose(dialog, name)
    assert dialog.form.about.text() == FORMATS[name].about
    output = tmp_path / f"moles-{name}{FORMATS[name].suffix}"
    said = export(dialog, wait)
    assert f"Exported 5 images as {FORMATS[name].title} to {output}." in said
    assert output.exists()
    assert "already" in export(dialog, wait)
    dialog.form.overwrite.setChecked(True)
    assert "Exported 5 images" in export(dialog, wait)


def test_the_pixels_are_those_of_the_project(dialog, project, tmp_path, wait):
    choose(dialog, "tiff")
    export(dialog, wait)
    for record in project.images():
        stem = record.source.removesuffix(".png")
        stored = tifffile.imread(tmp_path / "moles-tiff" / f"{stem}_segmentation.tif")
        assert np.array_equal(stored, project.label_map(record.id))


def test_the_options_of_a_format_are_shown_and_meant(dialog, project, tmp_path, wait):
    form = dialog.form
    choose(dialog, "isic-png")
    assert form.options.currentWidget() is form.largest
    form.largest.setChecked(True)
    assert form.request().pieces == "largest"
    choose(dialog, "coco")
    form.polygons.setChecked(True)
    form.part.setCurrentIndex(form.part.findData("train"))
    assert "Exported 3 images" in export(dialog, wait)
    coco = COCO(str(tmp_path / "moles-coco.json"))
    assert all(isinstance(one["segmentation"], list) for one in coco.anns.values())
    choose(dialog, "csv")
    assert form.options.currentWidget() is form.no_options
    choose(dialog, "dicom-seg")
    sources = tmp_path / "sources"
    sources.mkdir()
    for record in project.images():
        write_dicom(sources / f"{record.id}.dcm", project.image(record.id))
    form.sources.path_edit.setText(str(sources))
    assert "secondary" not in export(dialog, wait)


def test_another_format_keeps_the_folder_that_was_chosen(dialog, tmp_path, monkeypatch):
    other = tmp_path / "elsewhere"
    monkeypatch.setattr(
        QFileDialog, "getExistingDirectory", lambda *_: str(other), raising=True
    )
    dialog.form.output.button.click()
    assert dialog.form.request().output == other / "moles-isic-png"
    choose(dialog, "coco")
    assert dialog.form.request().output == other / "moles-coco.json"
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *_, **__: (str(other / "mine"), "")
    )
    dialog.form.output.button.click()
    assert dialog.form.request().output == other / "mine.json"


def test_without_a_place_nothing_can_be_exported(dialog):
    dialog.form.output.path_edit.setText(" ")
    assert not dialog.export_button.isEnabled()


@pytest.fixture
def held_up(monkeypatch, request):
    """An export that halts after some image until it is let go."""
    after = getattr(request, "param", 1)
    reached, let_go = threading.Event(), threading.Event()
    real = export_dialog.export

    def slow(project, request, *, step):
        def halting(done, total):
            step(done, total)
            if done == after:
                reached.set()
                assert let_go.wait(60)

        return real(project, request, step=halting)

    monkeypatch.setattr(export_dialog, "export", slow)
    yield reached, let_go
    let_go.set()


@pytest.mark.parametrize("way", ["stop_button", "close_button", "escape"])
def test_an_export_can_be_stopped_and_leaves_nothing(
    dialog, tmp_path, wait, held_up, way
):
    reached, let_go = held_up
    dialog.export_button.click()
    wait(reached.is_set)
    assert not dialog.form.isEnabled()
    wait(lambda: dialog.progress.maximum() == 5 and dialog.progress.value() == 1)
    if way == "escape":
        dialog.reject()
    else:
        getattr(dialog, way).click()
    assert dialog.report.text() == "Stopped. Nothing was written."
    let_go.set()
    wait(lambda: sorted(path.name for path in tmp_path.iterdir()) == ["moles"])
    assert dialog.form.isEnabled()


@pytest.mark.parametrize("held_up", [5], indirect=True)
def test_a_stop_that_comes_too_late_is_said(dialog, tmp_path, wait, held_up):
    reached, let_go = held_up
    dialog.export_button.click()
    wait(reached.is_set)
    dialog.stop_button.click()
    let_go.set()
    wait(lambda: "Exported 5 images" in dialog.report.text())
    assert (tmp_path / "moles-isic-png").exists()


def test_a_mistake_is_one_sentence_and_the_dialog_goes_on(dialog, tmp_path, wait):
    (tmp_path / "file").write_text("in the way")
    dialog.form.output.path_edit.setText(str(tmp_path / "file" / "out"))
    assert "choose a place that you may write to" in export(dialog, wait)
    dialog.form.output.path_edit.setText(str(tmp_path / "out"))
    assert "Exported 5 images" in export(dialog, wait)


def test_a_missing_package_is_named(dialog, wait, monkeypatch):
    monkeypatch.setattr("napari_glmedsa.extras.find_spec", lambda _: None)
    choose(dialog, "coco")
    assert 'pip install "napari-glmedsa[export]"' in export(dialog, wait)


def test_the_projects_dialog_opens_it(project, parent, qtbot, wait, tmp_path):
    images = ProjectDialog(parent)
    images.present(project.root)
    images.export_button.click()
    opened = images.export
    assert opened.isVisible()
    assert opened.project_folder == project.root
    images.export_button.click()
    assert images.export is opened
    other = drawn_project(tmp_path / "others", train=1, val=1, test=1)
    images.present(other.root)
    images.export_button.click()
    assert images.export.project_folder == other.root
    images.close_down()


@pytest.mark.parametrize("name", ["label-map", "coco", "dicom-seg"])
def test_what_was_exported_can_be_imported_from_the_dialog(
    dialog, project, parent, tmp_path, wait, name, monkeypatch
):
    choose(dialog, name)
    export(dialog, wait)
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for record in project.images():
        write_image(photographs / record.source, project.image(record.id))
    there = AnnotationProject.create(tmp_path / "there")
    images = ProjectDialog(parent)
    images.present(there.root)
    form = images.form
    form.images.path_edit.setText(str(photographs))
    assert not form.kind.isEnabled()
    masks = str(dialog.form.request().output)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (masks, ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: masks)
    form.kind.setCurrentIndex(form.kind.findData(name))
    form.masks.button.click()
    assert form.kind.isEnabled()
    form.button.click()
    wait(lambda: "Imported 5 of 5 pairs" in images.report.toPlainText())
    for record in project.images():
        assert np.array_equal(there.label_map(record.id), project.label_map(record.id))
    images.close_down()
