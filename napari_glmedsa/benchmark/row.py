"""One row of a table: a method trained with one seed, and measured."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil  # type: ignore[import-untyped]
import torch

from napari_glmedsa.benchmark.index import IndexRow, dataset
from napari_glmedsa.benchmark.methods import METHODS, RecipeName
from napari_glmedsa.errors import TrainingError
from napari_glmedsa.evaluation import evaluate_clicks
from napari_glmedsa.files import read_json, write_json
from napari_glmedsa.inference import Predictor
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.training.checkpoint import (
    CHECKPOINT,
    read_checkpoint,
    write_checkpoint,
)
from napari_glmedsa.training.events import StepEvent
from napari_glmedsa.training.trainer import Trainer

_RESULT = "result.json"
_CHECKPOINT_SECONDS = 60.0

OnProgress = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and how much there is."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is to be run.

    Parameters
    ----------
    method
        A name of `METHODS`.
    recipe
        How it is trained.
    clicks
        Of the training, and after how many it is measured.
    seed
        Of fresh weights, training and clicks.
    epochs
        Instead of the recipe's.
    """

    method: str
    recipe: RecipeName
    clicks: int
    seed: int
    epochs: int | None = None

    @property
    def name(self) -> str:
        """The folder's name below the table's."""
        trained = METHODS[self.method].trains != "nothing"
        recipe = f"{self.recipe}-" if trained else ""
        return f"{recipe}{self.method}-{self.clicks}p-seed{self.seed}"


@dataclass(frozen=True, eq=False)
class RowResult:
    """What came of a row.

    Parameters
    ----------
    row
        What was run.
    frozen, trainable
        Numbers of parameters, as counted.
    scores
        Protocol to image id to metric: Dice, IoU, threshold Jaccard after the last
        click, and the pixels in both masks and in either.
    training_seconds, milliseconds
        Of training; of one image, encoded and clicked (median).
    peak_memory
        Bytes of the process at most.
    config
        The training configuration, or nothing.
    question
        What the figures depend on besides `row`: base, images, limits.
    """

    row: Row
    frozen: int
    trainable: int
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    training_seconds: float
    milliseconds: float
    peak_memory: int
    config: Mapping[str, Any]
    question: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read what `run_row` left in a folder; None if it did not end there."""
        if not (folder / _RESULT).exists():
            return None
        document = read_json(folder / _RESULT)
        return cls(**{**document, "row": Row(**document["row"])})


@dataclass(frozen=True, slots=True)
class Parts:
    """The images of a table.

    Parameters
    ----------
    train, val
        Learnt from, and judging epochs.
    tests
        Protocol to its images; never looked at before a model is trained.
    """

    train: tuple[IndexRow, ...]
    val: tuple[IndexRow, ...]
    tests: Mapping[str, tuple[IndexRow, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return which images these are, as plain JSON types."""
        tests = {name: [row.id for row in rows] for name, rows in self.tests.items()}
        return {
            "train": [row.id for row in self.train],
            "val": [row.id for row in self.val],
            "tests": tests,
        }


def run_row(
    row: Row,
    parts: Parts,
    *,
    base: str,
    registry: ModelRegistry,
    folder: Path,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> RowResult:
    """Train and measure a row, or go on where an earlier call was stopped.

    The weights of the last epoch are measured, as in the paper, so that nothing is
    chosen by looking.

    Parameters
    ----------
    row, parts
        What to run on which images.
    base, registry
        The base model's name, and where it is.
    folder
        Of the row; a finished result in it is returned as it is.
    device
        ``"auto"`` or a name.
    on_progress
        See `OnProgress`.

    Raises
    ------
    TrainingError
        If the folder holds a row of another base, other images or other settings.
    """
    say = on_progress or (lambda *_: None)
    folder.mkdir(parents=True, exist_ok=True)
    sam, base_sha256 = registry.load_base(base, device=torch.device("cpu"))
    question = {"base": base, "base_sha256": base_sha256, **parts.to_json()}
    known = RowResult.read(folder)
    if known is not None:
        _refuse_another(known.question, question, known.row, row, folder)
        return known
    method = METHODS[row.method]
    config = method.config(
        row.recipe, n_points=row.clicks, seed=row.seed, epochs=row.epochs
    )
    seconds, trainable = 0.0, 0
    if method.trains != "nothing":
        trainer = Trainer(sam, config, device=device)
        trainable = sum(p.numel() for p in trainer.trained.values())
        seconds = _train(trainer, parts, folder, say)
        sam = trainer.sam
    total = sum(p.numel() for p in sam.parameters())
    predictor = Predictor(sam, fingerprint=row.name)
    scores, milliseconds = _measure(predictor, parts, row, say)
    result = RowResult(
        row=row,
        frozen=total - trainable,
        trainable=trainable,
        scores=scores,
        training_seconds=seconds,
        milliseconds=milliseconds,
        peak_memory=_peak_memory(),
        config=config.to_json() if trainable else {},
        question=question,
    )
    write_json(folder / _RESULT, asdict(result))
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return result


def _train(trainer: Trainer, parts: Parts, folder: Path, say: OnProgress) -> float:
    """Train to the last epoch; return the seconds it took, over all interruptions."""
    train, val = dataset(parts.train), dataset(parts.val)
    path = folder / CHECKPOINT
    state = read_checkpoint(path)
    spent = float(state["seconds"]) if state else 0.0
    config, started, written = trainer.config, time.monotonic(), time.monotonic()
    n_steps = config.steps_per_epoch(len(train)) * config.epochs

    def seconds() -> float:
        return spent + time.monotonic() - started

    for event in trainer.fit(train, val, state=state):
        if isinstance(event, StepEvent):
            say("training", event.step, n_steps)
        if trainer.finished or time.monotonic() - written > _CHECKPOINT_SECONDS:
            write_checkpoint(path, {**trainer.state_dict(), "seconds": seconds()})
            written = time.monotonic()
    return seconds()


def _measure(
    predictor: Predictor, parts: Parts, row: Row, say: OnProgress
) -> tuple[dict[str, dict[str, dict[str, float]]], float]:
    """Return what `RowResult.scores` holds, and the median milliseconds per image."""
    scores: dict[str, dict[str, dict[str, float]]] = {}
    times: list[float] = []
    n_images = sum(map(len, parts.tests.values()))
    for protocol, rows in parts.tests.items():
        scores[protocol] = {}
        for image in rows:
            case = image.case()
            started = time.perf_counter()
            answers = evaluate_clicks(
                predictor, [case], n_clicks=row.clicks, seed=row.seed
            )
            score = next(answers)
            times.append(1000 * (time.perf_counter() - started))
            both, either = score.pixels[-1]
            scores[protocol][image.id] = {
                "dice": score.dice[-1],
                "iou": score.iou[-1],
                "threshold_jaccard": score.threshold_jaccard[-1],
                "both": both,
                "either": either,
            }
            say("measuring", len(times), n_images)
    return scores, statistics.median(times)


def _refuse_another(
    known: Mapping[str, Any],
    question: Mapping[str, Any],
    known_row: Row,
    row: Row,
    folder: Path,
) -> None:
    if known != question or known_row != row:
        raise TrainingError(
            f"{folder} holds figures of another base model, other images or another "
            "number of epochs; give another --output, or remove that folder."
        )


def _peak_memory() -> int:
    """Return the most bytes this process had in memory."""
    memory = psutil.Process().memory_info()
    peak = getattr(memory, "peak_wset", None)  # Windows
    if peak is None:
        import resource

        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak)
