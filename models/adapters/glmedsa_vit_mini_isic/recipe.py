"""Train the built-in GL-Med-SA adapters on dermoscopy with the project's own trainer.

    python models/adapters/glmedsa_vit_mini_isic/recipe.py --data DIR --work FOLDER

`DIR` holds ``index.csv`` with the columns id, image, mask, protocol, group and fold,
and the files it names. Fold 0 of the training protocols chooses the epoch; images of
the test protocols are opened by the measurement at the end alone.

In `FOLDER` an annotation project is made and a run trains in it; the same command goes
on with a run that was stopped. At the end the adapter is measured and written beside
this recipe, with its figures in the card and its epochs in ``curve.jsonl``.
"""

import argparse
import csv
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from segment_anything.modeling import Sam

from napari_glmedsa.adapters import (
    AdapterCard,
    GLMedSAConfig,
    load_adapter,
    save_adapter,
)
from napari_glmedsa.evaluation import PROTOCOL, Case, evaluate_clicks, summarise
from napari_glmedsa.files import atomic_write
from napari_glmedsa.images import read_image, read_mask
from napari_glmedsa.inference import Predictor
from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.events import EpochEvent
from napari_glmedsa.training.run import TrainingRun

logger = logging.getLogger("recipe")

BASE = "sam_vit_mini"
NAME = "glmedsa_vit_mini_isic"
TRAINING = ("isic2016_train", "extra", "full_frame_copy")
TESTS = ("ph2_test", "isic2016_test")
VALIDATION_FOLD = "0"
CONFIG = TrainingConfig(
    adapter=GLMedSAConfig(bottleneck_ratio=0.5),
    mask_decoder=True,
    policy="mixed",
    learning_rate=1e-3,
    decoder_learning_rate=3e-4,
    epochs=6,
    batch_size=4,
    accumulation=2,
    patience=None,
)


def rows(data: Path, protocols: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the index rows of some protocols."""
    with (data / "index.csv").open(newline="") as stream:
        return [row for row in csv.DictReader(stream) if row["protocol"] in protocols]


def training_rows(data: Path) -> list[dict[str, str]]:
    """Return what may be learnt from: no lesion of the test protocols is in it."""
    tested = {row["group"] for row in rows(data, TESTS)}
    return [row for row in rows(data, TRAINING) if row["group"] not in tested]


def is_validation(row: dict[str, str]) -> bool:
    """Say whether an image judges epochs instead of being learnt from."""
    return row["fold"] == VALIDATION_FOLD


def make_project(data: Path, folder: Path) -> AnnotationProject:
    """Return the project of all training images, made or completed."""
    if not (folder / "project.json").exists():
        AnnotationProject.create(folder)
    project = AnnotationProject.open(folder)
    for row in training_rows(data):
        name = project.add_image(
            read_image(data / row["image"]),
            source=Path(row["image"]).name,
            group=row["group"],
            split="val" if is_validation(row) else "train",
        )
        if not project.is_annotated(name):
            mask = read_mask(data / row["mask"])
            project.save_annotation(name, mask, [Provenance(origin="import")])
    return project


def trained(
    project: AnnotationProject, registry: ModelRegistry, config: TrainingConfig
) -> TrainingRun:
    """Return the project's run, finished."""
    found = TrainingRun.runs(project)
    run = found[0] if found else None
    if run is None:
        base = ModelSpec(BASE)
        run = TrainingRun.create(
            project,
            base,
            config,
            compare_with=base,
            name=NAME,
            activation="never",
            registry=registry,
        )
    if run.status().state != "finished":
        run.execute(registry, on_event=lambda event: logger.info("%s", event))
    return run


def measure(predictor: Predictor, data: Path, part: list[dict[str, str]]) -> Any:
    """Return mean Dice, IoU and threshold Jaccard after 1, 2 and 3 clicks."""
    cases = (
        Case(row["id"], read_image(data / row["image"]), read_mask(data / row["mask"]))
        for row in part
    )
    scores = list(evaluate_clicks(predictor, cases, n_clicks=3))
    means = summarise(scores)
    return {
        "n": len(scores),
        **{metric: [round(v, 4) for v in values] for metric, values in means.items()},
    }


def main() -> None:
    """Train, measure, and write the adapter file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=CONFIG.epochs)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "adapter.safetensors"
    )
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    registry = ModelRegistry(args.work / "registry")
    project = make_project(args.data, args.work / "project")
    run = trained(project, registry, replace(CONFIG, epochs=args.epochs))

    base = next(card for card in registry.bases() if card.name == BASE)
    sam = registry.load_sam(BASE, device=torch.device("cpu"))
    card = load_adapter(run.adapter_path, sam, base_sha256=base.sha256)
    card = replace(
        card,
        name=NAME,
        training={
            **card.training,
            "data": "ISIC 2016 and 2018 Task 1 training images "
            "(Codella et al. 2018, 2019; Tschandl et al. 2018)",
            "protocols": list(TRAINING),
            "validation": f"fold {VALIDATION_FOLD}",
        },
        licence="research use only (some training images are CC BY-NC)",
        description="GL-Med-SA adapters and mask decoder for skin lesions",
    )
    write(args.output, sam, card)
    # What is measured is what is shipped: rounded to 16 bits.
    load_adapter(args.output, sam, base_sha256=base.sha256)
    metrics = measured(Predictor(sam, fingerprint=NAME), args.data)
    write(args.output, sam, replace(card, metrics=metrics))
    write_curve(args.output.with_name("curve.jsonl"), run)


def write(path: Path, sam: Sam, card: AdapterCard) -> None:
    """Write adapters and decoder."""
    save_adapter(
        path,
        sam.image_encoder,
        card,
        mask_decoder=sam.mask_decoder,
        dtype=torch.float16,
    )


def write_curve(path: Path, run: TrainingRun) -> None:
    """Write what each epoch reached on the validation fold, a line each."""
    epochs = [event for event in run.events() if isinstance(event, EpochEvent)]
    with atomic_write(path) as partial:
        partial.write_text("".join(f"{json.dumps(e.to_json())}\n" for e in epochs))


def measured(predictor: Predictor, data: Path) -> dict[str, Any]:
    """Return the figures of the validation fold and of the test protocols."""
    validation = [row for row in training_rows(data) if is_validation(row)]
    metrics = {"protocol": {**PROTOCOL, "seed": 0}}
    metrics["validation"] = measure(predictor, data, validation)
    for protocol in TESTS:
        metrics[protocol] = measure(predictor, data, rows(data, (protocol,)))
        logger.info("%s %s", protocol, metrics[protocol])
    return metrics


if __name__ == "__main__":
    main()
