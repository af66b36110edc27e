"""One click: decode, mask at full size, Labels update, and all of it in a window.

Stock SAM and this package answer in turn from the same embedding, click after click;
micro-sam does, too, where it is installed.
The window needs a display; ``--no-window`` does without.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import machine, show_machine
from segment_anything import SamPredictor

from models import ARCHITECTURES, load_predictor
from napari_glmedsa.inference import Predictor, Prompts
from napari_glmedsa.inference.full_size import full_size_mask
from napari_glmedsa.inference.prepared_decoder import PreparedDecoder
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.samples import draw_lesion

SIZES = {1: (816, 1224), 4: (1632, 2448), 24: (4000, 6000), 50: (5776, 8664)}
PATIENCE = 60.0


def main() -> None:
    """Measure every size, print a table, write all figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=list(ARCHITECTURES), help="random weights")
    parser.add_argument("--megapixels", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--clicks", type=int, default=1, help="points per prompt")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-window", action="store_true")
    parser.add_argument("--json", type=Path, help="folder for a file of all figures")
    # what `make bench` also gives to the benchmarks that run in rounds
    parser.add_argument("--rounds", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    predictor = load_predictor(args.model)
    result: dict[str, Any] = {
        "machine": machine(args.threads),
        "arguments": {k: str(v) for k, v in vars(args).items() if v is not None},
        "sizes": {},
    }
    for megapixels in args.megapixels:
        print(f"{megapixels} megapixels", file=sys.stderr)
        image = photograph(SIZES[megapixels])
        figures = without_window(predictor, image, args)
        if not args.no_window and args.model is None:
            figures |= in_a_window(image, args.repeats)
        result["sizes"][str(megapixels)] = figures
    show(result)
    if args.json:
        args.json.mkdir(parents=True, exist_ok=True)
        path = args.json / "bench_click.json"
        path.write_text(json.dumps(result, indent=2) + "\n")


def photograph(size: tuple[int, int]) -> np.ndarray:
    """Return a drawn lesion, enlarged: large drawings take long."""
    small = draw_lesion(seed=0, size=(816, 1224)).image
    times = -(-size[0] // small.shape[0])
    image = small.repeat(times, axis=0).repeat(times, axis=1)
    return np.ascontiguousarray(image[: size[0], : size[1]])


def clicks_around(size: tuple[int, int], *, n: int, seed: int) -> Prompts:
    """Return n clicks around the middle of an image, where its lesion is."""
    spread = np.random.default_rng(seed).normal(0, 0.03, (n, 2))
    return Prompts((0.5 + spread) * np.array(size[::-1]), np.ones(n))


def without_window(
    predictor: Predictor, image: np.ndarray, args: argparse.Namespace
) -> dict[str, Any]:
    """Measure stock SAM and ours in turn, stage by stage, and count what differs."""
    stock, size = SamPredictor(predictor.sam), image.shape[:2]
    embedding = predictor.encode(image)
    stock.features, stock.is_image_set = embedding.features, True
    stock.original_size, stock.input_size = size, embedding.input_size
    prepared, sam = PreparedDecoder(predictor.sam, embedding.features), predictor.sam
    seconds: dict[str, list[tuple[float, float]]] = {}
    differing = {"predict": 0, "full size": 0}

    def timed(name: str, run: Callable[[], Any]) -> Any:
        start, cpu_start = time.perf_counter(), time.process_time()
        answer = run()
        took = time.perf_counter() - start, time.process_time() - cpu_start
        seconds.setdefault(name, []).append(took)
        return answer

    segment_from_points = None
    if find_spec("micro_sam") is not None:
        from micro_sam.prompt_based_segmentation import segment_from_points
    with torch.inference_mode():
        for repeat in range(args.repeats + 1):
            if repeat == 1:
                seconds.clear()  # the first one warmed up
            prompts = clicks_around(size, n=args.clicks, seed=repeat)
            coords, labels = prompts.point_coords, prompts.point_labels
            expected = timed(
                "predict, stock",
                lambda p=prompts: stock.predict(
                    p.point_coords, p.point_labels, multimask_output=False
                ),
            )[0][0]
            found = timed("predict", lambda p=prompts: predictor.predict(embedding, p))
            if segment_from_points is not None:
                timed(
                    "predict, micro-sam",
                    lambda p=prompts: segment_from_points(
                        stock,
                        p.point_coords[:, ::-1],
                        p.point_labels,
                        use_best_multimask=False,
                    ),
                )
            _note_differing(differing, "predict", found.mask, expected)
            scaled = stock.transform.apply_coords(coords, size)
            points = torch.as_tensor(scaled, dtype=torch.float32)[None]
            said = torch.as_tensor(labels, dtype=torch.float32)[None]
            timed("decode, stock", lambda p=points, s=said: _stock_decode(stock, p, s))
            logits, _ = timed("decode", lambda p=points, s=said: prepared.decode(p, s))
            expected = timed(
                "full size, stock",
                lambda x=logits: (
                    sam.postprocess_masks(x, embedding.input_size, size) > 0
                ).numpy(),
            )
            mask, _ = timed(
                "full size",
                lambda x=logits: full_size_mask(
                    x[0, 0],
                    image_size=sam.image_encoder.img_size,
                    input_size=embedding.input_size,
                    original_size=size,
                ),
            )
            _note_differing(differing, "full size", mask, expected[0, 0])
    rows = {name: _summary(values) for name, values in seconds.items()}
    for name in ("predict", "decode", "full size"):
        theirs, row = rows[f"{name}, stock"], rows[name]
        row["times_faster"] = theirs["median"] / row["median"]
        row["times_cheaper"] = theirs["cpu"] / row["cpu"]
    return rows | {"differing_pixels": differing}


def _note_differing(
    most: dict[str, int], stage: str, mask: np.ndarray, expected: np.ndarray
) -> None:
    """Keep the most pixels that differ from stock SAM after one click.

    The full size is exact for equal logits. The decoder is within rounding, so a pixel
    whose logit is next to zero may fall on the other side.
    """
    most[stage] = max(most[stage], int((mask != expected).sum()))


def _stock_decode(stock: SamPredictor, points: Any, labels: Any) -> Any:
    sam = stock.model
    sparse, dense = sam.prompt_encoder((points, labels), None, None)
    pe = sam.prompt_encoder.get_dense_pe()
    return sam.mask_decoder(stock.features, pe, sparse, dense, False)


def in_a_window(image: np.ndarray, repeats: int) -> dict[str, Any]:
    """Measure the Labels update, and a click until its mask is there and is seen.

    The mask is there when the layer says so, and seen when the next frame is shown. CPU
    seconds of a click are those of Qt's thread: the worker computes meanwhile.
    """
    import napari
    from qtpy.QtOpenGLWidgets import QOpenGLWidget

    from napari_glmedsa.session import SessionState
    from napari_glmedsa.ui.layers import LayerTrio
    from napari_glmedsa.ui.segment_widget import SegmentWidget

    size = image.shape[:2]
    with _viewer() as viewer:
        trio = LayerTrio(viewer, viewer.add_image(image, name="photograph"))
        trio.mask.ensure()
        masks, update = [_disc(size, radius) for radius in (0.2, 0.22)], []
        for repeat in range(repeats + 1):
            start, cpu_start = time.perf_counter(), time.process_time()
            trio.mask.draw(*masks[repeat % 2])
            napari.qt.get_qapp().processEvents()
            took = time.perf_counter() - start, time.process_time() - cpu_start
            update.append(took)
    click, seen = [], []
    with _viewer() as viewer, tempfile.TemporaryDirectory() as folder:
        dock = SegmentWidget(viewer, ModelRegistry(Path(folder)))
        viewer.window.add_dock_widget(dock, name="Segment", area="right")
        viewer.add_image(image, name="photograph")
        # the layers come one by one; the session is ready before or after them
        _wait(lambda: len(viewer.layers) == 3)
        _wait(lambda: dock.session.state is SessionState.READY)
        points, labels = viewer.layers["lesion"], viewer.layers["lesion mask"]
        there: list[tuple[float, float]] = []
        shown: list[tuple[float, float]] = []
        labels.events.set_data.connect(lambda: there.append(_now()))  # all of it
        labels.events.labels_update.connect(lambda: there.append(_now()))  # or a part
        for canvas in viewer.window._qt_window.findChildren(QOpenGLWidget):
            canvas.frameSwapped.connect(lambda: there and shown.append(_now()))
        for repeat in range(repeats + 1):
            points.data = np.empty((0, 2))
            _settle(0.3)
            x_y = clicks_around(size, n=1, seed=repeat).point_coords[0]
            there.clear()
            shown.clear()
            start = _now()
            points.add(x_y[::-1])
            _wait(lambda: bool(shown))
            for found, times in ((click, there), (seen, shown)):
                found.append((times[0][0] - start[0], times[0][1] - start[1]))
        dock.session.close()
    return {
        "Labels update": _summary(update[1:]),
        "click to Labels": _summary(click[1:]),
        "click to screen": _summary(seen[1:]),
    }


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.thread_time()


@contextmanager
def _viewer() -> Iterator[Any]:
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    try:
        yield viewer
    finally:
        viewer.close()
        _settle(0.2)


def _wait(condition: Callable[[], bool]) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("The window gave no answer.")
        QApplication.processEvents()
        time.sleep(0.0005)  # the worker needs Python, too


def _settle(seconds: float) -> None:
    end = time.monotonic() + seconds
    _wait(lambda: time.monotonic() > end)


def _disc(
    size: tuple[int, int], radius: float
) -> tuple[np.ndarray, tuple[slice, slice]]:
    """Return a mask and the box that it is in, as a prediction has them."""
    from napari_glmedsa.ui.accepted import bounding_box

    row, column = np.ogrid[: size[0], : size[1]]
    mask = np.hypot(row - size[0] / 2, column - size[1] / 2) < radius * size[0]
    return mask, bounding_box(mask)


def _summary(seconds: list[tuple[float, float]]) -> dict[str, float]:
    wall, cpu = zip(*seconds, strict=True)
    return {
        "median": statistics.median(wall),
        "p95": float(np.quantile(wall, 0.95)),
        "least": min(wall),
        "cpu": statistics.median(cpu),
    }


def show(result: Mapping[str, Any]) -> None:
    """Print the table; ratios above 1 are in favour of this package."""
    show_machine(result)
    print(
        f"{'MP':>4}  {'stage':20}{'median ms':>10}{'p95 ms':>8}{'least':>8}{'times':>7}"
        f"{'CPU ms':>8}{'times':>7}"
    )
    for megapixels, rows in result["sizes"].items():
        for name, row in rows.items():
            if name == "differing_pixels":
                continue
            faster, cheaper = (
                f"{row[key]:.2f}" if key in row else ""
                for key in ("times_faster", "times_cheaper")
            )
            print(
                f"{megapixels:>4}  {name:20}{1e3 * row['median']:10.1f}"
                f"{1e3 * row['p95']:8.1f}{1e3 * row['least']:8.1f}{faster:>7}"
                f"{1e3 * row['cpu']:8.1f}{cheaper:>7}"
            )
        counts = ", ".join(f"{k} {n}" for k, n in rows["differing_pixels"].items())
        print(f"{megapixels:>4}  most pixels that differ: {counts}")


if __name__ == "__main__":
    main()
