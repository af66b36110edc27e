"""The events of a run on disk: one line each, appended, cut back when it resumes."""

import json
from datetime import UTC, datetime
from pathlib import Path

from napari_glmedsa.errors import TrainingError
from napari_glmedsa.training.events import (
    StepEvent,
    TrainingEvent,
    event_from_json,
)

# What differs between two equal runs stands apart from what does not.
_TIMING = "timing"


def append_event(path: Path, event: TrainingEvent) -> None:
    """Write one event at the end of the file."""
    document = event.to_json()
    timing = {"at": datetime.now(UTC).isoformat(timespec="milliseconds")}
    if isinstance(event, StepEvent):
        timing["seconds"] = document.pop("seconds")
    line = json.dumps({**document, _TIMING: timing}) + "\n"
    with path.open("ab") as stream:
        stream.write(line.encode())


def read_events(path: Path, start: int = 0) -> list[TrainingEvent]:
    """Return the events from number `start` on; a line half written is none yet.

    Raises
    ------
    TrainingError
        If a line is damaged.
    """
    try:
        return [_event(line) for line in _lines(path)[start:]]
    except ValueError as error:
        raise TrainingError(
            f"The curve of the run {path.parent.name} is damaged ({error}); the run "
            "itself is not."
        ) from error


def cut_events(path: Path, n_events: int) -> None:
    """Keep the first `n_events` events: those that the checkpoint knows."""
    lines = _lines(path)
    if len(lines) < n_events:
        raise TrainingError(
            f"The curve of the run {path.parent.name} is shorter than its checkpoint "
            "says; start a new run."
        )
    with path.open("ab") as stream:
        stream.truncate(sum(len(line) + 1 for line in lines[:n_events]))


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []


def _event(line: bytes) -> TrainingEvent:
    document = json.loads(line)
    timing = document.pop(_TIMING)
    if document["kind"] == StepEvent.kind:
        document["seconds"] = timing["seconds"]
    return event_from_json(document)
