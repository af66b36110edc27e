"""`glmedsa train`: teach a model the masks of a project, here or in its own process."""

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_glmedsa.cli.inputs import DeviceOption, model_spec
from napari_glmedsa.cli.run_display import show_gate, show_plan, showing
from napari_glmedsa.cli.settings import configure
from napari_glmedsa.cli.terminal import remark
from napari_glmedsa.errors import GLMedSAError, TrainingError

if TYPE_CHECKING:
    from napari_glmedsa.registry import ModelRegistry, ModelSpec
    from napari_glmedsa.training.config import TrainingConfig
    from napari_glmedsa.training.processes import Processes
    from napari_glmedsa.training.run import TrainingRun

NOT_FINISHED = 3
"""Exit code of a run that was paused or cancelled."""


def train(
    project: Annotated[
        Path | None,
        typer.Argument(metavar="PROJECT", help="Folder of an annotation project."),
    ] = None,
    *,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="standard, quick, paper, med-sa, gmed-sa, decoder or full.",
        ),
    ] = "standard",
    epochs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Epochs at most.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="BASE[+ADAPTER]",
            help="A base for fresh adapters, or an adapter to train further"
            " (default: the active model).",
            show_default=False,
        ),
    ] = None,
    compare_with: Annotated[
        str | None,
        typer.Option(
            metavar="BASE[+ADAPTER]",
            help="The old model of the comparison (default: the active model).",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Beginning of the new adapter's name (default: the project's).",
            show_default=False,
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any other setting, such as learning_rate=0.0001; repeatable.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Source of every draw.")
    ] = None,
    device: DeviceOption = "auto",
    no_activate: Annotated[
        bool,
        typer.Option("--no-activate", help="Never put the new model into use."),
    ] = False,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Go on with a run: its folder, or its name in PROJECT.",
            show_default=False,
        ),
    ] = None,
    run_folder: Annotated[Path | None, typer.Option("--run", hidden=True)] = None,
    root: Annotated[Path | None, typer.Option("--registry", hidden=True)] = None,
) -> None:
    """Fine-tune a model on the accepted masks of a project.

    The run shows its progress here; Ctrl-C pauses it. At the end the new model is
    compared with the old one on held-out images, registered, and put into use if
    it is not worse.
    """
    from napari_glmedsa.registry import ModelRegistry, default_root
    from napari_glmedsa.training.processes import Processes

    registry = ModelRegistry(root or default_root())

    def choose() -> "TrainingRun":
        if run_folder is not None:
            return _open(run_folder)
        if resume is not None:
            changes = (epochs, start, compare_with, name, setting, seed)
            if preset != "standard" or any(x is not None for x in changes):
                raise TrainingError(
                    "--resume goes on with the settings that the run began with; leave "
                    "the other options out, or start a new run."
                )
            return _resumed(resume, project)
        return _create(
            registry,
            project,
            config=configure(preset, setting or (), epochs=epochs, seed=seed),
            start=start,
            compare_with=compare_with,
            name=name,
            device=device,
            activation="never" if no_activate else "by_gate",
        )

    with closing(Processes()) as processes:
        run = _agree(processes, choose)
        if run_folder is not None or not processes.is_main:
            with _pausing(run):
                run.execute(registry)
            return
        show_plan(run, registry)
        _execute(run, registry)


def _open(folder: Path) -> "TrainingRun":
    from napari_glmedsa.training.run import TrainingRun

    return TrainingRun.open(folder)


def _resumed(named: Path, project: Path | None) -> "TrainingRun":
    from napari_glmedsa.project import AnnotationProject

    if not named.is_dir() and project is not None:
        named = AnnotationProject.open(project).runs_folder / named
    run = _open(named)
    status = run.status()
    if status.is_over:
        raise TrainingError(f"The run {run.id} is {status.state}; start a new one.")
    if not status.is_at_work:  # else the lock says so
        run.clear_requests()
    return run


def _create(
    registry: "ModelRegistry",
    project: Path | None,
    *,
    config: "TrainingConfig",
    start: str | None,
    compare_with: str | None,
    device: str,
    **rest: Any,
) -> "TrainingRun":
    from napari_glmedsa.inference import resolve_device
    from napari_glmedsa.project import AnnotationProject
    from napari_glmedsa.training.process import second_run
    from napari_glmedsa.training.run import TrainingRun

    resolve_device(device)  # before there is a folder
    if project is None:
        raise TrainingError(
            "There is nothing to learn from; name the folder of a project."
        )
    opened = AnnotationProject.open(project)
    for other in TrainingRun.runs(opened):
        if other.is_at_work:
            raise second_run(other.id)
    return TrainingRun.create(
        opened,
        model_spec(start) if start else starting_model(registry, config),
        config,
        compare_with=model_spec(compare_with) if compare_with else None,
        device=device,
        registry=registry,
        **rest,
    )


def starting_model(registry: "ModelRegistry", config: "TrainingConfig") -> "ModelSpec":
    """Return the active model; its base alone if other adapters are asked for."""
    from napari_glmedsa.activation import ActiveModel
    from napari_glmedsa.adapters.card import read_card
    from napari_glmedsa.adapters.config import GLMedSAConfig
    from napari_glmedsa.registry import ModelSpec

    active = ActiveModel(registry).current()
    if active.adapter is None or config.trains == "full":
        return ModelSpec(active.base)
    own = read_card(registry.adapter_path(active.adapter)).config
    return (
        active if config.adapter in (own, GLMedSAConfig()) else ModelSpec(active.base)
    )


def _agree(
    processes: "Processes", choose: Callable[[], "TrainingRun"]
) -> "TrainingRun":
    """Let the main process choose the run, and the others take the same one."""
    if processes.count == 1:
        return choose()
    folder = error = None
    if processes.is_main:
        try:
            folder = choose().folder
        except GLMedSAError as caught:  # the others must not wait for ever
            error = caught
    folder, failed = processes.tell((folder, error is not None))
    if error is not None:
        raise error
    if failed or folder is None:
        raise typer.Exit(2)
    return _open(folder)


def _execute(run: "TrainingRun", registry: "ModelRegistry") -> None:
    with showing(run) as display, _pausing(run):
        spec = run.execute(registry, on_event=display.event, on_message=display.message)
    result, status = run.gate(), run.status()
    if spec is not None and result is not None:
        show_gate(result)
        typer.echo(status.message)
        return
    remark(status.message)
    if status.can_resume:
        remark(f"Go on with: glmedsa train --resume {run.folder}")
    raise typer.Exit(NOT_FINISHED)


@contextmanager
def _pausing(run: "TrainingRun") -> Iterator[None]:
    """Turn the first Ctrl-C, and the system's wish to end us, into a pause."""

    def pause(number: int, frame: FrameType | None) -> None:
        if run.request() is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        run.pause()
        remark("Pausing after this step; Ctrl-C again stops at once.")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, pause) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
