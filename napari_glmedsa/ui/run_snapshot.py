"""What is on disk about a project and its runs, read in the worker for the screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_glmedsa.adapters.config import GLMedSAConfig
from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.project import SPLITS, AnnotationProject, Split
from napari_glmedsa.registry import ModelSpec
from napari_glmedsa.training.events import TrainingEvent
from napari_glmedsa.training.gate import FEWEST_IMAGES, GateResult
from napari_glmedsa.training.run import TrainingRun
from napari_glmedsa.training.status import RunStatus
from napari_glmedsa.ui.learning_curve import Curves
from napari_glmedsa.ui.run_gallery import Picture, draw_picture

UNFINISHED = ("queued", "running", "paused", "lost")
"""States of a run that wants to be watched or gone on with."""


@dataclass(frozen=True, slots=True)
class ProjectSnapshot:
    """A project as the dock shows it.

    Attributes
    ----------
    root : Path
        Its folder.
    counts : mapping
        Annotated images per split.
    runs : tuple of (Path, str)
        Folder and state of each training run, the newest first.
    """

    root: Path
    counts: Mapping[Split, int] = field(default_factory=dict)
    runs: tuple[tuple[Path, str], ...] = ()

    @property
    def run_that_matters(self) -> Path | None:
        """The newest run that is not at its end, else the newest, if there is any."""
        unfinished = [folder for folder, state in self.runs if state in UNFINISHED]
        return next(iter([*unfinished, *(folder for folder, _ in self.runs)]), None)

    @property
    def can_train(self) -> bool:
        """Whether there is something to train on and something to validate on."""
        return bool(self.counts.get("train") and self.counts.get("val"))

    def sentence(self) -> str:
        """Return how many images there are, and what is wrong with that."""
        train, val, test = (self.counts.get(name, 0) for name in SPLITS)
        total = train + val + test
        if not total:
            return (
                "No annotated image yet: choose this project in the Segment dock and "
                "accept masks there."
            )
        if total == 1:
            return (
                "1 annotated image cannot train: a second one is needed to validate on."
            )
        counts = (
            f"{total} annotated images: {train} to train, {val} to validate, "
            f"{test} to test."
        )
        if not self.can_train:
            return (
                f"{counts} They cannot train: annotate an image of another lesion, so "
                "that there is one to train and one to validate on."
            )
        if (held_out := test or val) < FEWEST_IMAGES:
            return (
                f"{counts} With only {held_out} held out the comparison means little, "
                "so nothing is activated by itself."
            )
        return counts


@dataclass(frozen=True, eq=False)
class RunSnapshot:
    """A training run as the dock shows it.

    Attributes
    ----------
    folder : Path
        Of the run.
    status : RunStatus
        How far it is.
    events : tuple of TrainingEvent
        All that it told.
    curves : Curves
        Of the events.
    model : ModelSpec or None
        What it made, once it is registered.
    gate : GateResult or None
        How that compares to the model before.
    pictures : tuple of Picture
        The gallery, drawn.
    bytes_told : int
        Size of the file that the events came from.
    """

    folder: Path
    status: RunStatus
    events: tuple[TrainingEvent, ...] = ()
    curves: Curves = field(default_factory=Curves)
    model: ModelSpec | None = None
    gate: GateResult | None = None
    pictures: tuple[Picture, ...] = ()
    bytes_told: int = 0


@dataclass(frozen=True, eq=False)
class Look:
    """All that the dock shows, besides what the user is about to choose.

    Attributes
    ----------
    root : Path or None
        Folder of the project.
    project : ProjectSnapshot or None
        What is in it, once it was read.
    run : RunSnapshot or None
        The run that is shown.
    active : ModelSpec or None
        The model that answers clicks.
    shape : GLMedSAConfig or None
        Of its adapter, if it has one that can be read.
    can_roll_back : bool
        Whether another one did before.
    models : tuple of ModelSpec
        What can be loaded.
    recent : tuple of Path
        Folders of the projects used last, the newest first.
    problem : str
        Why something of it could not be read, in a sentence.
    """

    root: Path | None = None
    project: ProjectSnapshot | None = None
    run: RunSnapshot | None = None
    active: ModelSpec | None = None
    shape: GLMedSAConfig | None = None
    can_roll_back: bool = False
    models: tuple[ModelSpec, ...] = ()
    recent: tuple[Path, ...] = ()
    problem: str = ""

    @property
    def to_estimate(self) -> tuple[object, ...]:
        """What the cost of the next run depends on, besides its settings."""
        return self.root, self.project and self.project.counts, self.active


def read_project(project: AnnotationProject) -> ProjectSnapshot:
    """Read how many images a project has and which runs."""
    counts: dict[Split, int] = {}
    for split in project.splits().values():
        counts[split] = counts.get(split, 0) + 1
    runs = tuple((run.folder, _state(run)) for run in TrainingRun.runs(project))
    return ProjectSnapshot(project.root, counts, runs)


def read_run(folder: Path, known: RunSnapshot | None) -> RunSnapshot:
    """Read what is new about a run.

    Parameters
    ----------
    folder : Path
        Of the run.
    known : RunSnapshot or None
        What was read before, of this or another run.

    Raises
    ------
    TrainingError
        If it is no run, or a damaged one.
    """
    run = TrainingRun.open(folder)
    status = run.status()
    if known is None or known.folder != folder:
        known = RunSnapshot(folder, status)
    bytes_told = _size(run.metrics_path)
    # A run that goes on from a checkpoint tells its story anew from there.
    same = known.status.process == status.process and known.status.state == status.state
    start = len(known.events) if same and bytes_told >= known.bytes_told else 0
    new = tuple(run.events(start))
    if new or not start:
        events = known.events[:start] + new
        per_epoch = status.n_steps // max(status.n_epochs, 1)
        curves = Curves.from_events(events, steps_per_epoch=per_epoch)
        known = replace(known, events=events, curves=curves)
    if known.gate is None:
        known = replace(known, gate=run.gate())
    if not known.pictures:
        known = replace(known, pictures=tuple(map(draw_picture, run.gallery())))
    model = ModelSpec.parse(status.model) if status.model else None
    return replace(known, status=status, model=model, bytes_told=bytes_told)


def _state(run: TrainingRun) -> str:
    try:
        return run.status().state
    except GLMedSAError:
        return "damaged"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it has told nothing yet
        return 0
