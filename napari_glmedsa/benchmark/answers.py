"""What a row answered: its masks and clicks, kept so that they can be drawn later."""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_glmedsa.errors import TrainingError
from napari_glmedsa.files import atomic_write

ANSWERS = "answers.zip"
_CLICKS = "clicks.json"


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method says of one photograph.

    Parameters
    ----------
    mask
        (H, W) bool.
    point_coords
        The clicks it was given, (N, 2) as (x, y) in pixels of the photograph.
    """

    mask: NDArray[np.bool_]
    point_coords: NDArray[np.float64]


class KeepAnswer(Protocol):
    """Takes the answers one by one."""

    def __call__(self, protocol: str, name: str, answer: Answer) -> None:
        """Keep the answer to the image `name` of a protocol."""


@contextmanager
def keeping_answers(folder: Path) -> Iterator[KeepAnswer]:
    """Write answers into one file of a row's folder, whole or not at all."""
    clicks: dict[str, dict[str, list[list[float]]]] = {}
    with (
        atomic_write(folder / ANSWERS) as partial,
        zipfile.ZipFile(partial, "w") as archive,
    ):

        def keep(protocol: str, name: str, answer: Answer) -> None:
            stream = io.BytesIO()
            Image.fromarray(answer.mask).save(stream, format="PNG")
            archive.writestr(_entry(protocol, name), stream.getvalue())
            clicks.setdefault(protocol, {})[name] = answer.point_coords.tolist()

        yield keep
        archive.writestr(_CLICKS, json.dumps(clicks))


def read_answers(folder: Path, protocol: str, names: list[str]) -> dict[str, Answer]:
    """Read the answers to some images; empty if the row kept none.

    Raises
    ------
    TrainingError
        If the file is damaged.
    """
    path = folder / ANSWERS
    if not path.exists():
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            clicks = json.loads(archive.read(_CLICKS))[protocol]
            return {name: _read(archive, protocol, name, clicks) for name in names}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise TrainingError(
            f"{path} is damaged; remove the folder {folder} to run that row again."
        ) from error


def _read(archive: zipfile.ZipFile, protocol: str, name: str, clicks: Any) -> Answer:
    with Image.open(io.BytesIO(archive.read(_entry(protocol, name)))) as image:
        mask = np.asarray(image.convert("1"))
    return Answer(mask, np.array(clicks[name], float).reshape(-1, 2))


def _entry(protocol: str, name: str) -> str:
    return f"{protocol}/{name}.png"
