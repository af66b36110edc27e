import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import glmedsa
from PIL import Image

from napari_glmedsa.benchmark.fairness import by_group, contact_sheet, judge
from napari_glmedsa.benchmark.index import IndexRow
from napari_glmedsa.benchmark.traits import Traits
from napari_glmedsa.evaluation import Case
from napari_glmedsa.images import write_image, write_mask
from napari_glmedsa.samples import draw_lesion


def drawn(*, skin: tuple[int, int, int] = (220, 180, 160), radius: int = 30) -> Case:
    """A brown disc on even skin, 200 x 240."""
    rows, columns = np.mgrid[:200, :240]
    mask = (rows - 100) ** 2 + (columns - 120) ** 2 < radius**2
    image = np.empty((200, 240, 3), np.uint8)
    image[:] = skin
    image[mask] = (110, 70, 50)
    return Case("disc", image, mask)


@pytest.fixture
def rows(tmp_path: Path) -> list[IndexRow]:
    found = []
    for seed in range(4):
        lesion = draw_lesion(seed, (60, 80))
        image, mask = tmp_path / f"{seed}.png", tmp_path / f"{seed}_mask.png"
        write_image(image, lesion.image)
        write_mask(mask, lesion.mask)
        found.append(IndexRow(f"l{seed}", image, mask, "judge"))
    return found


def test_a_lesion_belongs_to_the_group_of_its_size():
    groups = [Traits.of(drawn(radius=r)).groups["lesion size"] for r in (20, 40, 80)]
    assert groups == ["below 5 %", "5 to 20 %", "20 to 50 %"]


def test_contrast_is_what_lies_between_lesion_and_skin():
    faint, strong = drawn(skin=(125, 85, 62)), drawn(skin=(235, 205, 190))
    assert Traits.of(faint).groups["contrast"] == "below 15"
    assert Traits.of(strong).groups["contrast"] == "30 and more"


@pytest.mark.parametrize(
    ("skin", "group"),
    [
        ((245, 225, 215), "very light"),
        ((190, 140, 110), "tan"),
        ((90, 60, 45), "brown or dark"),
    ],
)
def test_skin_is_grouped_by_its_typology_angle(skin, group):
    assert Traits.of(drawn(skin=skin)).groups["skin (ITA)"] == group


def test_dark_corners_hair_and_patches_are_seen():
    plain = drawn()
    assert not Traits.of(plain).has_dark_corners
    assert not Traits.of(plain).has_hair
    assert not Traits.of(plain).has_patch
    patched = plain.image.copy()
    patched[60:140, 210:] = (0, 120, 220)
    assert Traits.of(Case("x", patched, plain.mask)).has_patch
    dark = plain.image.copy()
    dark[:30, :30] = dark[-30:, -30:] = 0
    assert Traits.of(Case("x", dark, plain.mask)).has_dark_corners
    hairy = plain.image.copy()
    hairy[::20] = hairy[1::20] = (60, 40, 30)
    assert Traits.of(Case("x", hairy, plain.mask)).has_hair


def test_a_photograph_without_a_lesion_has_a_group_of_its_own():
    case = drawn(radius=0)
    assert not case.mask.any()
    groups = Traits.of(case).groups
    assert groups["lesion size"] == "no lesion"
    assert groups["contrast"] == groups["skin (ITA)"] == "unknown"


def test_every_photograph_is_in_one_group_of_each_grouping(predictor, rows):
    judged = judge(predictor, rows, clicks=2)
    scores = by_group(judged)
    for grouping in judged[0].traits.groups:
        own = [score for score in scores if score.grouping == grouping]
        assert sum(score.n for score in own) == len(rows)
        mean = sum(score.n * score.dice for score in own) / len(rows)
        assert mean == pytest.approx(np.mean([image.dice for image in judged]))


def test_groups_stand_in_their_own_order(predictor, rows):
    image = judge(predictor, rows[:1])[0]
    shares = (0.6, 0.01, 0.3, 0.0, 0.1)
    judged = [
        replace(image, traits=replace(image.traits, share=share)) for share in shares
    ]
    sizes = [s.group for s in by_group(judged) if s.grouping == "lesion size"]
    first = ["no lesion", "below 5 %", "5 to 20 %", "20 to 50 %"]
    assert sizes == [*first, "50 % and more"]


def test_the_contact_sheet_shows_the_worst_first(predictor, rows):
    judged = judge(predictor, rows)
    sheet = contact_sheet(judged, 2)
    worst = min(judged, key=lambda image: image.dice)
    height, width = worst.tile.shape[:2]
    left = (220 - width) // 2
    assert np.array_equal(np.asarray(sheet)[:height, left : left + width], worst.tile)


def test_the_command_writes_groups_images_and_the_worst_cases(
    rows, registry, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(registry.root))
    index = tmp_path / "index.csv"
    with index.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "image", "mask", "protocol"])
        for row in rows:
            writer.writerow([row.id, row.image.name, row.mask.name, row.protocol])
    arguments = ("benchmark", "fairness", "--data", index, "--test", "judge")
    out = tmp_path / "out"
    done = glmedsa(capsys, *arguments, "--model", "sam_tiny", "--output", out)
    assert done.code == 0
    document = json.loads((out / "groups.json").read_text())
    assert document["groups"][0]["n"] == 4
    assert document["facts"]["model"] == "sam_tiny"
    assert len((out / "images.csv").read_text().splitlines()) == 5
    with Image.open(out / "worst.jpg") as sheet:
        assert sheet.size[0] > 0
