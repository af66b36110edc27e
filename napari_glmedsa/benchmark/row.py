"""One row of a table: a method trained with one seed, and measured."""

import platform
import statistics
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import torch
from segment_anything.modeling import Sam

from napari_glmedsa.benchmark.answers import KeepAnswer, keeping_answers
from napari_glmedsa.benchmark.automatic import make_automatic
from napari_glmedsa.benchmark.begun import BegunTraining
from napari_glmedsa.benchmark.clicked import make_clicked
from napari_glmedsa.benchmark.made import Made, OnProgress
from napari_glmedsa.benchmark.methods import METHODS
from napari_glmedsa.benchmark.parts import Parts
from napari_glmedsa.benchmark.result import Row, RowResult, ask, finished_row
from napari_glmedsa.metrics import JACCARD_THRESHOLD, overlap
from napari_glmedsa.registry import ModelRegistry


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
    question = ask(base, base_sha256, parts)
    known = finished_row(row, question, folder)
    if known is not None:
        return known
    begun = BegunTraining(folder, {**question, "learnt": list(row.learnt)})
    made = _make(row, parts, sam, begun, device, say)
    with keeping_answers(folder) as keep:
        scores, milliseconds = _measure(made, parts, keep, say)
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
        machine={**machine(), **_trained_in(made)},
        curve=made.curve,
    )
    result.write(folder)
    begun.remove()
    return result


def _make(
    row: Row,
    parts: Parts,
    sam: Sam,
    begun: BegunTraining,
    device: str,
    say: OnProgress,
) -> Made:
    method = METHODS[row.method]
    config = method.config(
        row.recipe, n_points=max(1, row.clicks), seed=row.seed, epochs=row.epochs
    )
    if method.is_automatic:
        size = sam.image_encoder.img_size
        return make_automatic(
            row.method, config, parts, begun, size=size, device=device, say=say
        )
    return make_clicked(
        sam,
        config if method.trains != "nothing" else None,
        parts,
        begun,
        clicks=row.clicks,
        seed=row.seed,
        device=device,
        say=say,
    )


def _measure(
    made: Made, parts: Parts, keep: KeepAnswer, say: OnProgress
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
            answer = made.segment(case)
            times.append(1000 * (time.perf_counter() - started))
            scores[protocol][image.id] = _scores(*overlap(answer.mask, case.mask))
            keep(protocol, image.id, answer)
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


def machine() -> dict[str, Any]:
    """Return what a table says about where it was made."""
    return {
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "torch": metadata.version("torch"),
        "napari-glmedsa": metadata.version("napari-glmedsa"),
    }


def _trained_in(made: Made) -> dict[str, str]:
    return {"training precision": made.precision} if made.precision else {}


def _peak_memory() -> int:
    """Return the most bytes this process had in memory."""
    memory = psutil.Process().memory_info()
    peak = getattr(memory, "peak_wset", None)  # Windows
    if peak is None:
        import resource

        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak)
