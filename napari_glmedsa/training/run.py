"""A training run: a folder that a process of its own works in, and the way to it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self
from uuid import uuid4

from napari_glmedsa.errors import TrainingError
from napari_glmedsa.files import read_json, write_json
from napari_glmedsa.process_id import ProcessId
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.registry import ModelRegistry, ModelSpec, default_root
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.events import TrainingEvent
from napari_glmedsa.training.gallery import GalleryItem, read_gallery
from napari_glmedsa.training.gate import GateResult
from napari_glmedsa.training.metrics import read_events
from napari_glmedsa.training.plan import (
    Activation,
    RunPlan,
    make_plan,
    read_plan,
    write_plan,
)
from napari_glmedsa.training.process import second_run, start_detached
from napari_glmedsa.training.status import RunStatus, read_status

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAN, _LAUNCHED = "config.json", "launched.json"


class TrainingRun:
    """One fine-tuning: what was asked, how far it is, and what came of it.

    Everything is in the folder, so any process may look at it, and none need live
    as long as the run. No method imports torch but `execute`.

    Parameters
    ----------
    folder
        ``<project>/runs/<run>``; `create`, `open` and `runs` make the object.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(
        cls,
        project: AnnotationProject,
        start: ModelSpec,
        config: TrainingConfig,
        *,
        compare_with: ModelSpec | None = None,
        name: str | None = None,
        device: str = "auto",
        activation: Activation = "by_gate",
        registry: ModelRegistry | None = None,
    ) -> Self:
        """Make the folder of a new run, which waits for `launch` or `execute`.

        Parameters
        ----------
        project
            Whose annotated images are learnt; new ones get their split now.
        start
            A base, which gets fresh adapters, or a base with the adapter to train
            further; its shape then replaces ``config.adapter``.
        config
            How to train.
        compare_with
            The old model of the gate, usually the active one.
        name
            Stem of the new adapter's name, usually the project's.
        device, activation
            See `RunPlan`.
        registry
            Where the models are, usually the user's.

        Raises
        ------
        TrainingError
            If nothing is annotated, or the folder cannot be written.
        ModelNotFoundError, AdapterMismatchError, CheckpointError
            If a model is not there or does not fit.
        """
        plan = make_plan(
            project,
            start,
            config,
            compare_with=compare_with,
            name=name,
            device=device,
            activation=activation,
            registry=registry or ModelRegistry(default_root()),
        )
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]
        run = cls(project.runs_folder / f"{moment}Z-{uuid4().hex[:6]}")
        try:
            run.folder.mkdir(parents=True)
            # A run exists once it has a plan, so its status is there before.
            write_json(run.status_path, RunStatus(n_epochs=config.epochs).to_json())
            write_plan(run.folder / _PLAN, plan)
        except OSError as error:
            raise TrainingError(
                f"The run's folder {run.folder} cannot be written ({error.strerror}); "
                "check the permissions and the space on the disk."
            ) from error
        return run

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a run's folder; raises TrainingError if it is none."""
        run = cls(folder)
        _ = run.plan
        return run

    @classmethod
    def runs(cls, project: AnnotationProject) -> list[Self]:
        """Return every run of a project, the newest first."""
        plans = project.runs_folder.glob(f"*/{_PLAN}")
        return [cls(path.parent) for path in sorted(plans, reverse=True)]

    @property
    def id(self) -> str:
        """Name of the folder: the time of its making and some letters."""
        return self.folder.name

    @property
    def plan(self) -> RunPlan:
        """What was asked."""
        return read_plan(self.folder / _PLAN)

    @property
    def project(self) -> AnnotationProject:
        """The project it learns from: the one whose folder it is in."""
        return AnnotationProject.open(self.folder.resolve().parent.parent)

    @property
    def adapter_path(self) -> Path:
        """The best adapter so far, which is there from the first best epoch on."""
        return self.folder / "adapter.safetensors"

    @property
    def log_path(self) -> Path:
        """What the process printed and, after a failure, the traceback."""
        return self.folder / "log.txt"

    @property
    def status_path(self) -> Path:
        """The file of `status`."""
        return self.folder / "status.json"

    @property
    def metrics_path(self) -> Path:
        """The file of `events`."""
        return self.folder / "metrics.jsonl"

    @property
    def gate_path(self) -> Path:
        """The file of `gate`."""
        return self.folder / "gate.json"

    def status(self) -> RunStatus:
        """Say how far the run is; a process that has vanished makes it ``lost``."""
        launched = ProcessId.read(self.folder / _LAUNCHED)
        return read_status(self.status_path, launched=launched, log=self.log_path)

    @property
    def is_at_work(self) -> bool:
        """Whether a process works on it; not if that cannot be read."""
        try:
            return self.status().is_at_work
        except TrainingError:
            return False

    def events(self, start: int = 0) -> list[TrainingEvent]:
        """Return what happened, from event number `start` on."""
        return read_events(self.metrics_path, start)

    def gate(self) -> GateResult | None:
        """Return the comparison with the old model, None before the end."""
        if not self.gate_path.exists():
            return None
        try:
            return GateResult.from_json(read_json(self.gate_path))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise TrainingError(
                f"The comparison of the run {self.id} cannot be read ({error}); "
                "resume the run to make it again."
            ) from error

    def gallery(self) -> list[GalleryItem]:
        """Return validation images with old and new masks; empty before the end."""
        return read_gallery(self.folder)

    def execute(
        self,
        registry: ModelRegistry,
        *,
        on_event: "Callable[[TrainingEvent], None] | None" = None,
        on_message: "Callable[[str], None] | None" = None,
    ) -> ModelSpec | None:
        """Train in this process, from the checkpoint if there is one.

        Parameters
        ----------
        registry
            Where models come from and the new one goes to.
        on_event, on_message
            Told how far it is, in this thread.

        Returns
        -------
        ModelSpec or None
            The registered model; None if the run was paused or cancelled, and in
            all processes but the first of a run on several.

        Raises
        ------
        TrainingError
            One sentence; the run is ``failed`` then, and its log has the traceback.
        """
        from napari_glmedsa.training.execution import execute

        return execute(self, registry, on_event=on_event, on_message=on_message)

    def launch(self, registry: ModelRegistry) -> int:
        """Start a process that outlives this one; return its number.

        Raises
        ------
        TrainingError
            If a run of this project is at work, or the process cannot start.
        """
        for other in self.runs(self.project):
            if other.id != self.id and other.is_at_work:
                raise second_run(other.id)
        status = self.status()
        if status.is_active and status.pid:
            raise TrainingError(f"The run {self.id} is at work already.")
        if not (status.can_resume or status.state == "queued"):
            raise TrainingError(
                f"The run {self.id} is {status.state}; start a new one."
            )
        arguments = ["train", "--run", str(self.folder.resolve())]
        arguments += ["--registry", str(registry.root.resolve())]
        try:
            self.clear_requests()
            (self.folder / _LAUNCHED).unlink(missing_ok=True)
            queued = replace(status, state="queued", pid=0, message="Starting.")
            write_json(self.status_path, queued.to_json())
            launched = start_detached(arguments, self.log_path)
            write_json(self.folder / _LAUNCHED, launched.to_json())
        except OSError as error:
            raise TrainingError(
                f"The training process cannot be started ({error.strerror}); check "
                f"that {self.folder} can be written to."
            ) from error
        return launched.pid

    def pause(self) -> None:
        """Ask the run to finish its step, write a checkpoint and end its process."""
        self._ask("pause")

    def resume(self, registry: ModelRegistry) -> int:
        """Go on from the last checkpoint in a new process; return its number."""
        return self.launch(registry)

    def cancel(self) -> None:
        """End the run for good; its best adapter stays in the folder, unregistered."""
        status = self.status()
        if status.is_at_work:
            self._ask("cancel")
        elif not status.is_over:
            ended = replace(status, state="cancelled", message="Cancelled.")
            write_json(self.status_path, ended.to_json())

    def request(self) -> Literal["pause", "cancel"] | None:
        """Return what `pause` or `cancel` asked for, for the process at work."""
        for name in ("cancel", "pause"):
            if (self.folder / name).exists():
                return name
        return None

    def clear_requests(self) -> None:
        """Forget what was asked for."""
        for name in ("cancel", "pause"):
            (self.folder / name).unlink(missing_ok=True)

    def _ask(self, what: str) -> None:
        try:
            (self.folder / what).touch()
        except OSError as error:
            raise TrainingError(
                f"The run cannot be asked to {what} ({error.strerror}); check that "
                f"{self.folder} can be written to."
            ) from error
