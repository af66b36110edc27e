import errno
import json
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from napari_glmedsa.errors import (
    ImageFormatError,
    OutputError,
    ProjectError,
    ProjectVersionError,
)
from napari_glmedsa.project import AnnotationProject, Provenance, folder, image_id

MASK = np.eye(48, 70, dtype=bool)


@pytest.fixture
def project(tmp_path):
    return AnnotationProject.create(tmp_path / "moles", name="Moles")


def picture(seed, size=(48, 70)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def annotate(project, *seeds, **about):
    """Add the pictures of these seeds with a mask; return their ids."""
    ids = []
    for seed in seeds:
        image = project.add_image(picture(seed), source=f"{seed}.png", **about)
        project.save_annotation(image, MASK, [Provenance()])
        ids.append(image)
    return ids


def files_of(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_an_accepted_mask_is_read_back_with_where_it_came_from(project, lesion):
    image = project.add_image(lesion.image, source="/home/patient/mole.jpg")
    clicks = Provenance(
        point_coords=((64.0, 48.5), (1.0, 2.0)),
        point_labels=(1, 0),
        box=(1.0, 2.0, 30.0, 40.0),
        model="a+b",
        hand_edited=True,
        annotator="me",
        created="2024-01-01T00:00:00+00:00",
    )
    project.save_annotation(image, lesion.mask, [clicks])
    again = AnnotationProject.open(project.root)
    assert again.name == "Moles"
    assert np.array_equal(again.image(image), lesion.image)
    assert np.array_equal(again.mask(image), lesion.mask)
    assert again.labels(image) == (1,)
    assert again.objects(image) == (clicks,)
    assert again.annotated() == [image]
    assert again.check() == []


def test_the_time_is_noted_when_none_is_given(project):
    (image,) = annotate(project, 0)
    assert project.objects(image)[0].created.endswith("+00:00")


@pytest.mark.parametrize("path", ["/p/Jane Doe/mole.jpg", r"C:\Jane Doe\mole.jpg"])
def test_a_project_keeps_no_folder_of_an_image(project, path):
    image = project.add_image(picture(0), source=path)
    (record,) = project.images()
    assert (record.id, record.source, record.size) == (image, "mole.jpg", (48, 70))
    assert b"Doe" not in b"".join(files_of(project.root).values())


@pytest.mark.parametrize(("highest", "depth"), [(255, 1), (256, 2), (65535, 2)])
def test_a_mask_file_is_as_deep_as_its_labels_need(project, highest, depth):
    image = project.add_image(picture(0), source="0.png")
    label_map = np.zeros((48, 70), np.int64)
    label_map[3, 4], label_map[5:9, 5:9] = 2, highest
    project.save_annotation(image, label_map, [Provenance()] * highest)
    with Image.open(project.root / "masks" / f"{image}.png") as stored:
        assert stored.mode == {1: "L", 2: "I;16"}[depth]
    assert project.label_map(image).dtype == np.uint16
    assert np.array_equal(project.label_map(image), label_map)
    assert project.labels(image) == (2, highest)
    assert project.mask(image, 2).sum() == 1
    assert project.mask(image).sum() == 17
    with pytest.raises(ProjectError, match="no object 3"):
        project.mask(image, 3)


@pytest.mark.parametrize(
    ("label_map", "sentence"),
    [
        (np.zeros((48, 70), bool), "is empty"),
        (np.zeros((48, 70), np.int32), "is empty"),
        (np.ones((70, 48), bool), "48 x 70 pixels but its image is 70 x 48"),
        (np.ones((1, 48, 70), bool), "pixels but its image"),
        (np.full((48, 70), 65536), "label 65536"),
        (np.full((48, 70), -1), "label -1"),
        (np.full((48, 70), 0.5), "type float64"),
        (np.full((48, 70), 3), "only 2 objects"),
    ],
)
def test_a_mask_that_cannot_be_learnt_from_is_refused_and_the_old_one_stays(
    project, label_map, sentence
):
    (image,) = annotate(project, 0)
    before = files_of(project.root)
    with pytest.raises(ProjectError, match=sentence):
        project.save_annotation(image, label_map, [Provenance()] * 2)
    assert files_of(project.root) == before


@pytest.mark.parametrize(
    "image", [picture(0).astype(float), picture(0)[..., 0], picture(0)[:0]]
)
def test_an_array_that_is_no_picture_is_refused(project, image):
    with pytest.raises(ImageFormatError):
        project.add_image(image, source="0.png")


@pytest.mark.parametrize("name", ["0" * 16, "../../../etc/passwd", ""])
def test_an_image_that_is_not_there_has_a_sentence(project, name):
    for ask in (project.image, project.label_map, project.objects):
        with pytest.raises(ProjectError):
            ask(name)
    with pytest.raises(ProjectError):
        project.save_annotation(name, MASK, [Provenance()])


def test_adding_an_image_again_changes_nothing(project):
    (image,) = annotate(project, 0)
    before = files_of(project.root)
    assert project.add_image(picture(0), source="other.png") == image
    assert files_of(project.root) == before


def test_a_group_or_split_is_learnt_later_but_not_changed(project):
    image = project.add_image(picture(0), source="0.png")
    project.add_image(picture(0), source="0.png", group="a", split="val")
    (record,) = project.images()
    assert (record.id, record.group, record.split) == (image, "a", "val")
    with pytest.raises(ProjectError, match="group a and not b"):
        project.add_image(picture(0), source="0.png", group="b")
    with pytest.raises(ProjectError, match="split val and not test"):
        project.add_image(picture(0), source="0.png", split="test")
    with pytest.raises(ProjectError, match="no split holdout"):
        project.add_image(picture(1), source="1.png", split="holdout")


def test_adding_an_image_again_mends_its_damaged_file(project):
    image = project.add_image(picture(0), source="0.png")
    path = project.root / "images" / f"{image}.png"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ProjectError, match="damaged"):
        project.image(image)
    project.add_image(picture(0), source="0.png")
    assert np.array_equal(project.image(image), picture(0))


def test_three_images_make_three_splits_that_stay(project):
    annotate(project, *range(3))
    first = project.assign_splits()
    assert sorted(first.values()) == ["test", "train", "val"]
    annotate(project, *range(3, 20))
    later = project.assign_splits(seed=5)
    assert first.items() <= later.items()
    assert len(later) == 20
    assert AnnotationProject.open(project.root).splits() == later
    assert project.annotated("val") == [
        image for image, split in later.items() if split == "val"
    ]


def test_splits_tell_what_would_be_assigned_without_writing(project):
    annotate(project, *range(9))
    expected = project.splits()
    assert not (project.root / "splits.json").exists()
    assert project.assign_splits() == expected


def test_a_split_that_the_user_gave_wins(project):
    pinned = annotate(project, *range(5), split="test")
    assert {project.assign_splits()[image] for image in pinned} == {"test"}


def test_images_that_look_alike_share_a_split(project, lesion):
    ids = annotate(project, *range(12))
    half = np.asarray(Image.fromarray(lesion.image).resize((64, 48)))
    twins = [lesion.image, half, lesion.image[:, ::-1], lesion.image // 2]
    for twin in twins:
        image = project.add_image(twin, source="twin.png")
        project.save_annotation(image, np.ones(twin.shape[:2], bool), [Provenance()])
        ids.append(image)
    splits = project.assign_splits()
    assert len(splits) == len(ids)
    assert len({splits[image] for image in ids[12:]}) == 1


def test_masks_that_change_change_the_hash_of_the_data(project):
    ids = annotate(project, 0, 1)
    before = project.data_sha256(ids)
    assert project.data_sha256(reversed(ids)) == before
    assert project.data_sha256(ids[:1]) != before
    project.save_annotation(ids[0], ~MASK, [Provenance()])
    assert project.data_sha256(ids) != before


def test_a_copied_project_reads_the_same_elsewhere(project, tmp_path):
    (image,) = annotate(project, 0)
    splits = project.assign_splits()
    shutil.move(project.root, tmp_path / "elsewhere")
    moved = AnnotationProject.open(tmp_path / "elsewhere")
    assert moved.splits() == splits
    assert np.array_equal(moved.mask(image), MASK)
    assert moved.check() == []
    assert str(tmp_path).encode() not in b"".join(files_of(moved.root).values())
    for ask in (project.images, project.annotated, lambda: project.image(image)):
        with pytest.raises(ProjectError):
            ask()
    with pytest.raises(ProjectError, match="is gone"):
        annotate(project, 1)
    assert not project.root.exists()


def test_a_newer_project_is_refused_with_both_numbers(project):
    card = project.root / "project.json"
    card.write_text(json.dumps({"schema_version": 7, "name": "Moles", "new": 1}))
    with pytest.raises(ProjectVersionError, match=r"format 7.*up to 1"):
        AnnotationProject.open(project.root)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"name": "x"}', "\xff"])
def test_a_damaged_project_file_has_a_sentence(project, content):
    (project.root / "project.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ProjectError, match="is damaged"):
        AnnotationProject.open(project.root)


def test_a_folder_that_is_no_project_has_a_sentence(tmp_path):
    with pytest.raises(ProjectError, match="not an annotation project"):
        AnnotationProject.open(tmp_path)
    with pytest.raises(ProjectError, match="no folder"):
        AnnotationProject.open(tmp_path / "nowhere")


def test_a_project_is_made_only_where_nothing_else_is(project, tmp_path):
    with pytest.raises(ProjectError, match="a project already"):
        AnnotationProject.create(project.root)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(ProjectError, match="holds other files"):
        AnnotationProject.create(tmp_path / "photos")
    with pytest.raises(ProjectError, match="is a file"):
        AnnotationProject.create(tmp_path / "photos" / "a.jpg")
    with pytest.raises(OutputError, match="cannot be written"):
        AnnotationProject.create(tmp_path / "photos" / "a.jpg" / "b")


@pytest.fixture
def read_only(project, monkeypatch):
    """A project whose folder may be read only; also for root, whom no bits stop."""
    annotate(project, *range(4))
    project.assign_splits()

    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    for method in ("write_text", "write_bytes", "replace", "touch"):
        monkeypatch.setattr(Path, method, refuse)
    monkeypatch.setattr(FileLock, "_acquire", refuse)
    return AnnotationProject.open(project.root)


def test_a_read_only_project_can_be_read(read_only):
    ids = read_only.annotated()
    assert len(ids) == len(read_only.images()) == 4
    assert read_only.assign_splits() == read_only.splits()
    assert np.array_equal(read_only.mask(ids[0]), MASK)
    assert read_only.check() == []
    assert read_only.add_image(picture(0), source="0.png") in ids


def test_a_read_only_project_says_that_it_cannot_be_written(read_only):
    with pytest.raises(OutputError, match=r"cannot be written .*Permission denied"):
        read_only.add_image(picture(9), source="9.png")
    with pytest.raises(OutputError, match="cannot be written"):
        read_only.save_annotation(read_only.annotated()[0], ~MASK, [Provenance()])
    assert read_only.check() == []


def test_a_full_disk_keeps_the_former_mask(project, monkeypatch):
    (image,) = annotate(project, 0)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        project.save_annotation(image, ~MASK, [Provenance()])
    assert np.array_equal(project.mask(image), MASK)


def test_a_mask_that_is_taken_back_is_gone_and_the_image_stays(project, lesion):
    image = project.add_image(lesion.image, source="a.png")
    project.save_annotation(image, lesion.mask, [Provenance()])
    project.withdraw_annotation(image)
    assert not project.is_annotated(image)
    assert [record.id for record in project.images()] == [image]
    assert project.check() == []
    project.withdraw_annotation(image)
    project.save_annotation(image, lesion.mask, [Provenance()])
    assert project.annotated() == [image]


@pytest.mark.parametrize("killed_before", ["masks", "prompts"])
def test_killed_while_it_takes_a_mask_back_a_program_leaves_all_or_nothing(
    project, lesion, monkeypatch, killed_before
):
    image = project.add_image(lesion.image, source="a.png")
    project.save_annotation(image, lesion.mask, [Provenance()])
    unlink = Path.unlink

    def killed(path, **options) -> None:
        if path.parent.name == killed_before and path.suffix in {".png", ".json"}:
            raise KeyboardInterrupt
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        project.withdraw_annotation(image)
    assert project.is_annotated(image) == (killed_before == "prompts")


def test_a_writer_that_never_ends_has_a_sentence(project, monkeypatch):
    monkeypatch.setattr(folder, "_PATIENCE", 0.05)
    with (
        FileLock(project.root / ".lock"),
        pytest.raises(ProjectError, match="Another program"),
    ):
        annotate(project, 0)


def _annotate_in_a_process(root, seeds):
    project = AnnotationProject.open(root)
    for seed in seeds:
        annotate(project, seed)
        project.assign_splits()


def test_two_processes_lose_none_of_each_others_work(project):
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=_annotate_in_a_process, args=(project.root, seeds))
        for seeds in (range(12), range(6, 18))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    expected = sorted(image_id(picture(seed)) for seed in range(18))
    assert project.annotated() == expected
    document = json.loads((project.root / "splits.json").read_text())
    assert sorted(document["splits"]) == expected
    assert project.check() == []


def test_a_change_by_another_program_is_seen(project):
    (image,) = annotate(project, 0)
    other = AnnotationProject.open(project.root)
    assert other.annotated() == [image]
    project.save_annotation(image, ~MASK, [Provenance(annotator="b")])
    assert other.objects(image)[0].annotator == "b"
    annotate(project, 1)
    assert len(other.annotated()) == 2


def test_check_names_every_kind_of_damage(project):
    ids = annotate(project, *range(6))
    (project.root / "images" / f"{ids[0]}.png").unlink()
    (project.root / "images" / f"{ids[1]}.json").write_text("{")
    path = project.root / "masks" / f"{ids[2]}.png"
    path.write_bytes(path.read_bytes() + b"edited")
    (project.root / "masks" / f"{ids[3]}.png").unlink()
    path = project.root / "images" / f"{ids[4]}.png"
    Image.fromarray(picture(99)).save(path)
    (project.root / "splits.json").write_text("{}")
    problems = project.check()
    for index in range(5):
        assert any(ids[index] in sentence for sentence in problems)
    assert not any(ids[5] in sentence for sentence in problems)
    assert any("splits.json is damaged" in sentence for sentence in problems)
    assert project.annotated() == sorted(ids[4:])
    with pytest.raises(ProjectError, match=r"splits\.json is damaged"):
        project.splits()


def test_check_names_copies_that_were_put_into_two_splits(project, lesion):
    for image, split in ((lesion.image, "train"), (lesion.image[:, ::-1], "test")):
        made = project.add_image(image, source=f"{split}.png", split=split)
        project.save_annotation(made, lesion.mask, [Provenance()])
    (sentence,) = project.check()
    assert "train.png in train" in sentence
    assert "test.png in test" in sentence


def pretend_run(project, name="20260101T000000Z-a", **images):
    """Leave a run's plan behind that names these images."""
    folder = project.root / "runs" / name
    folder.mkdir()
    document = {"schema_version": 1, "images": images}
    (folder / "config.json").write_text(json.dumps(document))


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("forgets", [False, True])
def test_an_image_that_has_trained_is_never_held_out(project, split, forgets):
    ids = annotate(project, *range(8))
    project.assign_splits()
    trained = project.annotated("train")
    pretend_run(project, train=trained)
    if forgets:
        (project.root / "splits.json").unlink()
    seed = ids.index(trained[0])
    files = files_of(project.root)
    with pytest.raises(ProjectError, match="has trained in the run 20260101"):
        project.add_image(picture(seed), source=f"{seed}.png", split=split)
    assert files_of(project.root).keys() - files.keys() <= {project.root / ".lock"}
    assert project.check() == []
    assert {project.splits()[image] for image in trained} == {"train"}
    project.add_image(picture(seed), source=f"{seed}.png", split="train")


def test_an_image_that_has_judged_does_not_train_later(project):
    ids = annotate(project, *range(8))
    splits = project.assign_splits()
    judge = next(image for image in ids if splits[image] == "test")
    pretend_run(project, test=[judge])
    (project.root / "splits.json").unlink()
    seed = ids.index(judge)
    with pytest.raises(ProjectError, match="is in the test part for good"):
        project.add_image(picture(seed), source=f"{seed}.png", split="train")
    assert project.splits()[judge] == "test"


@pytest.mark.parametrize("by", ["group", "looks"])
def test_what_belongs_to_a_trained_image_is_not_held_out_by_hand(project, by):
    (first,) = annotate(project, 0, group="patient")
    annotate(project, *range(1, 8))
    pretend_run(project, train=[first])
    other = picture(9) if by == "group" else picture(0)[:, ::-1]
    group = "patient" if by == "group" else None
    with pytest.raises(ProjectError, match=r"belongs with 0\.png"):
        project.add_image(other, source="9.png", group=group, split="test")
    project.add_image(other, source="9.png", group=group)
    assert project.check() == []


def test_check_names_an_image_that_trained_and_is_marked_as_held_out(project):
    ids = annotate(project, *range(8))
    splits = project.assign_splits()
    trained = [image for image in ids if splits[image] == "train"]
    pretend_run(project, train=trained)
    record = project.root / "images" / f"{trained[0]}.json"
    document = {**json.loads(record.read_text()), "split": "test"}
    record.write_text(json.dumps(document))
    deal = json.loads((project.root / "splits.json").read_text())
    deal["splits"][trained[1]] = "val"
    (project.root / "splits.json").write_text(json.dumps(deal))
    said = project.check()
    assert len(said) == 2
    for image, part in zip(trained[:2], ("test", "val"), strict=True):
        (sentence,) = (one for one in said if f"{ids.index(image)}.png" in one)
        assert f"in the {part} part" in sentence
        assert "20260101T000000Z-a" in sentence
    assert {project.splits()[image] for image in trained} == {"train"}


def test_check_names_a_run_that_was_judged_on_what_an_earlier_one_had_learnt(project):
    ids = annotate(project, *range(4))
    pretend_run(project, "20260101T000000Z-a", train=ids[:2], val=ids[2:])
    pretend_run(project, "20260102T000000Z-b", train=ids[:1], test=ids[1:])
    (sentence,) = project.check()
    assert "1.png" in sentence
    assert "20260101T000000Z-a" in sentence
    assert "20260102T000000Z-b" in sentence
    # What judged first and trained later did no harm.
    pretend_run(project, "20260103T000000Z-c", train=ids)
    assert project.check() == [sentence]


def test_check_names_a_run_that_does_not_say_what_it_learnt(project):
    annotate(project, *range(4))
    pretend_run(project)
    plan = project.root / "runs" / "20260101T000000Z-a" / "config.json"
    plan.write_text("{")
    (sentence,) = project.check()
    assert str(plan) in sentence
    assert len(project.splits()) == 4
