"""Does the worklist's order by uncertainty save labels? Two answers, with seeds.

    python benchmarks/active_learning.py --data DIR [--output FILE.json]

`DIR` holds ``index.csv`` with the columns id, image, mask, protocol, group and fold,
and the files it names. Only training protocols are opened; folds never share a group.

1. Finding: the built-in model ranks photographs of its validation fold that it was not
   trained on. Are the ones ranked first those that it outlines worse?
2. Learning: from the base model, which knows no dermoscopy, an annotator labels first
   the same few photographs drawn at random, and then as many as there are again and
   again: those that the model trained so far is most uncertain about, or drawn at
   random. After each round the model is trained anew on all labels and judged on a
   fold that nothing was learnt from. To afford many runs on one core, the mask decoder
   alone is trained, on embeddings that are computed once (also of the two mirror
   images, which uncertainty needs and training uses).
"""

import argparse
import copy
import csv
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam

from napari_glmedsa.evaluation import Case, dice, replay_clicks
from napari_glmedsa.images import read_image, read_mask
from napari_glmedsa.inference import ImageEmbedding, Predictor
from napari_glmedsa.inference.preprocess import input_resize, resize_to_input
from napari_glmedsa.registry import DEFAULT_MODEL, ModelRegistry, ModelSpec
from napari_glmedsa.training.losses import mask_loss
from napari_glmedsa.training.prompting import ClickPlan, click_losses
from napari_glmedsa.worklist.uncertainty import (
    FLIPPED_AXES,
    Uncertainty,
    compare_views,
)

LEARNT_FROM = "isic2016_train"
HELD_OUT_FOLD = "0"
ROUNDS = (8, 16, 32, 64)
STEPS, BATCH = 100, 4
RATE = 5e-4
CLICK_SEEDS = range(3)
STRATEGIES = ("uncertainty", "random")


@dataclass(frozen=True, eq=False)
class Known:
    """A photograph with all that is computed once: it, and it flipped twice."""

    case: Case
    views: list[ImageEmbedding]
    masks: list[NDArray[np.bool_]]  # (S, S), in the model's padded input frame


def rows(data: Path, *, held_out: bool) -> list[dict[str, str]]:
    """Return the index rows to judge by, or those to learn from, in ids' order."""
    with (data / "index.csv").open(newline="") as stream:
        found = [r for r in csv.DictReader(stream) if r["protocol"] == LEARNT_FROM]
    picked = [r for r in found if (r["fold"] == HELD_OUT_FOLD) == held_out]
    return sorted(picked, key=lambda row: row["id"])


def drawn(rows: list[dict[str, str]], n: int) -> list[dict[str, str]]:
    """Draw `n` rows, the same every time."""
    order = np.random.default_rng(0).permutation(len(rows))
    return [rows[index] for index in order[:n]]


def know(predictor: Predictor, data: Path, row: dict[str, str]) -> Known:
    """Read and encode a photograph and its mirror images."""
    image, mask = read_image(data / row["image"]), read_mask(data / row["mask"])
    size = predictor.sam.image_encoder.img_size
    views, masks = [], []
    for axis in (None, *FLIPPED_AXES):
        pixels, truth = (
            part if axis is None else np.ascontiguousarray(np.flip(part, axis))
            for part in (image, mask)
        )
        view = predictor.encode(pixels)
        framed = np.zeros((size, size), dtype=bool)
        rows, columns = view.input_size
        painted = np.repeat(255 * truth[..., None].astype(np.uint8), 3, axis=2)
        shrunk, _ = resize_to_input(painted, size, input_resize(predictor.sam))
        framed[:rows, :columns] = shrunk[..., 0] >= 128
        views.append(view)
        masks.append(framed)
    return Known(Case(row["id"], image, mask), views, masks)


def judge(predictor: Predictor, held_out: Sequence[Known]) -> list[float]:
    """Return each image's Dice after one click, the mean over the clicks' seeds."""
    scores = []
    for known in held_out:
        answers = [
            next(
                replay_clicks(
                    *(predictor, known.case),
                    n_clicks=1,
                    seed=seed,
                    embedding=known.views[0],
                )
            )
            for seed in CLICK_SEEDS
        ]
        scores.append(float(np.mean([dice(a.mask, known.case.mask) for a in answers])))
    return scores


def learn(
    sam: Sam, start: dict[str, Any], labelled: Sequence[Known], seed: int
) -> Predictor:
    """Train the mask decoder anew on these photographs; return the model."""
    decoder, loss = sam.mask_decoder, mask_loss("dice_ce")
    decoder.load_state_dict(start)
    decoder.requires_grad_(True)
    optimizer = torch.optim.AdamW(decoder.parameters(), RATE)
    rng = np.random.default_rng([seed, len(labelled)])
    for step in range(STEPS):
        share = min(1.0, (step + 1) / 10) * 0.5 * (1 + np.cos(np.pi * step / STEPS))
        for group in optimizer.param_groups:
            group["lr"] = RATE * share
        picked = rng.choice(len(labelled), BATCH, replace=len(labelled) < BATCH)
        flips = rng.integers(0, 1 + len(FLIPPED_AXES), BATCH)
        pairs = [(labelled[i], flip) for i, flip in zip(picked, flips, strict=True)]
        losses = click_losses(
            sam,
            torch.cat([known.views[flip].features for known, flip in pairs]),
            np.stack([known.masks[flip] for known, flip in pairs]),
            plans=[ClickPlan(1, "positive")] * BATCH,
            rngs=[np.random.default_rng(rng.integers(2**63)) for _ in pairs],
            loss=loss,
            iou_head=True,  # the predicted IoU is a part of the uncertainty
        )
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
    return Predictor(sam, fingerprint=f"{seed}-{len(labelled)}")


def simulate(
    sam: Sam,
    pool: Sequence[Known],
    held_out: Sequence[Known],
    *,
    seed: int,
    say: Callable[[str], None],
) -> dict[str, list[float]]:
    """Return the held-out Dice after each round, by strategy."""
    start = copy.deepcopy(sam.mask_decoder.state_dict())
    order = np.random.default_rng(seed).permutation(len(pool)).tolist()
    curves: dict[str, list[float]] = {}
    model = Predictor(sam, fingerprint="base")
    for strategy in STRATEGIES:
        labelled = order[: ROUNDS[0]]
        curves[strategy] = []
        for n_labels in ROUNDS:
            if len(labelled) < n_labels:
                rest = [index for index in order if index not in set(labelled)]
                if strategy == "uncertainty":
                    unsure = [compare_views(model, pool[i].views).score for i in rest]
                    rest = [rest[place] for place in np.argsort(unsure)[::-1]]
                labelled = [*labelled, *rest[: n_labels - len(labelled)]]
            model = learn(sam, start, [pool[index] for index in labelled], seed)
            curves[strategy].append(float(np.mean(judge(model, held_out))))
            say(f"seed {seed} {strategy} {n_labels}: {curves[strategy][-1]:.4f}")
    sam.mask_decoder.load_state_dict(start)
    return curves


def find(
    predictor: Predictor, data: Path, picked: Sequence[dict[str, str]]
) -> dict[str, Any]:
    """Rank photographs that the model was not trained on, and compare with the truth.

    ``auc`` is the chance that one of the quarter with the lowest Dice is ranked
    before one of the others; ``first_fifth`` is the mean Dice of those ranked first.
    """
    truths, found = [], []
    for row in picked:
        known = know(predictor, data, row)
        truths.append(judge(predictor, [known])[0])
        found.append(compare_views(predictor, known.views))
    truth = np.array(truths)
    poor = truth < np.quantile(truth, 0.25)
    measures: dict[str, Callable[[Uncertainty], float]] = {
        "score": lambda u: u.score,
        "1 - stability": lambda u: 1 - u.stability,
        "1 - agreement": lambda u: 1 - u.agreement,
        "1 - predicted IoU": lambda u: 1 - u.predicted_iou,
    }
    results = {}
    for name, measure in measures.items():
        values = np.array([measure(item) for item in found])
        first = np.argsort(-values)[: max(1, len(values) // 5)]
        wins = values[poor][:, None] - values[~poor][None]
        results[name] = {
            "spearman": -float(np.corrcoef(_ranks(values), _ranks(truth))[0, 1]),
            "auc": float(np.mean((wins > 0) + 0.5 * (wins == 0))),
            "first_fifth": float(truth[first].mean()),
        }
    return {"images": len(truth), "mean_dice": float(truth.mean()), "by": results}


def labels_for(curve: Sequence[float], target: float) -> float | None:
    """Return how many labels reach a Dice, interpolated over log2 of them."""
    logs = np.log2(ROUNDS)
    best = np.maximum.accumulate(curve)
    if best[-1] < target:
        return None
    if best[0] >= target:
        return float(ROUNDS[0])
    after = int(np.argmax(best >= target))
    share = (target - best[after - 1]) / (best[after] - best[after - 1])
    return float(2 ** (logs[after - 1] + share * (logs[after] - logs[after - 1])))


def conclude(curves: Sequence[dict[str, list[float]]]) -> dict[str, Any]:
    """Return means over seeds, paired differences with 95 % intervals, and labels."""
    by = {name: np.array([curve[name] for curve in curves]) for name in STRATEGIES}
    difference = by["uncertainty"] - by["random"]
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(curves), (10_000, len(curves)))
    interval = np.quantile(difference[draws].mean(1), (0.025, 0.975), axis=0)
    means = {name: values.mean(0).tolist() for name, values in by.items()}
    targets = {
        f"what random order reaches with {n}": means["random"][i]
        for i, n in enumerate(ROUNDS)
        if i
    }
    return {
        "labels": list(ROUNDS),
        "dice": means,
        "difference": difference.mean(0).tolist(),
        "interval": interval.T.tolist(),
        "labels_needed": {
            words: {"dice": target}
            | {name: labels_for(means[name], target) for name in STRATEGIES}
            for words, target in targets.items()
        },
    }


def show(result: dict[str, Any]) -> None:
    """Print the result as the tables of the documentation."""
    if finding := result.get("finding"):
        print(f"\n{finding['images']} images, mean Dice {finding['mean_dice']:.3f}\n")
        print("| ordered by | Spearman | AUC | Dice of the first fifth |")
        print("|---|---|---|---|")
        for name, row in finding["by"].items():
            values = (row["spearman"], row["auc"], row["first_fifth"])
            print(f"| {name} | " + " | ".join(f"{v:.3f}" for v in values) + " |")
    learning = result["learning"]
    print("\n| labels | uncertainty | random | difference (95 % interval) |")
    print("|---|---|---|---|")
    for i, n_labels in enumerate(learning["labels"]):
        low, high = learning["interval"][i]
        mine, other = (learning["dice"][name][i] for name in STRATEGIES)
        print(
            f"| {n_labels} | {mine:.3f} | {other:.3f} |"
            f" {learning['difference'][i]:+.3f} ({low:+.3f} to {high:+.3f}) |"
        )
    print("\n| Dice | labels by uncertainty | labels at random |")
    print("|---|---|---|")
    for row in learning["labels_needed"].values():
        cells = (
            "not reached" if row[n] is None else f"{row[n]:.0f}" for n in STRATEGIES
        )
        print(f"| {row['dice']:.3f} | {' | '.join(cells)} |")


def _ranks(values: NDArray[Any]) -> NDArray[Any]:
    return np.argsort(np.argsort(values, kind="stable"), kind="stable")


def main() -> None:
    """Run both parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, help="a JSON file with every figure")
    parser.add_argument("--pool", type=int, default=200)
    parser.add_argument("--held-out", type=int, default=60)
    parser.add_argument("--find", type=int, default=80, help="0 leaves this part out")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(0)
    began = time.perf_counter()

    def say(words: str) -> None:
        print(f"[{time.perf_counter() - began:6.0f} s] {words}", flush=True)

    def load(spec: ModelSpec) -> Predictor:
        registry = ModelRegistry(Path("nothing of the user's"))
        return registry.load(spec, device=torch.device("cpu"), precision="fp32")

    result: dict[str, Any] = {"arguments": {k: str(v) for k, v in vars(args).items()}}
    held_out_rows = rows(args.data, held_out=True)
    if args.find:
        picked = drawn(held_out_rows, args.find)
        result["finding"] = find(load(DEFAULT_MODEL), args.data, picked)
        say("finding done")
    base = load(ModelSpec("sam_vit_mini"))
    held_out = [know(base, args.data, r) for r in drawn(held_out_rows, args.held_out)]
    picked = drawn(rows(args.data, held_out=False), args.pool)
    pool = [know(base, args.data, row) for row in picked]
    say("encoded")
    curves = []
    for seed in range(args.seeds):
        curves.append(simulate(base.sam, pool, held_out, seed=seed, say=say))
        result |= {"curves": curves, "learning": conclude(curves)}
        result["minutes"] = (time.perf_counter() - began) / 60
        if args.output:
            args.output.write_text(json.dumps(result, indent=2) + "\n")
    show(result)


if __name__ == "__main__":
    main()
