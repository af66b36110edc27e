"""How many clicks does a lesion need? A simulated annotator corrects what is worst.

    python benchmarks/clicks_to_target.py --data DIR [--limit N] [--json FILE]

`DIR` holds ``index.csv`` with the columns id, image, mask and protocol, and the files
it names. The annotator of interactive segmentation: of all regions where the answer is
wrong, she takes the one with the most pixels and clicks on its inmost pixel, on missed
lesion as lesion and on wrongly marked skin as background; the first click is the inmost
pixel of the lesion. She sees the mask as the Segment dock shows it, at the size of the
photograph, and every click goes to the model as the dock sends it: all clicks so far,
nothing else.

NoC@85 is the mean number of clicks until Dice reaches 0.85. An image that has not
reached it after the last click counts as that many clicks, and is counted on its own.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from measuring import machine
from numpy.typing import NDArray
from scipy import ndimage

from napari_glmedsa.benchmark.index import DataIndex
from napari_glmedsa.evaluation import Case, dice
from napari_glmedsa.inference import Predictor, Prompts
from napari_glmedsa.registry import DEFAULT_MODEL, ModelRegistry, ModelSpec
from napari_glmedsa.simulation import inmost

TARGETS = (0.85, 0.90)
MOST_CLICKS = 10
MaskInput = Literal["none", "previous"]

_TOUCHING = np.ones((3, 3))  # pixels that meet at a corner are one region


@dataclass(frozen=True, slots=True)
class Clicked:
    """Dice of one image after 1, 2, ... clicks."""

    id: str
    dice: tuple[float, ...]

    def clicks_to(self, target: float) -> int | None:
        """Return how many clicks reach a Dice, None if none does."""
        return next((n for n, one in enumerate(self.dice, 1) if one >= target), None)


def next_click(
    mask: NDArray[np.bool_], predicted: NDArray[np.bool_], clicked: Prompts
) -> tuple[NDArray[np.float64], int] | None:
    """Return where the annotator clicks, (x, y), and as what; None if all is right.

    Parameters
    ----------
    mask, predicted
        (H, W) bool, truth and answer.
    clicked
        The clicks so far. Their pixels count as right: nobody clicks twice on one.
    """
    wrong = mask ^ predicted
    columns, rows = clicked.point_coords.astype(int).T
    wrong[rows, columns] = False
    worst: tuple[int, NDArray[np.bool_], int] | None = None
    for label, region in ((1, wrong & mask), (0, wrong & ~mask)):
        numbers, _ = ndimage.label(region, _TOUCHING)
        sizes = np.bincount(numbers.ravel())
        sizes[0] = 0
        largest = int(sizes.argmax())
        if sizes[largest] > (worst[0] if worst else 0):
            worst = int(sizes[largest]), numbers == largest, label
    return worst and (inmost(worst[1]), worst[2])


def click_until_done(
    predictor: Predictor,
    case: Case,
    *,
    most: int = MOST_CLICKS,
    mask_input: MaskInput = "none",
) -> Clicked:
    """Click on one image until nothing is wrong or the clicks are used up.

    With ``mask_input="previous"`` the logits of the answer before go in as well.
    """
    embedding = predictor.encode(case.image)
    answer = np.zeros_like(case.mask)
    prompts, scores = Prompts.empty(), []
    logits: NDArray[np.float32] | None = None
    for _ in range(most):
        found = next_click(case.mask, answer, prompts)
        if found is None:
            break
        point, label = found
        prompts = Prompts(
            np.vstack([prompts.point_coords, point]),
            np.append(prompts.point_labels, label),
            mask_input=logits,
        )
        prediction = predictor.predict(embedding, prompts)
        answer = prediction.mask
        if mask_input == "previous":
            logits = prediction.low_res_logits[0, 0].cpu().numpy()
        scores.append(dice(answer, case.mask))
    # Who sees that nothing is wrong leaves it as it is.
    last = scores[-1] if scores else dice(answer, case.mask)
    return Clicked(case.id, (*scores, *[last] * (most - len(scores))))


def conclude(clicked: Sequence[Clicked]) -> dict[str, Any]:
    """Return mean clicks to each target with who failed, and mean Dice by clicks."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(clicked), (10_000, len(clicked)))
    targets = {}
    for target in TARGETS:
        reached = [one.clicks_to(target) for one in clicked]
        clicks = np.array([n or len(clicked[0].dice) for n in reached], dtype=float)
        targets[f"{target:.2f}"] = {
            "clicks": float(clicks.mean()),
            "interval": np.quantile(clicks[drawn].mean(1), (0.025, 0.975)).tolist(),
            "median": float(np.median(clicks)),
            "after_one": sum(n == 1 for n in reached),
            "failed": sum(n is None for n in reached),
        }
    scores = np.array([one.dice for one in clicked])
    return {
        "images": len(clicked),
        "targets": targets,
        "dice": scores.mean(0).tolist(),
        "lowest_tenth": np.quantile(scores, 0.1, axis=0).tolist(),
    }


def show(result: dict[str, Any]) -> None:
    """Print the tables of the documentation."""
    images = result["images"]
    print(f"\n{images} images, {result['model']}\n")
    print("| Dice | mean clicks (95 % interval) | median | after one | not reached |")
    print("|---|---|---|---|---|")
    for target, row in result["targets"].items():
        low, high = row["interval"]
        print(
            f"| {target} | {row['clicks']:.2f} ({low:.2f} to {high:.2f}) |"
            f" {row['median']:g} | {row['after_one']} | {row['failed']} |"
        )
    print("\n| clicks | mean Dice | a tenth is below |")
    print("|---|---|---|")
    rows = zip(result["dice"], result["lowest_tenth"], strict=True)
    for n, (mean, lowest) in enumerate(rows, 1):
        print(f"| {n} | {mean:.3f} | {lowest:.3f} |")


def read_cases(
    data: Path, protocol: str, fold: str | None, limit: int | None
) -> Iterator[Case]:
    """Read photographs one after the other, in the order of their ids."""
    rows = DataIndex.read(data).of([protocol])
    picked = [row for row in rows if fold is None or row.fold == fold]
    return (row.case() for row in picked[:limit])


def measure(
    predictor: Predictor, cases: Iterable[Case], *, mask_input: MaskInput
) -> list[Clicked]:
    """Click on every image."""
    return [click_until_done(predictor, case, mask_input=mask_input) for case in cases]


def main() -> None:
    """Click on every photograph and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--protocol", default="ph2_test")
    parser.add_argument("--fold", help="one fold of a training protocol")
    parser.add_argument("--limit", type=int, help="this many photographs only")
    parser.add_argument("--model", default=str(DEFAULT_MODEL), help="BASE or BASE+NAME")
    parser.add_argument(
        "--models", type=Path, default=Path("nothing of the user's"), metavar="FOLDER"
    )
    parser.add_argument(
        "--mask-input", choices=("none", "previous"), default="none", help="see above"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="a file with every figure")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    began = time.perf_counter()
    predictor = ModelRegistry(args.models).load(
        ModelSpec.parse(args.model), device=torch.device("cpu"), precision="fp32"
    )
    cases = read_cases(args.data, args.protocol, args.fold, args.limit)
    clicked = measure(predictor, cases, mask_input=args.mask_input)
    result = {
        "model": args.model,
        "arguments": {k: str(v) for k, v in vars(args).items() if v is not None},
        "machine": machine(args.threads),
        **conclude(clicked),
        "minutes": (time.perf_counter() - began) / 60,
        "by_image": [asdict(one) for one in clicked],
    }
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    show(result)


if __name__ == "__main__":
    main()
