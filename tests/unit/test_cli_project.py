import json
import re
from pathlib import Path

import numpy as np
import pytest
from command import glmedsa, is_one_sentence

from napari_glmedsa.images import write_image, write_mask
from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.samples import draw_lesion


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Four drawn lesions and their masks, named as the ISIC archives name them."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    for seed in range(4):
        sample = draw_lesion(seed, (48, 64))
        write_image(images / f"ISIC_{seed}.png", sample.image)
        write_mask(masks / f"ISIC_{seed}_Segmentation.png", sample.mask)
    return images, masks


@pytest.fixture
def root(tmp_path):
    return AnnotationProject.create(tmp_path / "moles").root


@pytest.fixture
def run(capsys, root, folders):
    """Runs `glmedsa project COMMAND` on the project; import knows the folders."""

    def project(command, *arguments):
        if command == "import":
            arguments = ("--images", folders[0], "--masks", folders[1], *arguments)
        return glmedsa(capsys, "project", command, root, *arguments)

    return project


def test_create_makes_a_project_that_opens(capsys, tmp_path):
    said = glmedsa(capsys, "project", "create", tmp_path / "new", "--name", "Moles")
    assert (said.code, said.err) == (0, "")
    assert AnnotationProject.open(tmp_path / "new").name == "Moles"
    again = glmedsa(capsys, "project", "create", tmp_path / "new")
    assert again.code == 2
    assert is_one_sentence(again.err)


def test_add_copies_images_without_masks(run, root, folders):
    said = run("add", folders[0])
    assert said.code == 0
    assert len(said.out.splitlines()) == 4
    project = AnnotationProject.open(root)
    assert len(project.images()) == 4
    assert project.annotated() == []


def test_add_names_the_files_that_it_refuses(run, root, folders, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    said = run("add", folders[0], tmp_path / "bad.png")
    assert said.code == 1
    assert "bad.png" in said.err
    assert len(AnnotationProject.open(root).images()) == 4
    alone = run("add", tmp_path / "bad.png")
    assert alone.code == 2
    assert is_one_sentence(alone.err)


def test_import_takes_pairs_once(run, root, folders):
    said = run("import")
    assert said.code == 0
    assert said.out == "Imported 4 of 4 pairs into moles.\n"
    project = AnnotationProject.open(root)
    records = {record.source: record.id for record in project.images()}
    assert sorted(records) == [f"ISIC_{seed}.png" for seed in range(4)]
    for seed in range(4):
        sample = draw_lesion(seed, (48, 64))
        image = records[f"ISIC_{seed}.png"]
        assert np.array_equal(project.image(image), sample.image)
        assert np.array_equal(project.mask(image), sample.mask)
        assert project.objects(image)[0].origin == "import"
    again = run("import")
    assert again.code == 0
    assert again.out == "Imported 0 of 4 pairs into moles; 4 were there already.\n"


def test_import_says_what_it_refused_and_why(run, root, folders):
    images, masks = folders
    write_mask(masks / "ISIC_0_Segmentation.png", np.zeros((48, 64), bool))
    write_mask(masks / "ISIC_1_Segmentation.png", np.ones((64, 48), bool))
    (images / "ISIC_2.png").write_bytes(b"no image")
    sample = draw_lesion(3, (48, 64))
    write_image(images / "ISIC_4.png", sample.image)
    write_mask(masks / "ISIC_4_Segmentation.png", sample.mask)
    said = run("import")
    assert said.code == 1
    assert said.out == "Imported 1 of 5 pairs into moles.\n"
    for reason in (
        "ISIC_0_Segmentation.png is empty",
        "48 x 64 pixels but",
        "ISIC_2.png is not an image",
        "ISIC_4.png is a duplicate of ISIC_3.png",
        "4 of 5 pairs were refused",
    ):
        assert reason in said.err
    assert len(AnnotationProject.open(root).images()) == 1


def test_import_keeps_a_mask_that_is_in_the_project(run, root):
    sample = draw_lesion(1, (48, 64))
    project = AnnotationProject.open(root)
    image = project.add_image(sample.image, source="mine.png")
    project.save_annotation(image, ~sample.mask, [Provenance(annotator="me")])
    said = run("import")
    assert said.code == 1
    assert "is in the project already, with another mask" in said.err
    assert np.array_equal(project.mask(image), ~sample.mask)


def test_import_can_pin_the_split_and_take_only_some(run, root):
    assert run("import", "--split", "test", "--limit", "3").code == 0
    splits = AnnotationProject.open(root).splits()
    assert list(splits.values()) == ["test"] * 3
    assert run("import", "--split", "holdout").code == 2


@pytest.mark.parametrize("ending", ["", ".png"])
def test_import_reads_groups_by_name_with_or_without_ending(
    run, root, tmp_path, ending
):
    table = tmp_path / "groups.csv"
    table.write_text(
        f"image,site,group\nISIC_0{ending},arm,p1\nISIC_1{ending},leg,p1\nother,,p2\n",
        encoding="utf-8-sig",
    )
    said = run("import", "--groups", table)
    assert said.code == 0
    assert "gives no group to 2 of 4 images" in said.err
    groups = {r.source: r.group for r in AnnotationProject.open(root).images()}
    assert groups == {
        **dict.fromkeys(("ISIC_0.png", "ISIC_1.png"), "p1"),
        **dict.fromkeys(("ISIC_2.png", "ISIC_3.png")),
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "has no columns"),
        (b"name,group\nISIC_0,a\n", "has no columns"),
        (b"image,group\nother,a\n", "names none of the images"),
        (b"image,group\nISIC_0,a\nISIC_0.png,b\n", "two groups"),
        (b"image,group\n\xff\xfe\n", "not a CSV file"),
        (None, "cannot be read"),
    ],
)
def test_a_table_of_groups_that_is_wrong_stops_the_import(
    run, root, tmp_path, content, reason
):
    if content is not None:
        (tmp_path / "groups.csv").write_bytes(content)
    said = run("import", "--groups", tmp_path / "groups.csv")
    assert said.code == 2
    assert reason in said.err
    assert is_one_sentence(said.err)
    assert AnnotationProject.open(root).images() == []


def test_a_full_disk_ends_the_import_with_one_sentence(run, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    said = run("import")
    assert said.code == 2
    assert said.err.count("No space left") == 1


def test_list_shows_masks_splits_objects_and_annotators(run, root, folders):
    run("import", "--limit", "3")
    run("add", folders[0])
    project = AnnotationProject.open(root)
    (first, *_) = project.annotated()
    label_map = project.label_map(first)
    label_map[0, :3] = 2
    project.save_annotation(
        first, label_map, [Provenance(annotator="Ada Lovelace")] * 2
    )
    said = run("list", "--json")
    assert said.code == 0
    document = json.loads(said.out)
    assert document["name"] == "moles"
    assert [row["source"] for row in document["images"]] == [
        f"ISIC_{seed}.png" for seed in range(4)
    ]
    assert sorted(row["status"] for row in document["images"]) == [
        *["annotated"] * 3,
        "no mask",
    ]
    (row,) = (row for row in document["images"] if row["id"] == first)
    assert (row["objects"], row["annotators"]) == (2, ["Ada Lovelace"])
    assert row["split"] == project.splits()[first]
    table = run("list").out
    assert re.search(f"{first} .* Ada Lovelace", table)  # in one line, for programs
    assert "ISIC_3.png" in table
    assert table.endswith("moles: 4 images, 3 with a mask (1 train, 1 val, 1 test).\n")


def test_an_empty_project_is_listed_and_checked(run):
    for command in ("list", "check"):
        said = run(command)
        assert said.code == 0
        assert said.out.startswith("moles: 0 images, 0 with a mask")


def test_check_prints_one_sentence_per_problem(run, root):
    run("import")
    assert run("check").code == 0
    first, second, *_ = AnnotationProject.open(root).annotated()
    (root / "images" / f"{first}.png").write_bytes(b"")
    (root / "masks" / f"{second}.png").unlink()
    said = run("check")
    assert said.code == 1
    assert len(said.out.splitlines()) == 2
    assert first in said.out
    assert second in said.out


@pytest.mark.parametrize("command", ["add", "import", "list", "check"])
def test_a_folder_that_is_no_project_is_a_users_mistake(run, root, folders, command):
    (root / "project.json").unlink()
    said = run(command, *([folders[0]] if command == "add" else []))
    assert said.code == 2
    assert is_one_sentence(said.err)


def test_a_newer_project_is_refused(run, root):
    (root / "project.json").write_text('{"schema_version": 2, "name": "moles"}')
    said = run("list")
    assert said.code == 2
    assert "format 2" in said.err
