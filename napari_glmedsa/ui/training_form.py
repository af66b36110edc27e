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

from napari_glmedsa.adapters.config import AdapterSite, GLMedSAConfig
from napari_glmedsa.training.config import (
    AugmentationName,
    Checkpointing,
    LossName,
    OptimizerName,
    PromptPolicy,
    ScheduleName,
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
    "adam": "Adam",
    "adamw": "AdamW",
    "constant": "constant rate",
    "cosine": "warm-up, then cosine",
    "on": "always",
    "off": "never",
}

_NEVER = 0
"""What a box shows as "never" is None in the settings."""

_ALL_BLOCKS = 0
_LARGEST_SEED = 2**31 - 1
_MINIMUM_CHARACTERS = 8


class TrainingForm(QWidget):
    """A form over `TrainingConfig`; what it does not show stays as the preset says."""

    changed = Signal()

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        self._config = config
        self._kept: GLMedSAConfig | None = None
        self._tooltips: dict[QWidget, str] = {}
        self.epochs = self._whole(1, 1000)
        self.patience = self._whole(_NEVER, 1000, never=True)
        self.learning_rate = self._number(0.000001, 1, decimals=6, step=0.0001)
        self.decoder_learning_rate = self._number(0.000001, 1, decimals=6, step=0.0001)
        self.optimizer = self._choice(OptimizerName)
        self.schedule = self._choice(ScheduleName)
        self.weight_decay = self._number(0, 1, decimals=5, step=0.001)
        self.max_gradient_norm = self._number(
            _NEVER, 1000, decimals=3, step=0.5, never=True
        )
        self.trains = self._choice(Trains)
        sites = get_args(AdapterSite)
        self.sites = {site: QCheckBox(SITE_WORDS[site]) for site in sites}
        self.ratio = self._number(0.001, 1, decimals=4, step=0.0625)
        self.last_blocks = self._whole(_ALL_BLOCKS, 64)
        self.last_blocks.setSpecialValueText("all")
        self.decoder = QCheckBox("trained too")
        self.n_points = self._whole(1, 10)
        self.policy = self._choice(PromptPolicy)
        self.loss = self._choice(LossName)
        self.augmentation = self._choice(AugmentationName)
        self.precision = self._choice(TrainingPrecision)
        self.batch_size = self._whole(1, 64)
        self.accumulation = self._whole(1, 64)
        self.checkpointing = self._choice(Checkpointing)
        self.seed = self._whole(0, _LARGEST_SEED)
        for box in (self.decoder, *self.sites.values()):
            box.toggled.connect(self._on_changed)
        self._lay_out()
        self.set_config(config)

    def config(self) -> TrainingConfig:
        """Return the settings as they stand in the form."""
        shown, shape = self._config, self._kept or self._config.adapter
        n_blocks = self.last_blocks.value()
        adapter = replace(
            shape,
            sites=tuple(site for site, box in self.sites.items() if box.isChecked())
            or shape.sites,
            bottleneck_ratio=self._exact(self.ratio, shape.bottleneck_ratio),
            blocks="all" if n_blocks == _ALL_BLOCKS else f"last:{n_blocks}",
        )
        longest = self._exact(self.max_gradient_norm, shown.max_gradient_norm or _NEVER)
        return replace(
            shown,
            adapter=adapter,
            epochs=self.epochs.value(),
            patience=self.patience.value() or None,
            learning_rate=self._exact(self.learning_rate, shown.learning_rate),
            decoder_learning_rate=self._exact(
                self.decoder_learning_rate, shown.decoder_learning_rate
            ),
            optimizer=self.optimizer.currentData(),
            schedule=self.schedule.currentData(),
            weight_decay=self._exact(self.weight_decay, shown.weight_decay),
            max_gradient_norm=longest or None,
            trains=self.trains.currentData(),
            mask_decoder=self.decoder.isChecked(),
            n_points=self.n_points.value(),
            policy=self.policy.currentData(),
            loss=self.loss.currentData(),
            augmentation=self.augmentation.currentData(),
            precision=self.precision.currentData(),
            batch_size=self.batch_size.value(),
            accumulation=self.accumulation.value(),
            checkpointing=self.checkpointing.currentData(),
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
                widget.setValue(_NEVER if value is None else value)
            elif isinstance(widget, QComboBox):
                widget.setCurrentIndex(widget.findData(value))
        self.decoder.setChecked(config.mask_decoder)
        self._show_shape()
        self.blockSignals(False)
        self._on_changed()

    def keep_adapter(self, shape: GLMedSAConfig | None) -> None:
        """Show the shape of an adapter that is continued, which cannot be chosen.

        None lets the shape be chosen, as the preset has it to begin with.
        """
        if shape == self._kept:
            return
        keeps, self._kept = shape is not None, shape
        boxes = (*self.sites.values(), self.ratio, self.last_blocks, self.trains)
        for widget in boxes:
            widget.setEnabled(not keeps)
            own = self._tooltips[widget]
            widget.setToolTip("As in the adapter that is continued" if keeps else own)
        self.blockSignals(True)
        self._show_shape()
        self.blockSignals(False)
        self._on_changed()

    def _show_shape(self) -> None:
        shape = self._kept or self._config.adapter
        self.ratio.setValue(shape.bottleneck_ratio)
        number = shape.blocks.removeprefix("last:")
        self.last_blocks.setValue(_ALL_BLOCKS if number == "all" else int(number))
        for site, box in self.sites.items():
            box.setChecked(site in shape.sites)

    def _on_changed(self, *_: object) -> None:
        whole = self.trains.currentData() == "full"
        self.decoder.setEnabled(not whole)
        self.decoder_learning_rate.setEnabled(whole or self.decoder.isChecked())
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
            ("Patience", self.patience, "Epochs without a better validation"),
            ("Learning rate", self.learning_rate, "Length of the steps"),
            ("Decoder's rate", self.decoder_learning_rate, "If the decoder is trained"),
            ("Optimiser", self.optimizer, "How a gradient becomes a step"),
            ("Schedule", self.schedule, "How the learning rate goes on"),
            ("Weight decay", self.weight_decay, "Pulls weights towards zero"),
            ("Clip gradient", self.max_gradient_norm, "A longer one is shortened"),
            ("Trains", self.trains, "Adapters leave the base model as it is"),
            ("Adapters at", sites, "GL-Med-SA has all three sites"),
            ("Bottleneck", self.ratio, "Width of an adapter, of the encoder's width"),
            ("Last blocks", self.last_blocks, "Only those nearest to the output"),
            ("Mask decoder", self.decoder, "Draws the mask from the encoded image"),
            ("Clicks", self.n_points, "Simulated clicks per lesion"),
            ("Click where", self.policy, "Clicks after the first"),
            ("Loss", self.loss, "What is made small"),
            ("Augmentation", self.augmentation, "Makes more of few images"),
            ("Precision", self.precision, "Automatic takes bf16 where it is faster"),
            ("Batch size", self.batch_size, "Images at once; halved if memory ends"),
            ("Accumulation", self.accumulation, "Batches per step"),
            (
                "Save memory",
                self.checkpointing,
                "Compute activations again instead of keeping them; slower",
            ),
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
            for box in self.sites.values() if field is sites else (field,):
                self._tooltips[box] = tooltip
                box.setToolTip(tooltip)

    def _whole(self, low: int, high: int, *, never: bool = False) -> QSpinBox:
        box = QSpinBox()
        box.setRange(low, high)
        box.setSpecialValueText("never" if never else "")
        box.valueChanged.connect(self._on_changed)
        return box

    def _number(
        self,
        low: float,
        high: float,
        *,
        decimals: int,
        step: float,
        never: bool = False,
    ) -> QDoubleSpinBox:
        box = QDoubleSpinBox()
        box.setSpecialValueText("never" if never else "")
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
