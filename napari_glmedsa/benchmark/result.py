"""What a row of a table is, and what came of it, as it lies on disk."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from napari_glmedsa.benchmark.methods import INPUT_SIZE, METHODS, RECIPES, RecipeName
from napari_glmedsa.benchmark.parts import Parts
from napari_glmedsa.errors import TrainingError
from napari_glmedsa.files import NONSENSE, read_json, write_json

SCORES = frozenset({"dice", "iou", "threshold_jaccard", "both", "either"})
"""Of one image after the last click: metrics, and pixels in both masks and either."""

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

    @property
    def place(self) -> tuple[int, int, int]:
        """Where it stands in a table, whichever command made it."""
        return self.clicks, list(METHODS).index(self.method), self.seed

    @property
    def learnt(self) -> tuple[Any, ...]:
        """What its figures depend on: nothing learnt has no recipe and no epochs."""
        method = METHODS[self.method]
        how = () if method.is_fixed else (self.recipe, self.epochs)
        size = (INPUT_SIZE,) if method.trains == "network" else ()
        return self.method, self.clicks, self.seed, *how, *size


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
        Protocol to image id to what `SCORES` names.
    training_seconds, milliseconds
        Of training; of one image, encoded and clicked (median).
    peak_memory
        Bytes of the process at most.
    config
        The training configuration, or nothing; of networks with their ``input_size``.
    question
        What the figures depend on besides `row`: base, images, limits.
    machine
        Where it was run: threads, processor, versions.
    curve
        One entry per epoch: its number, and the loss or the scores on `Parts.val`.
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
    machine: Mapping[str, Any] = field(default_factory=dict)
    curve: Sequence[Mapping[str, float]] = ()

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read what `run_row` left in a folder; None if it did not end there.

        Raises
        ------
        TrainingError
            If the file is damaged, or not what `write` writes.
        """
        path = folder / _RESULT
        if not path.exists():
            return None
        try:
            document = read_json(path)
            result = cls(**{**document, "row": Row(**document["row"])})
            _require_whole(result)
        except NONSENSE as error:
            raise TrainingError(
                f"{path} is damaged; remove the folder {folder} to run that row again."
            ) from error
        return result

    def write(self, folder: Path) -> None:
        """Write it for `read`."""
        write_json(folder / _RESULT, asdict(self))


def ask(base: str, base_sha256: str, parts: Parts) -> dict[str, Any]:
    """Return `RowResult.question`."""
    return {"base": base, "base_sha256": base_sha256, **parts.to_json()}


def finished_row(
    row: Row, question: Mapping[str, Any], folder: Path
) -> RowResult | None:
    """Return the result in a folder, or None if the row must be run.

    Raises
    ------
    TrainingError
        If the result is damaged, or of another base, other images or other settings.
    """
    known = RowResult.read(folder)
    if known is None:
        return None
    if known.question != question or known.row.learnt != row.learnt:
        raise TrainingError(
            f"{folder} holds figures of another base model, other images or another "
            "number of epochs; give another --output, or remove that folder."
        )
    return replace(known, row=row)


def finished_rows(
    recipe: RecipeName, epochs: int | None, question: Mapping[str, Any], folder: Path
) -> dict[Row, RowResult]:
    """Return every result below a table's folder, whichever rows a command names.

    Raises
    ------
    TrainingError
        If one is damaged, or of another recipe, base, images or settings: one table
        cannot show both, and would lose the rows it had.
    """
    found: dict[Row, RowResult] = {}
    for path in sorted(folder.glob(f"*/{_RESULT}")):
        place = path.parent
        known = RowResult.read(place)
        if known is None or known.row.name != place.name:  # a copy that somebody made
            continue
        if known.row.recipe != recipe and not METHODS[known.row.method].is_fixed:
            raise TrainingError(
                f"{folder} holds rows of the recipe {known.row.recipe}, such as "
                f"{place.name}; choose another --output for the recipe {recipe}."
            )
        row = replace(known.row, recipe=recipe, epochs=epochs)
        result = finished_row(row, question, place)
        if result is not None:
            found[row] = result
    return found


def first_seeds(results: Iterable[RowResult]) -> dict[int, dict[str, RowResult]]:
    """Return clicks to method to its first result."""
    found: dict[int, dict[str, RowResult]] = {}
    for result in results:
        of_clicks = found.setdefault(result.row.clicks, {})
        of_clicks.setdefault(result.row.method, result)
    return found


def _require_whole(result: RowResult) -> None:
    """Raise one of `NONSENSE` if no table can be made of a result."""
    row, tests = result.row, result.question["tests"]
    if row.method not in METHODS or row.recipe not in RECIPES:
        raise ValueError("There is no such row.")
    if not isinstance(result.machine, dict):
        raise TypeError("What the machine was is not told.")
    if _images(result.scores) != _images(tests):
        raise ValueError("The images with scores are not those of the test part.")
    numbers: list[float] = [row.clicks, row.seed, result.frozen, result.trainable]
    numbers += [result.training_seconds, result.milliseconds, result.peak_memory]
    numbers += [point["epoch"] for point in result.curve]
    if result.config:
        numbers.append(result.config["epochs"])
    if METHODS[row.method].trains == "network":
        numbers.append(result.config["input_size"])
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError("A number is not one that can be.")
    for of_protocol in result.scores.values():
        for name, score in of_protocol.items():
            if set(score) != SCORES or not _is_possible(**score):
                raise ValueError(f"Scores of {name} are not complete.")


def _images(of_protocols: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    return {protocol: set(names) for protocol, names in of_protocols.items()}


def _is_possible(
    *, dice: float, iou: float, threshold_jaccard: float, both: float, either: float
) -> bool:
    """Whether scores are in their ranges; nan is in none."""
    shares = (dice, iou, threshold_jaccard)
    return all(0 <= share <= 1 for share in shares) and 0 <= both <= either < math.inf
