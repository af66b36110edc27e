"""From what was typed to what is worked on: clicks, image files, folders, models."""

import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_glmedsa.errors import OutputError, PromptError
from napari_glmedsa.pairs import images_in

if TYPE_CHECKING:
    from napari_glmedsa.inference import Predictor, Prompts
    from napari_glmedsa.registry import ModelSpec

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="BASE[+ADAPTER]",
        help="Names of the registry or file paths (default: the built-in model).",
        show_default=False,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option("--device", metavar="auto|cpu|cuda|mps", help="Where to compute."),
]
PrecisionOption = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option(
        "--precision", help="Of the encoder; auto is bf16 where that is fast."
    ),
]
"""Options that several commands share."""


@dataclass(frozen=True, slots=True)
class Clicks:
    """The clicks and the box of the command line, in (x, y) pixels."""

    lesion: tuple[tuple[float, ...], ...]
    background: tuple[tuple[float, ...], ...]
    box: tuple[float, ...] | None

    @property
    def need_centre(self) -> bool:
        """Whether nothing says where the lesion is."""
        return not self.lesion and self.box is None

    def prompts(self, size: tuple[int, int]) -> "Prompts":
        """Return the prompts for an image of size (H, W), checked to be inside."""
        import numpy as np

        from napari_glmedsa.inference import Prompts

        height, width = size
        centre = ((width - 1) / 2, (height - 1) / 2)
        lesion = (centre,) if self.need_centre else self.lesion
        prompts = Prompts(
            np.array([*lesion, *self.background], dtype=np.float64).reshape(-1, 2),
            np.array([1] * len(lesion) + [0] * len(self.background), dtype=np.int64),
            box=None if self.box is None else np.array(self.box, dtype=np.float64),
        )
        prompts.check_inside(size)
        return prompts


def parse_clicks(
    lesion: Sequence[str], background: Sequence[str], box: str | None
) -> Clicks:
    """Read the values of --point, --negative and --box."""
    corners = None if box is None else _numbers(box, "--box", "X0,Y0,X1,Y1")
    if corners and not (corners[0] < corners[2] and corners[1] < corners[3]):
        raise PromptError(
            f"--box {box} has no area; give the left, top, right and bottom edge in"
            " this order."
        )
    return Clicks(
        lesion=tuple(_numbers(text, "--point", "X,Y") for text in lesion),
        background=tuple(_numbers(text, "--negative", "X,Y") for text in background),
        box=corners,
    )


def _numbers(text: str, option: str, form: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != form.count(",") + 1 or not all(map(math.isfinite, numbers)):
        example = "320,240" if form == "X,Y" else "100,80,400,360"
        raise PromptError(
            f"{option} {text} is not {form} in pixels; write for example"
            f" {option} {example}."
        )
    return numbers


def find_images(named: Sequence[Path]) -> list[Path]:
    """Return the image files named, with each folder replaced by the images in it.

    In a folder, files that `predict` writes (`*_segmentation.png`,
    `*_overlay.png`) are passed over, and so are subfolders and hidden files.
    """
    images: dict[str, Path] = {}
    for path in named:
        # os.path answers whatever is wrong with the path; pathlib may raise.
        is_folder = os.path.isdir(path)  # noqa: PTH112
        for image in images_in(path) if is_folder else [path]:
            images.setdefault(os.path.realpath(image), image)
    return list(images.values())


def prepare_folder(folder: Path) -> None:
    """Make an output folder and check that it can be written to, before the work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be written to ({error.strerror}); choose"
            " another one."
        ) from error


def model_spec(name: str | None) -> "ModelSpec":
    """Return the model asked for, or the built-in one."""
    from napari_glmedsa.registry import DEFAULT_MODEL, ModelSpec

    return DEFAULT_MODEL if name is None else ModelSpec.parse(name)


def load_predictor(
    spec: "ModelSpec", device: str, precision: PrecisionOption
) -> "Predictor":
    """Load a model of the user's registry onto a device."""
    from napari_glmedsa.inference.device import resolve_device
    from napari_glmedsa.registry import ModelRegistry, default_root

    return ModelRegistry(default_root()).load(
        spec, device=resolve_device(device), precision=precision
    )
