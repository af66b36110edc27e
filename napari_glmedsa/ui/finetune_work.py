"""What the worker of the "Fine-tune" dock does: every touch of files and models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from napari_glmedsa.activation import ActiveModel
from napari_glmedsa.adapters.card import read_card
from napari_glmedsa.adapters.config import GLMedSAConfig
from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.project import AnnotationProject, Split
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.estimate import estimate_run
from napari_glmedsa.training.run import TrainingRun
from napari_glmedsa.ui.pytorch import prepare_pytorch
from napari_glmedsa.ui.run_snapshot import (
    Look,
    read_project,
    read_run,
)

Verb = Literal["pause", "resume", "cancel"]


class FineTuneWork:
    """Reads and steers runs for the dock; not for the Qt thread.

    Parameters
    ----------
    registry : ModelRegistry
        Where models come from and go to.
    """

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self._active = ActiveModel(registry)
        self._recent = RecentProjects(registry.root)
        self._project: AnnotationProject | None = None

    def look(
        self, root: Path | None, run: Path | None, known: Look, *, whole: bool
    ) -> Look:
        """Read what changed.

        Parameters
        ----------
        root, run : Path or None
            Folders of project and run to show; without a run, the one that matters
            most: an unfinished one, else the newest.
        known : Look
            What was read before.
        whole : bool
            Read the project and the models, too, not only the run.
        """
        if known.root != root:
            known = replace(known, root=root, project=None, run=None)
        whole = whole or bool(known.problem)  # is it still one?
        if whole:
            known = replace(known, recent=self._recent.paths())
        try:
            if whole or known.active is None:
                known = self._look_at_models(known)
            if root is not None and (whole or known.project is None):
                known = replace(known, project=read_project(self._open(root)))
            if run is None and known.project is not None:
                run = known.project.run_that_matters
            if run is not None:
                known = replace(known, run=read_run(run, known.run))
        except GLMedSAError as error:
            return replace(known, problem=str(error))
        return replace(known, problem="")

    def _look_at_models(self, known: Look) -> Look:
        active = self._active.current()
        return replace(
            known,
            active=active,
            shape=self._shape_of(active),
            can_roll_back=self._active.can_roll_back,
            models=tuple(self._registry.specs()),
        )

    def _shape_of(self, model: ModelSpec) -> GLMedSAConfig | None:
        try:
            if model.adapter is not None:
                return read_card(self._registry.adapter_path(model.adapter)).config
        except GLMedSAError:  # a run says so when it is to start from it
            pass
        return None

    def _open(self, root: Path) -> AnnotationProject:
        # Opened each time, because it may be gone, and kept all the same, because it
        # remembers what it has read.
        now = AnnotationProject.open(root)
        if self._project is None or (self._project.root, self._project.name) != (
            now.root,
            now.name,
        ):
            self._project = now
        return self._project

    def remember(self, root: Path) -> None:
        """Remember a project as the one used last."""
        self._recent.add(root)

    def start(self, root: Path, model: ModelSpec, config: TrainingConfig) -> Path:
        """Make a run and launch its process; return the run's folder."""
        run = TrainingRun.create(
            self._open(root), model, config, registry=self._registry
        )
        try:
            run.launch(self._registry)
        except GLMedSAError:
            run.cancel()  # or it would wait for ever
            raise
        return run.folder

    def steer(self, folder: Path, verb: Verb) -> None:
        """Pause, resume or cancel a run."""
        run = TrainingRun.open(folder)
        if verb == "pause":
            run.pause()
        elif verb == "resume":
            run.resume(self._registry)
        else:
            run.cancel()

    def activate(self, model: ModelSpec) -> None:
        """Let a model answer the next clicks."""
        self._active.activate(model)

    def roll_back(self) -> None:
        """Return to the model that was active before."""
        self._active.roll_back()

    def estimate(
        self, model: ModelSpec, config: TrainingConfig, counts: Mapping[Split, int]
    ) -> str:
        """Return how long a run would take and how much memory, as a sentence."""
        prepare_pytorch()
        images = {str(split): number for split, number in counts.items()}
        try:
            return estimate_run(self._registry, model, config, images).sentence()
        except GLMedSAError as error:
            return f"Time and memory cannot be estimated: {error}"
