"""Every setting of a training run that a preset decides, to be changed one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_args

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QSpinBox,
    QWidget,
)

from napari_glmedsa.adapters.config import AdapterSite
from napari_glmedsa.training.config import (
    AugmentationName,
    LossName,
    PromptPolicy,
    TrainingConfig,
    TrainingPrecision,
    Trains,
)

SITE_WORDS: Mapping[str, str] = {"attn": "attention", "mlp": "MLP", "block": "block"}
CHOICE_WORDS: Mapping[str, str] = {
    "adapters": "adapters only",
    "full": "whole encoder and decoder",
    "iterative": "where lesion is missed",
    "random": "anywhere on the lesion",
    "mixed": "mixed, also corrections",
    "bce": "weighted cross-entropy",
    "dice_ce": "Dice + cross-entropy",
    "focal_dice": "focal + Dice",
    "none": "none",
    "standard": "turn, flip, reframe, relight",
    "auto": "automatic",
}

_LARGEST_SEED = 2**31 - 1
_MINIMUM_CHARACTERS = 8


class TrainingForm(QWidget):
    """A form over `TrainingConfig`; what it does not show stays as the preset says."""

    changed = Signal()

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        self._config = config
        self.epochs = self._whole(1, 1000)
        self.learning_rate = self._number(0.000001, 1, decimals=6, step=0.0001)
        self.trains = self._choice(Trains)
        sites = get_args(AdapterSite)
        self.sites = {site: QCheckBox(SITE_WORDS[site]) for site in sites}
        self.ratio = self._number(0.001, 1, decimals=4, step=0.0625)
        self.decoder = QCheckBox("trained too")
        self.n_points = self._whole(1, 10)
        self.policy = self._choice(PromptPolicy)
        self.loss = self._choice(LossName)
        self.augmentation = self._choice(AugmentationName)
        self.precision = self._choice(TrainingPrecision)
        self.batch_size = self._whole(1, 64)
        self.seed = self._whole(0, _LARGEST_SEED)
        for box in (self.decoder, *self.sites.values()):
            box.toggled.connect(self._on_changed)
        self._lay_out()
        self.set_config(config)

    def config(self) -> TrainingConfig:
        """Return the settings as they stand in the form."""
        adapter = replace(
            self._config.adapter,
            sites=tuple(site for site, box in self.sites.items() if box.isChecked())
            or self._config.adapter.sites,
            bottleneck_ratio=self._exact(
                self.ratio, self._config.adapter.bottleneck_ratio
            ),
        )
        return replace(
            self._config,
            adapter=adapter,
            epochs=self.epochs.value(),
            learning_rate=self._exact(self.learning_rate, self._config.learning_rate),
            trains=self.trains.currentData(),
            mask_decoder=self.decoder.isChecked(),
            n_points=self.n_points.value(),
            policy=self.policy.currentData(),
            loss=self.loss.currentData(),
            augmentation=self.augmentation.currentData(),
            precision=self.precision.currentData(),
            batch_size=self.batch_size.value(),
            seed=self.seed.value(),
        )

    def set_config(self, config: TrainingConfig) -> None:
        """Fill the form anew."""
        self._config = config
        shown = {field.name: getattr(config, field.name) for field in fields(config)}
        self.blockSignals(True)
        for name, value in shown.items():
            widget = getattr(self, name, None)
            if isinstance(widget, QSpinBox | QDoubleSpinBox):
                widget.setValue(value)
            elif isinstance(widget, QComboBox):
                widget.setCurrentIndex(widget.findData(value))
        self.ratio.setValue(config.adapter.bottleneck_ratio)
        self.decoder.setChecked(config.mask_decoder)
        for site, box in self.sites.items():
            box.setChecked(site in config.adapter.sites)
        self.blockSignals(False)
        self._on_changed()

    def keep_adapter(self, keeps: bool) -> None:
        """Say whether an adapter is continued, whose shape cannot be chosen."""
        for widget in (*self.sites.values(), self.ratio, self.trains):
            widget.setEnabled(not keeps)
            widget.setToolTip("As in the adapter that is continued" if keeps else "")

    def _on_changed(self, *_: object) -> None:
        whole = self.trains.currentData() == "full"
        self.decoder.setEnabled(not whole)
        checked = [box for box in self.sites.values() if box.isChecked()]
        for box in self.sites.values():  # one site must stay
            box.setEnabled(self.ratio.isEnabled() and checked != [box])
        self.changed.emit()

    def _lay_out(self) -> None:
        sites = QHBoxLayout()
        sites.setContentsMargins(0, 0, 0, 0)
        for box in self.sites.values():
            sites.addWidget(box)
        rows: tuple[tuple[str, Any, str], ...] = (
            ("Epochs", self.epochs, "How often every image is seen, at most"),
            ("Learning rate", self.learning_rate, "Length of the steps"),
            ("Trains", self.trains, "Adapters leave the base model as it is"),
            ("Adapters at", sites, "GL-Med-SA has all three sites"),
            ("Bottleneck", self.ratio, "Width of an adapter, of the encoder's width"),
            ("Mask decoder", self.decoder, "Draws the mask from the encoded image"),
            ("Clicks", self.n_points, "Simulated clicks per lesion"),
            ("Click where", self.policy, "Clicks after the first"),
            ("Loss", self.loss, "What is made small"),
            ("Augmentation", self.augmentation, "Makes more of few images"),
            ("Precision", self.precision, "Automatic takes bf16 where it is faster"),
            ("Batch size", self.batch_size, "Images per step; halved if memory ends"),
            ("Seed", self.seed, "Equal seeds give equal runs"),
        )
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(3)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for word, field, tooltip in rows:
            label = QLabel(word)
            label.setToolTip(tooltip)
            layout.addRow(label, field)

    def _whole(self, low: int, high: int) -> QSpinBox:
        box = QSpinBox()
        box.setRange(low, high)
        box.valueChanged.connect(self._on_changed)
        return box

    def _number(
        self, low: float, high: float, *, decimals: int, step: float
    ) -> QDoubleSpinBox:
        box = QDoubleSpinBox()
        box.setDecimals(decimals)
        box.setRange(low, high)
        box.setSingleStep(step)
        box.valueChanged.connect(self._on_changed)
        return box

    def _choice(self, names: Any) -> QComboBox:
        box = QComboBox()
        for name in get_args(names):
            box.addItem(CHOICE_WORDS.get(name, name), name)
        box.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        box.setMinimumContentsLength(_MINIMUM_CHARACTERS)
        box.currentIndexChanged.connect(self._on_changed)
        return box

    @staticmethod
    def _exact(box: QDoubleSpinBox, shown: float) -> float:
        """Return the number behind the rounded one, unless it was changed."""
        return shown if box.value() == round(shown, box.decimals()) else box.value()
