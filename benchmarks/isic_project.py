"""An annotation project of real photographs: some to learn from, a test set to judge.

    python benchmarks/isic_project.py --data DIR --output PROJECT
    glmedsa train PROJECT --start sam_vit_mini --compare-with sam_vit_mini

`DIR` holds ``index.csv`` with the columns id, image, mask, protocol and group, and the
files it names. Images of the training protocol, drawn by the seed, become the train and
val parts, split by group; the test protocol becomes the test part as a whole.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from napari_glmedsa.images import read_image, read_mask
from napari_glmedsa.project import AnnotationProject, Provenance, Split

VALIDATION_SHARE = 0.15


def rows(data: Path, protocol: str) -> list[dict[str, str]]:
    """Return the index rows of a protocol, in the order of their ids."""
    with (data / "index.csv").open(newline="") as stream:
        found = [row for row in csv.DictReader(stream) if row["protocol"] == protocol]
    return sorted(found, key=lambda row: row["id"])


def learnt_from(data: Path, protocol: str, n: int, seed: int) -> dict[str, Split]:
    """Draw `n` images of a protocol; return their ids with train or val."""
    known = rows(data, protocol)
    rng = np.random.default_rng(seed)
    picked = [known[index] for index in rng.permutation(len(known))[:n]]
    groups = rng.permutation(sorted({row["group"] for row in picked}))
    val = set(groups[: max(1, round(VALIDATION_SHARE * len(groups)))])
    return {row["id"]: "val" if row["group"] in val else "train" for row in picked}


def add(
    project: AnnotationProject, data: Path, row: dict[str, str], split: Split
) -> None:
    """Put one photograph and its mask into the project."""
    image, mask = read_image(data / row["image"]), read_mask(data / row["mask"])
    name = project.add_image(
        image, source=Path(row["image"]).name, group=row["group"], split=split
    )
    project.save_annotation(name, mask, [Provenance(origin="import")])


def main() -> None:
    """Make the project."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--train", default="isic2016_train", metavar="PROTOCOL")
    parser.add_argument("--test", default="isic2016_test", metavar="PROTOCOL")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    project = AnnotationProject.create(args.output)
    splits = learnt_from(args.data, args.train, args.images, args.seed)
    for row in rows(args.data, args.train):
        if row["id"] in splits:
            add(project, args.data, row, splits[row["id"]])
    for row in rows(args.data, args.test):
        add(project, args.data, row, "test")
    for split in ("train", "val", "test"):
        print(split, len(project.annotated(split)))


if __name__ == "__main__":
    main()
