"""One row of a table: a method trained with one seed, and measured."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil  # type: ignore[import-untyped]
import torch
from segment_anything.modeling import Sam

from napari_glmedsa.benchmark.automatic import make_automatic
from napari_glmedsa.benchmark.clicked import make_clicked
from napari_glmedsa.benchmark.made import Made, OnProgress
from napari_glmedsa.benchmark.methods import METHODS, RecipeName
from napari_glmedsa.benchmark.parts import Parts
from napari_glmedsa.errors import TrainingError
from napari_glmedsa.files import read_json, write_json
from napari_glmedsa.metrics import JACCARD_THRESHOLD, overlap
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.training.checkpoint import CHECKPOINT

_RESULT = "result.json"


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
        Of the training, and after how many it is measured; 0 for automatic methods.
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
        recipe = "" if METHODS[self.method].is_fixed else f"{self.recipe}-"
        clicks = f"-{self.clicks}p" if self.clicks else ""
        return f"{recipe}{self.method}{clicks}-seed{self.seed}"


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
    made = _make(row, parts, sam, folder, device, say)
    scores, milliseconds = _measure(made, parts, say)
    result = RowResult(
        row=row,
        frozen=made.frozen,
        trainable=made.trainable,
        scores=scores,
        training_seconds=made.seconds,
        milliseconds=milliseconds,
        peak_memory=_peak_memory(),
        config=made.config,
        question=question,
    )
    write_json(folder / _RESULT, asdict(result))
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return result


def _make(
    row: Row, parts: Parts, sam: Sam, folder: Path, device: str, say: OnProgress
) -> Made:
    method = METHODS[row.method]
    config = method.config(
        row.recipe, n_points=max(1, row.clicks), seed=row.seed, epochs=row.epochs
    )
    if method.is_automatic:
        size = sam.image_encoder.img_size
        return make_automatic(row.method, config, parts, folder, size=size, say=say)
    return make_clicked(
        sam,
        config if method.trains != "nothing" else None,
        parts,
        folder,
        clicks=row.clicks,
        seed=row.seed,
        device=device,
        say=say,
    )


def _measure(
    made: Made, parts: Parts, say: OnProgress
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
            mask = made.segment(case)
            times.append(1000 * (time.perf_counter() - started))
            scores[protocol][image.id] = _scores(*overlap(mask, case.mask))
            say("measuring", len(times), n_images)
    return scores, statistics.median(times)


def _scores(both: int, either: int) -> dict[str, float]:
    jaccard = both / either if either else 1.0
    return {
        "dice": 2 * jaccard / (1 + jaccard),
        "iou": jaccard,
        "threshold_jaccard": jaccard if jaccard >= JACCARD_THRESHOLD else 0.0,
        "both": both,
        "either": either,
    }


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
