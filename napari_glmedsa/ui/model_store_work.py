"""What the worker of the dialog of models does, and how it tells of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_glmedsa.jobs import Job
from napari_glmedsa.store import ModelStore, ModelType, Transfer, is_adapter
from napari_glmedsa.store.transfer import Asked, Report
from napari_glmedsa.ui.model_store_rows import percent


class Doing:
    """Carries the steps of a job out, no oftener than they look different.

    Parameters
    ----------
    job : Job
        Which may be called off.
    tell : callable
        Called in the worker with a `Transfer`.
    """

    def __init__(self, job: Job, tell: Callable[[Transfer], object]) -> None:
        self._job = job
        self._tell = tell
        self._told: tuple[str, int] | None = None

    def report(self, step: Transfer) -> None:
        """Tell of a step, if its phase or its percentage is new."""
        new = (step.phase, percent(step.done, step.total))
        if new != self._told and not self._job.cancelled:
            self._told = new
            self._tell(step)

    def cancelled(self) -> bool:
        """Tell whether nobody waits for the job any more."""
        return self._job.cancelled


def download(store: ModelStore, name: str, *, report: Report, cancelled: Asked) -> str:
    """Fetch a base, and return its name."""
    return store.download(name, report=report, cancelled=cancelled).name


def verify(store: ModelStore, name: str, *, report: Report, cancelled: Asked) -> str:
    """Read a base again, and return its name."""
    return store.verify(name).name


def take_in(
    store: ModelStore,
    file: Path,
    *,
    report: Report,
    cancelled: Asked,
    model_type: ModelType | None = None,
) -> str:
    """Take in a base or an adapter, and return its name."""
    if is_adapter(file):
        return store.registry.add_adapter(file).name
    card = store.add(file, model_type=model_type, report=report, cancelled=cancelled)
    return card.name
