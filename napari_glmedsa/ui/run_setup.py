"""How the next training run should be: from which model, with which settings."""

from __future__ import annotations

from collections.abc import Sequence

from magicgui.widgets import ComboBox, PushButton
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_glmedsa.adapters.config import GLMedSAConfig
from napari_glmedsa.registry import ModelSpec
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.presets import DEFAULT_PRESET, PRESETS
from napari_glmedsa.ui import forms
from napari_glmedsa.ui.training_form import TrainingForm


class RunSetup(QWidget):
    """The widgets that describe a new run, and the button that starts it."""

    changed = Signal()
    """The run would be another one now."""

    def __init__(self) -> None:
        super().__init__()
        self._offered: list[tuple[str, ModelSpec]] = []
        self._shape = GLMedSAConfig()  # of the active adapter
        self._set_aside: ModelSpec | None = None
        self.start = forms.narrow(
            ComboBox(
                label="Start from",
                choices=[],
                tooltip="The active model goes on learning; a base alone starts afresh",
            )
        )
        self.preset = forms.narrow(
            ComboBox(
                label="Preset",
                choices=list(PRESETS),
                value=DEFAULT_PRESET,
                tooltip="Fills in every setting under Advanced",
            )
        )
        self.explanation = forms.paragraph(lines=2)
        self.advanced = TrainingForm(PRESETS[DEFAULT_PRESET].config)
        self.collapsible = forms.fold(
            "Advanced", self.advanced, "Every setting of the run"
        )
        self.estimate = forms.paragraph(lines=2)
        self.start_button = PushButton(
            text="Start", tooltip="Train in a process of its own; napari may be closed"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (
            forms.picker_rows(self.start, self.preset),
            self.explanation.native,
            self.collapsible,
            self.estimate.native,
            self.start_button.native,
        ):
            layout.addWidget(widget)
        self.preset.changed.connect(self._on_preset)
        self.start.changed.connect(self._on_start_model)
        self.advanced.changed.connect(self.changed)
        self._on_preset()

    @property
    def config(self) -> TrainingConfig:
        """The settings as chosen."""
        return self.advanced.config()

    @property
    def start_model(self) -> ModelSpec | None:
        """What the run starts from, None if no model is installed."""
        picked: ModelSpec | None = self.start.value
        return picked

    def offer_models(
        self,
        active: ModelSpec,
        specs: Sequence[ModelSpec],
        *,
        shape: GLMedSAConfig | None,
    ) -> None:
        """Offer the active model and every base alone; keep what is picked.

        Parameters
        ----------
        active, specs
            The active model, and all there are.
        shape
            Of the active model's adapter, if it has one that can be read.
        """
        self._shape = shape or GLMedSAConfig()
        bases = [spec for spec in specs if spec.adapter is None and spec != active]
        offered = [(f"active: {active.adapter or active.base}", active)]
        offered += [(f"base: {spec.base}", spec) for spec in bases]
        if offered != self._offered:
            self._offered = offered
            forms.offer(self.start, offered)
        self._keep_adapter()

    def _on_preset(self) -> None:
        preset = PRESETS[self.preset.value]
        self.explanation.value = preset.sentence
        self.advanced.set_config(preset.config)
        if preset.config.trains == "full" or preset.config.adapter != GLMedSAConfig():
            self._start_afresh()
        elif self._set_aside in self.start.choices:
            self.start.value = self._set_aside

    def _start_afresh(self) -> None:
        """Pick the base alone: an adapter that goes on learning keeps its shape.

        What was picked is set aside until a preset fits it again, or the user picks.
        """
        picked = self.start_model
        base = ModelSpec(picked.base) if picked is not None else None
        if base is not None and base != picked and base in self.start.choices:
            self.start.value = base
            self._set_aside = picked

    def _on_start_model(self) -> None:
        self._set_aside = None
        self._keep_adapter()
        self.changed.emit()

    def _keep_adapter(self) -> None:
        model = self.start_model
        keeps = model is not None and model.adapter is not None
        self.advanced.keep_adapter(self._shape if keeps else None)
