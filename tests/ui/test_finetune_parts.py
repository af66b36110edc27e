"""The parts of the Fine-tune dock: curves, settings, table, gallery, words."""

from dataclasses import fields, replace

import numpy as np
import pytest
from fake_run import GATE, N_EPOCHS, events
from PIL import ImageColor
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QSpinBox
from segmenting import LONG

from napari_glmedsa.adapters.config import GLMedSAConfig
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.events import EpochEvent, NoticeEvent, StepEvent
from napari_glmedsa.training.gallery import GalleryItem
from napari_glmedsa.training.gate import METRICS
from napari_glmedsa.training.presets import PRESETS
from napari_glmedsa.training.status import RunStatus
from napari_glmedsa.ui.learning_curve import Curves, LearningCurve
from napari_glmedsa.ui.result_table import ResultTable
from napari_glmedsa.ui.run_gallery import RunGallery, draw_picture
from napari_glmedsa.ui.run_panel import moment, state_sentence
from napari_glmedsa.ui.run_snapshot import ProjectSnapshot
from napari_glmedsa.ui.styles import OUTLINE_COLORS
from napari_glmedsa.ui.training_form import TrainingForm

pytestmark = pytest.mark.ui


# -------------------------------------------------------------------------- curves


def test_curves_put_steps_within_their_epoch_and_validations_at_its_end():
    curves = Curves.from_events([*events(2), NoticeEvent("Memory ran out.")])
    assert curves.step_times.tolist() == [0.5, 1.0, 1.5, 2.0]
    assert curves.step_losses.tolist() == [1, 1 / 2, 1 / 3, 1 / 4]
    assert curves.loss_times.tolist() == [0.5, 1.5]
    assert curves.losses.tolist() == pytest.approx([3 / 4, 7 / 24])
    assert curves.dice_times.tolist() == [0, 1, 2]


def test_the_first_steps_of_an_unfinished_epoch_do_not_fill_it():
    curves = Curves.from_events([StepEvent(1, 1, 0.7, ("a",), 0.1)], steps_per_epoch=4)
    assert curves.step_times.tolist() == [0.25]


def test_the_last_epoch_that_was_best_is_marked():
    assert Curves.from_events(events(N_EPOCHS)).best == 3
    assert Curves.from_events([]).best is None


def test_a_curve_shows_the_best_epoch_in_words(qtbot):
    plot = LearningCurve()
    qtbot.addWidget(plot)
    plot.set_theme("light")
    plot.show_curves(Curves.from_events(events(N_EPOCHS)), n_epochs=N_EPOCHS)
    assert plot.best_words == "best 0.900, epoch 3"
    plot.show_curves(Curves())
    assert plot.best_words == ""


# ------------------------------------------------------------------------- settings


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_comes_through_the_form_unchanged(qtbot, name):
    form = TrainingForm(PRESETS["standard"].config)
    qtbot.addWidget(form)
    form.set_config(PRESETS[name].config)
    assert form.config() == PRESETS[name].config


def test_a_number_finer_than_the_form_shows_is_kept(qtbot):
    config = replace(PRESETS["standard"].config, learning_rate=1.23456789e-4)
    form = TrainingForm(config)
    qtbot.addWidget(form)
    assert form.config().learning_rate == 1.23456789e-4
    form.learning_rate.setValue(0.01)
    assert form.config().learning_rate == 0.01


def test_a_change_in_the_form_is_told_and_changes_the_settings(qtbot):
    form = TrainingForm(PRESETS["standard"].config)
    qtbot.addWidget(form)
    with qtbot.waitSignal(form.changed):
        form.epochs.setValue(7)
    form.loss.setCurrentIndex(form.loss.findData("bce"))
    form.sites["mlp"].setChecked(False)
    form.decoder.setChecked(True)
    config = form.config()
    assert (config.epochs, config.loss, config.mask_decoder) == (7, "bce", True)
    assert config.adapter.sites == ("attn", "block")


def test_every_setting_of_a_run_has_a_row(qtbot):
    other = TrainingConfig(
        adapter=GLMedSAConfig(sites=("mlp",), bottleneck_ratio=0.5, blocks="last:3"),
        mask_decoder=True,
        n_points=2,
        policy="random",
        loss="bce",
        optimizer="adam",
        schedule="constant",
        learning_rate=0.5,
        decoder_learning_rate=0.25,
        weight_decay=0.125,
        max_gradient_norm=None,
        epochs=7,
        batch_size=3,
        accumulation=4,
        patience=None,
        augmentation="none",
        precision="fp32",
        checkpointing="on",
        seed=5,
    )
    form, shown = TrainingForm(PRESETS["standard"].config), TrainingForm(other)
    qtbot.addWidget(form)
    qtbot.addWidget(shown)
    for name, widget in vars(form).items():  # as a hand would copy it
        if isinstance(widget, QSpinBox | QDoubleSpinBox):
            widget.setValue(getattr(shown, name).value())
        elif isinstance(widget, QComboBox):
            widget.setCurrentIndex(getattr(shown, name).currentIndex())
    form.decoder.setChecked(True)
    for site in ("attn", "block"):
        form.sites[site].setChecked(False)
    assert form.config() == other
    assert form.patience.text() == form.max_gradient_norm.text() == "never"
    rows = form.layout().rowCount()
    assert rows >= len(fields(TrainingConfig)) - 1  # `adapter` is three of them


def test_one_site_of_adapters_always_stays(qtbot):
    form = TrainingForm(PRESETS["gmed-sa"].config)
    qtbot.addWidget(form)
    assert not form.sites["block"].isEnabled()
    form.sites["attn"].setChecked(True)
    assert form.sites["block"].isEnabled()


def test_the_shape_of_an_adapter_that_is_continued_cannot_be_chosen(qtbot):
    form = TrainingForm(PRESETS["standard"].config)
    qtbot.addWidget(form)
    own = GLMedSAConfig(sites=("mlp",), bottleneck_ratio=0.123456789, blocks="last:2")
    form.keep_adapter(own)
    form.epochs.setValue(3)
    assert form.ratio.value() == 0.1235
    assert form.last_blocks.value() == 2
    assert [site for site, box in form.sites.items() if box.isChecked()] == ["mlp"]
    assert form.config().adapter == own
    form.set_config(PRESETS["paper"].config)
    assert form.config().adapter == own
    assert not form.ratio.isEnabled()
    assert not form.last_blocks.isEnabled()
    assert not any(box.isEnabled() for box in form.sites.values())
    form.keep_adapter(None)
    assert form.config() == PRESETS["paper"].config
    assert all(box.isEnabled() for box in form.sites.values())


# ---------------------------------------------------------------------------- result


def test_the_table_shows_before_and_after_for_each_number_of_clicks(qtbot):
    table = ResultTable()
    qtbot.addWidget(table)
    table.show_result(GATE)
    assert table.rows == [
        ("Dice", "0.800", "0.900", "0.810", "0.910"),
        ("IoU", "0.700", "0.850", "0.710", "0.860"),
        ("Thr. Jaccard", "0.600", "0.840", "0.610", "0.845"),
        ("Pooled Dice", "0.820", "0.920", "0.830", "0.930"),
        ("Pooled IoU", "0.695", "0.852", "0.709", "0.869"),
    ]
    assert table.minimumSizeHint().width() <= 300
    assert table.verdict.value == GATE.sentence
    assert "+0.100" in table.difference.value
    assert "+0.050 to +0.150" in table.difference.value
    assert "6 held-out images" in table.difference.value
    assert not table.difference.native.isHidden()
    table.show_result(GATE, verdict="Better (+0.050 to +0.150); it is in use.")
    assert table.difference.native.isHidden()  # the verdict says it
    table.show_result(None)
    assert table.rows == []
    assert table.isHidden()


def test_a_result_of_before_there_were_pooled_figures_has_the_means_alone(qtbot):
    table = ResultTable()
    qtbot.addWidget(table)
    before, after = (
        {name: side[name] for name in METRICS} for side in (GATE.before, GATE.after)
    )
    table.show_result(replace(GATE, before=before, after=after))
    assert [row[0] for row in table.rows] == ["Dice", "IoU", "Thr. Jaccard"]


def item(index: int) -> GalleryItem:
    lesion = draw_lesion(seed=index, size=(48, 64))
    shifted = np.roll(lesion.mask, 8, axis=1)
    return GalleryItem(
        f"lesion{index}", lesion.image, shifted, lesion.mask, lesion.mask, 0.7, 1.0
    )


def test_a_picture_has_the_three_outlines_and_is_enlarged_by_a_click(qtbot):
    picture = draw_picture(item(0))
    colours = {tuple(pixel) for pixel in picture.large.reshape(-1, 3)}
    assert {ImageColor.getrgb(one) for one in OUTLINE_COLORS.values()} <= colours
    gallery = RunGallery()
    qtbot.addWidget(gallery)
    gallery.show_pictures((picture,))
    qtbot.mouseClick(gallery.thumbnails[0], Qt.MouseButton.LeftButton)
    assert gallery.enlarged is not None
    assert "lesion0" in gallery.enlarged.windowTitle()
    qtbot.mouseClick(gallery.thumbnails[0], Qt.MouseButton.LeftButton)  # once more
    gallery.enlarged.close()
    qtbot.waitUntil(lambda: gallery.enlarged is None, timeout=LONG)


def test_a_gallery_has_at_most_six_pictures_and_can_be_emptied(qtbot):
    gallery = RunGallery()
    qtbot.addWidget(gallery)
    gallery.show_pictures(tuple(draw_picture(item(index)) for index in range(7)))
    assert len(gallery.thumbnails) == 6
    gallery.show_pictures(())
    assert not gallery.thumbnails
    assert gallery.isHidden()


# ----------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("counts", "said", "can_train"),
    [
        ({}, "No annotated image yet", False),
        ({"train": 1}, "1 annotated image cannot train", False),
        ({"train": 3}, "of another lesion", False),
        ({"train": 1, "val": 1}, "With only 1 held out", True),
        ({"train": 8, "val": 2, "test": 4}, "With only 4 held out", True),
        ({"train": 20, "val": 5, "test": 5}, "20 to train, 5 to validate", True),
    ],
)
def test_a_project_says_how_many_images_it_has_and_what_that_means(
    tmp_path, counts, said, can_train
):
    project = ProjectSnapshot(tmp_path, counts)
    assert said in project.sentence()
    assert project.can_train is can_train
    assert ("means little" in project.sentence()) == ("With only" in said)


def test_a_run_says_how_far_it_is():
    status = RunStatus(
        "running",
        epoch=3,
        n_epochs=20,
        eta_seconds=130.0,
        best_epoch=2,
        best_dice=0.876,
    )
    assert state_sentence(status) == (
        "Training. Epoch 3 of 20. About 2 min left. Best Dice 0.876 (epoch 2)."
    )


def test_a_run_that_failed_says_why():
    status = RunStatus("failed", message="The disk is full; make room and resume.")
    assert state_sentence(status).startswith("The disk is full")


def test_a_folder_that_is_not_named_by_time_keeps_its_name():
    assert moment("my-run") == "my-run"


@pytest.mark.parametrize("name", ["20261125T013000Z-abc", "20261125T013000123Z-abc"])
def test_a_run_is_called_by_the_time_of_its_making(name):
    assert moment(name).startswith("2026-11-2")


def test_an_epoch_before_training_is_drawn_at_zero():
    curves = Curves.from_events([EpochEvent(0, 5, 0.4, 0.3, best=True)])
    assert curves.dice_times.tolist() == [0]
    assert curves.best == 0
