"""`glmedsa predict`: images and clicks in, mask files out."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from napari_glmedsa.cli.inputs import (
    Clicks,
    DeviceOption,
    ModelOption,
    PrecisionOption,
    find_images,
    load_predictor,
    model_spec,
    parse_clicks,
    prepare_folder,
)
from napari_glmedsa.cli.share import ONLY, Share, own_share
from napari_glmedsa.cli.terminal import SOME_FAILED, complain, remark, telling
from napari_glmedsa.errors import GLMedSAError, ImageFormatError, OutputError
from napari_glmedsa.pairs import MASK_ENDING, OVERLAY_ENDING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_glmedsa.inference import MaskPrediction, Predictor


@dataclass(frozen=True, slots=True)
class Segmented:
    """One image's result: the fields are the keys of its --json line."""

    image: str
    mask: str
    iou_prediction: float
    area_px: int
    encode_seconds: float
    decode_seconds: float
    model: str
    precision: str


@dataclass(frozen=True, slots=True)
class _Job:
    predictor: "Predictor"
    model: str
    clicks: Clicks
    output: Path
    overlay: bool
    share: Share


@dataclass(frozen=True, eq=False)
class _Answer:
    """What is to be written about an image."""

    path: Path
    image: "NDArray[np.uint8]"
    prediction: "MaskPrediction"
    encode_seconds: float
    decode_seconds: float


def predict(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE", help="Image files, or folders of them."),
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder for <stem>_segmentation.png."),
    ],
    point: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="A click on the lesion; repeatable."),
    ] = None,
    negative: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="A click on the skin beside; repeatable."),
    ] = None,
    box: Annotated[
        str | None, typer.Option(metavar="X0,Y0,X1,Y1", help="A box round the lesion.")
    ] = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    overlay: Annotated[
        bool,
        typer.Option("--overlay", help="Also write <stem>_overlay.png to look at."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per image on stdout.")
    ] = False,
) -> None:
    """Segment the lesion in each image and write its mask.

    Clicks are (x, y) pixels from the image's top left corner and apply to every
    image named. Without --point and --box the centre of each image is clicked.
    Started by accelerate launch or torchrun, processes share the images.
    """
    clicks = parse_clicks(point or (), negative or (), box)
    paths = find_images(images)
    _refuse_same_names(paths)
    for path in paths:
        _refuse_to_replace(path, output, overlay=overlay)
    spec = model_spec(model)
    share = own_share()
    own = share.of(paths)
    if not own:  # others do all there is
        share.wait_for_all()
        return
    predictor = load_predictor(spec, share.device(device), precision)
    job = _Job(predictor, str(spec), clicks, output, overlay, share)
    prepare_folder(output)  # last: a mistake above leaves no empty folder
    if clicks.need_centre and share.is_first:
        whose = "the image centre" if len(paths) == 1 else "the centre of each image"
        remark(f"No --point given: clicking {whose}.")

    failed = _segment_all(job, own, as_json=as_json)
    share.wait_for_all()
    if failed:
        complain(
            f"{len(failed)} of {len(own)} images failed"
            f" ({', '.join(str(path) for path in failed)}); the masks of the others"
            f" are in {output}."
        )
        raise typer.Exit(SOME_FAILED)


def _segment_all(job: _Job, paths: Sequence[Path], *, as_json: bool) -> list[Path]:
    failed = []
    with telling(len(paths), "Segmenting") as teller:
        for path, finish in _segment_each(job, paths):
            try:
                segmented = finish()
            except GLMedSAError as error:
                if len(paths) == 1 and job.share == ONLY:  # the user's mistake
                    raise
                teller.failure(_naming(path, str(error)))
                failed.append(path)
            else:
                teller.result(
                    json.dumps(asdict(segmented)) if as_json else _line(segmented)
                )
            teller.step()
    return failed


def _segment_each(
    job: _Job, paths: Sequence[Path]
) -> Iterator[tuple[Path, Callable[[], Segmented]]]:
    """Yield the images in order, each with what returns its result or raises.

    While one image is encoded, the next is read and the one before it is written, so
    at most three of them are in memory.
    """
    from napari_glmedsa.images import read_image

    with _one_thread("reader") as reader, _one_thread("writer") as writer:
        reading = reader.submit(read_image, paths[0])
        written: tuple[Path, Callable[[], Segmented]] | None = None
        for index, path in enumerate(paths):
            this = reading
            wait([this])
            if index + 1 < len(paths):
                reading = reader.submit(read_image, paths[index + 1])
            try:
                answer = _answer(job, path, this.result())
            except GLMedSAError as error:
                finish: Callable[[], Segmented] = partial(_fail, error)
            else:
                finish = writer.submit(_write, job, answer).result
            if written is not None:
                yield written
            written = path, finish
        if written is not None:
            yield written


@contextmanager
def _one_thread(name: str) -> Iterator[ThreadPoolExecutor]:
    """Give a thread that, when something goes wrong, only ends what it has begun."""
    executor = ThreadPoolExecutor(1, thread_name_prefix=f"glmedsa-{name}")
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def _fail(error: GLMedSAError) -> Segmented:
    raise error


def _answer(job: _Job, path: Path, image: "NDArray[np.uint8]") -> _Answer:
    prompts = job.clicks.prompts(image.shape[:2])
    started = perf_counter()
    embedding = job.predictor.encode(image)
    encoded = perf_counter()
    prediction = job.predictor.predict(embedding, prompts)
    decoded = perf_counter()
    return _Answer(path, image, prediction, encoded - started, decoded - encoded)


def _write(job: _Job, answer: _Answer) -> Segmented:
    from napari_glmedsa.images import write_mask, write_overlay

    path, prediction = answer.path, answer.prediction
    mask_path = job.output / f"{path.stem}{MASK_ENDING}.png"
    write_mask(mask_path, prediction.mask)
    if job.overlay:
        overlay_path = job.output / f"{path.stem}{OVERLAY_ENDING}.png"
        write_overlay(overlay_path, answer.image, prediction.mask, prediction.prompts)
    return Segmented(
        image=str(path),
        mask=str(mask_path),
        iou_prediction=prediction.iou_prediction,
        area_px=int(prediction.mask.sum()),
        encode_seconds=round(answer.encode_seconds, 4),
        decode_seconds=round(answer.decode_seconds, 4),
        model=job.model,
        precision=job.predictor.precision,
    )


def _line(segmented: Segmented) -> str:
    seconds = segmented.encode_seconds + segmented.decode_seconds
    return (
        f"{segmented.image} -> {segmented.mask}"
        f"  ({segmented.area_px} px, predicted IoU {segmented.iou_prediction:.2f},"
        f" {seconds:.2f} s)"
    )


def _naming(path: Path, sentence: str) -> str:
    return sentence if str(path) in sentence else f"{path}: {sentence}"


def _refuse_same_names(paths: Sequence[Path]) -> None:
    """Refuse two images whose results would have one name, on any file system."""
    by_name: dict[str, Path] = {}
    for path in paths:
        other = by_name.setdefault(path.stem.casefold(), path)
        if other is not path:
            raise ImageFormatError(
                f"{other} and {path} would both be written to"
                f" {path.stem}{MASK_ENDING}.png; segment them into two folders."
            )


def _refuse_to_replace(path: Path, output: Path, *, overlay: bool) -> None:
    """Refuse to write over a mask that another program or person made."""
    from napari_glmedsa.images import written_by_us

    endings = (MASK_ENDING, OVERLAY_ENDING) if overlay else (MASK_ENDING,)
    for ending in endings:
        target = output / f"{path.stem}{ending}.png"
        if os.path.lexists(target) and not written_by_us(target):
            raise OutputError(
                f"{target} exists and was not written by glmedsa; choose another"
                " --output folder or move the file away."
            )
