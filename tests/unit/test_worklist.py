"""A folder of photographs or a project as a worklist: status, order, bad input."""

import itertools
import os
import shutil
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from dicoms import CT, write_dicom
from PIL import Image

from napari_glmedsa.errors import (
    Cancelled,
    ImageFormatError,
    OutputError,
    ProjectError,
)
from napari_glmedsa.project import AnnotationProject, Provenance, image_id
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.worklist import (
    Bookmark,
    Entry,
    LastWorklist,
    Order,
    Shown,
    Status,
    Uncertainty,
    Worklist,
    neighbour,
    ordered,
    to_be_done,
)
from napari_glmedsa.worklist.photographs import find_photographs
from napari_glmedsa.worklist.thumbnail import read_thumbnail

UNSURE, SURE = Uncertainty(0.5, 0.5, 0.5), Uncertainty(0.9, 0.9, 0.9)


def photograph(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_lesion(seed=seed, size=(48, 64)).image).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(("mole10.png", "mole2.png", "patient/mole1.png")):
        photograph(tmp_path / "moles" / name, seed)
    return tmp_path / "moles"


@pytest.fixture
def opened(folder, tmp_path):
    return Worklist.open(folder, spare=tmp_path / "spare")


def by_name(worklist):
    return ordered(worklist.entries(), Order.NAME)


def accept(worklist, entry):
    pixels = worklist.read(entry)
    entry = worklist.identify(entry, pixels)
    own_id = worklist.project.add_image(pixels, source=entry.name)
    mask = np.zeros(pixels.shape[:2], bool)
    mask[10:20, 10:20] = True
    worklist.project.save_annotation(own_id, mask, [Provenance()])
    return entry


def entry(name, *, modified=0.0, score=None, status=Status.NEW):
    return Entry(name, name, Path(name), modified, status, uncertainty=score)


# ------------------------------------------------------------------- what is in it


def test_a_folder_is_listed_with_the_folders_below_it_and_gets_a_project(
    opened, folder
):
    names = [one.name for one in by_name(opened)]
    assert names == ["mole2.png", "mole10.png", "patient/mole1.png"]
    assert {one.status for one in opened.entries()} == {Status.NEW}
    assert opened.project.root == folder / "glmedsa_project"
    assert any("glmedsa_project" in remark for remark in opened.remarks)
    assert not opened.project.images()  # nothing was copied


def test_opening_the_folder_again_takes_the_project_that_is_there(opened, folder):
    again = Worklist.open(folder, spare=folder)
    assert again.project.root == opened.project.root
    assert len(again.entries()) == 3


def test_a_project_is_a_worklist_of_its_own_images(tmp_path):
    project = AnnotationProject.create(tmp_path / "project")
    own_id = project.add_image(draw_lesion(size=(48, 64)).image, source="one.jpg")
    worklist = Worklist.open(project.root, spare=tmp_path)
    (only,) = worklist.entries()
    assert (only.key, only.name, only.image_id) == (own_id, "one.jpg", own_id)
    assert worklist.read(only).shape == (48, 64, 3)


def test_what_is_accepted_is_known_under_its_file(opened):
    accept(opened, by_name(opened)[0])
    statuses = [one.status for one in by_name(opened)]
    assert statuses == [Status.ACCEPTED, Status.NEW, Status.NEW]


def test_a_photograph_that_is_replaced_by_another_is_new_again(opened, folder):
    accept(opened, by_name(opened)[0])
    photograph(folder / "mole2.png", seed=77)
    os.utime(folder / "mole2.png", ns=(1, 1))
    assert by_name(opened)[0].status is Status.NEW


def test_flags_and_skips_stay_with_their_author_and_can_be_taken_back(opened, folder):
    first, second, _ = by_name(opened)
    opened.mark(first, "flagged", by="Ada", note="hair")
    opened.mark(second, "skipped", by="Ada")
    again = Worklist.open(folder, spare=folder)
    first, second, third = by_name(again)
    assert (first.status, first.by, first.note) == (Status.FLAGGED, "Ada", "hair")
    assert (second.status, third.status) == (Status.SKIPPED, Status.NEW)
    assert [to_be_done(one) for one in (first, second, third)] == [True, False, True]
    again.mark(first, None)
    assert by_name(again)[0].status is Status.NEW


def test_a_flag_outlives_that_its_photograph_becomes_known(opened):
    first = by_name(opened)[0]
    opened.mark(first, "flagged")
    known = accept(opened, first)
    assert by_name(opened)[0].status is Status.FLAGGED
    opened.mark(known, None)
    assert by_name(opened)[0].status is Status.ACCEPTED


def test_who_outlines_a_skipped_photograph_has_not_skipped_it(opened):
    first = by_name(opened)[0]
    opened.mark(first, "skipped")
    accept(opened, first)
    assert by_name(opened)[0].status is Status.ACCEPTED


def test_what_was_begun_is_in_work_until_it_is_accepted(opened):
    first = by_name(opened)[0]
    known = opened.identify(first, opened.read(first))
    journal = opened.project.journal(known.image_id)
    journal.path.parent.mkdir(exist_ok=True)
    journal.path.write_bytes(b"steps")
    assert by_name(opened)[0].status is Status.IN_WORK
    accept(opened, first)  # its journal stays, for undo
    assert by_name(opened)[0].status is Status.ACCEPTED


def test_what_another_program_works_on_is_known(opened, monkeypatch):
    first = by_name(opened)[0]
    known = opened.identify(first, opened.read(first))
    claim = opened.project.claim(known.image_id, annotator="Ada")
    assert claim.take() is None
    assert by_name(opened)[0].holder == ""  # that is this program
    monkeypatch.setattr("napari_glmedsa.worklist.holders.os.getpid", lambda: -1)
    assert "Ada" in by_name(opened)[0].holder
    claim.path.write_text("edited by hand")
    assert "somebody" in by_name(opened)[0].holder
    os.utime(claim.path, (1, 1))  # and not heard of since
    assert by_name(opened)[0].holder == ""


# --------------------------------------------------------------------------- order


def test_orders_are_by_name_by_date_and_by_uncertainty():
    entries = [
        entry("b10", modified=1.0, score=SURE),
        entry("b9", modified=3.0),
        entry("a", modified=2.0, score=UNSURE),
    ]
    assert [e.key for e in ordered(entries, Order.NAME)] == ["a", "b9", "b10"]
    assert [e.key for e in ordered(entries, Order.DATE)] == ["b10", "a", "b9"]
    assert [e.key for e in ordered(entries, Order.UNCERTAINTY)] == ["a", "b10", "b9"]


def test_neighbours_end_where_the_list_ends():
    entries = [entry(name) for name in "abc"]
    assert neighbour(entries, "a").key == "b"
    assert neighbour(entries, "b", -1).key == "a"
    assert neighbour(entries, "c") is None
    assert neighbour(entries, "a", -1) is None
    assert neighbour(entries, None).key == neighbour(entries, "gone").key == "a"
    assert neighbour(entries, None, -1).key == "c"
    assert neighbour([], None) is None


def test_uncertainty_is_kept_per_model_and_the_latest_model_is_the_default(opened):
    first = by_name(opened)[0]
    known = opened.identify(first, opened.read(first))
    opened.remember("old model", known, SURE)
    opened.remember("new model", known, UNSURE)
    os.utime(
        max(opened.project.root.glob("worklist/uncertainty/*"), key=os.path.getmtime)
    )
    scores = {
        model: ordered(opened.entries(model=model), Order.NAME)[0].uncertainty
        for model in ("old model", "new model", "no model")
    }
    assert scores == {"old model": SURE, "new model": UNSURE, "no model": None}
    assert by_name(opened)[0].uncertainty is not None
    assert Uncertainty.from_json(UNSURE.to_json()) == UNSURE


def test_a_line_that_was_cut_off_costs_only_itself(opened):
    first, second, _ = by_name(opened)
    for one in (first, second):
        opened.remember("model", opened.identify(one, opened.read(one)), SURE)
        path = next(opened.project.root.glob("worklist/uncertainty/*"))
        path.write_bytes(path.read_bytes() + b'{"image_id": "12')
    known = [one.uncertainty for one in ordered(opened.entries(model="model"), "name")]
    assert known == [SURE, SURE, None]


def test_what_is_shown_is_what_was_asked_for():
    statuses = {one: entry("a", status=one) for one in Status}
    for one, photo in statuses.items():
        assert Shown(one.value).includes(photo)
        assert Shown.ALL.includes(photo)
        assert not Shown("new" if one != "new" else "skipped").includes(photo)
    done = {one for one, photo in statuses.items() if not Shown.TO_DO.includes(photo)}
    assert done == {Status.ACCEPTED, Status.SKIPPED}


# ----------------------------------------------------------------------- bad input


def test_what_is_no_photograph_is_left_out_and_counted(opened, folder):
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_bytes(b"")
    photograph(folder / "mole2_segmentation.png")
    assert len(opened.entries()) == 3
    assert any("1 other file" in remark for remark in opened.remarks)
    photograph(folder / "x.dcm.png")
    (folder / "more.csv").write_text("")
    assert len(opened.entries()) == 4
    assert sum("other file" in remark for remark in opened.remarks) == 1


def test_the_images_of_a_project_inside_the_folder_are_not_listed_twice(opened):
    accept(opened, by_name(opened)[0])
    assert len(opened.entries()) == 3


def test_a_clock_that_goes_backwards_loses_no_mask_and_no_mark(
    opened, folder, monkeypatch
):
    """Each time it is asked, it is a year before."""
    asked = itertools.count()

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026 - next(asked), 1, 1, tzinfo=tz)

    for module in ("project.annotations", "project.folder", "worklist.records"):
        monkeypatch.setattr(f"napari_glmedsa.{module}.datetime", Clock)
    entry = opened.entries()[0]
    pixels = opened.read(entry)
    for side in (5, 9, 7):
        mask = np.zeros(pixels.shape[:2], dtype=bool)
        mask[:side, :side] = True
        image = opened.project.add_image(pixels, source=entry.name)
        opened.project.save_annotation(image, mask, [Provenance()])
        assert opened.project.mask(image).sum() == side**2
        os.utime(opened.project.root / "masks" / f"{image}.png", (side, side))
        assert opened.project.mask(image).sum() == side**2
    os.utime(entry.path, (-1e8, -1e8))  # a photograph of 1966
    for status in ("skipped", "flagged", None, "flagged"):
        opened.mark(opened.identify(entry, pixels), status)
    (first, *_) = ordered(opened.entries(), Order.DATE)
    assert (first.name, first.status) == (entry.name, Status.FLAGGED)
    assert next(asked) > 5
    assert opened.project.check() == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_no_text_is_one_like_any_other(opened, folder):
    photograph = next(folder.glob("*.png"))
    shutil.copy(photograph, folder / "b\udcffd.png")
    entry = next(one for one in opened.entries() if one.name == "b\udcffd.png")
    opened.mark(entry, "flagged")
    opened.identify(entry, opened.read(entry))
    entry = next(one for one in opened.entries() if one.name == "b\udcffd.png")
    assert (entry.status, bool(entry.image_id)) == (Status.FLAGGED, True)


def test_what_was_exported_beside_the_photographs_is_not_listed(opened, folder):
    before = [one.key for one in opened.entries()]
    photograph = next(folder.glob("*.png"))
    for marks in (["export.json"], ["project.json"]):
        there = folder / marks[0].removesuffix(".json")
        there.mkdir()
        shutil.copy(photograph, there / "a.png")
        (there / marks[0]).write_text("{}")
    assert [one.key for one in opened.entries()] == before


def test_duplicates_share_their_status(opened, folder):
    (folder / "copy.png").write_bytes((folder / "mole2.png").read_bytes())
    copy = next(one for one in opened.entries() if one.name == "copy.png")
    opened.identify(copy, opened.read(copy))
    accept(opened, next(one for one in opened.entries() if one.name == "mole2.png"))
    known = {one.name: one.status for one in opened.entries()}
    assert known["copy.png"] is known["mole2.png"] is Status.ACCEPTED
    assert known["mole10.png"] is Status.NEW


def test_an_unreadable_file_is_listed_and_refused_in_one_sentence(opened, folder):
    (folder / "broken.jpg").write_bytes(b"no jpeg at all")
    broken = next(one for one in opened.entries() if one.name == "broken.jpg")
    with pytest.raises(ImageFormatError, match=r"broken\.jpg"):
        opened.read(broken)
    opened.mark(broken, "skipped")
    marked = {one.name: one.status for one in opened.entries()}
    assert marked["broken.jpg"] is Status.SKIPPED


def test_a_folder_without_photographs_or_that_is_gone_is_refused(tmp_path):
    with pytest.raises(ProjectError, match="no photograph"):
        Worklist.open(tmp_path, spare=tmp_path)
    assert not list(tmp_path.iterdir())  # and no project was made
    with pytest.raises(ImageFormatError, match="cannot be read"):
        Worklist.open(tmp_path / "gone", spare=tmp_path)


def test_a_folder_that_must_not_be_written_to_gets_its_project_elsewhere(
    folder, tmp_path, monkeypatch
):
    create = AnnotationProject.create.__func__

    def refuse(cls, root, *, name=""):
        if folder in root.parents:
            raise OutputError("The folder may only be read.")
        return create(cls, root, name=name)

    monkeypatch.setattr(AnnotationProject, "create", classmethod(refuse))
    worklist = Worklist.open(folder, spare=tmp_path / "spare")
    assert worklist.project.root.parent == tmp_path / "spare"
    assert any(str(worklist.project.root) in remark for remark in worklist.remarks)
    accept(worklist, by_name(worklist)[0])
    monkeypatch.undo()
    again = Worklist.open(folder, spare=tmp_path / "spare")
    assert by_name(again)[0].status is Status.ACCEPTED
    assert not (folder / "glmedsa_project").exists()


def test_a_mark_that_cannot_be_written_is_one_sentence(opened):
    marks = opened.project.root / "worklist"
    marks.write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written to"):
        opened.mark(by_name(opened)[0], "flagged")
    assert opened.identify(by_name(opened)[0], np.zeros((2, 2, 3), np.uint8)).image_id


def test_records_edited_into_nonsense_count_as_none(opened):
    first = by_name(opened)[0]
    opened.mark(first, "flagged")
    (mark,) = opened.project.root.glob("worklist/marks/*.json")
    for text in ("", "[]", '{"status": "eaten"}', '{"status": ["flagged"]}', "{"):
        mark.write_text(text)
        assert by_name(opened)[0].status is Status.NEW
    (opened.project.root / "worklist" / "files.jsonl").write_text(
        '[1]\n{"key": 1}\n\x00'
    )
    assert by_name(opened)[0].image_id == ""


def test_links_in_a_circle_end(opened, folder):
    (folder / "patient" / "round").symlink_to(folder, target_is_directory=True)
    assert len(opened.entries()) == 3


def test_a_search_can_be_called_off(folder):
    def check():
        raise Cancelled("search")

    with pytest.raises(Cancelled):
        find_photographs(folder, check=check)


def test_ten_thousand_photographs_are_listed_without_opening_one(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number}.jpg").touch()  # empty: opening one would fail
    worklist = Worklist.open(folder, spare=tmp_path)
    assert [one.name for one in by_name(worklist)][9:11] == ["9.jpg", "10.jpg"]
    assert len(worklist.entries()) == 10_000


# ------------------------------------------------------------------------ bookmark


def test_the_bookmark_comes_back_and_a_damaged_one_is_none(tmp_path):
    last = LastWorklist(tmp_path / "root")
    assert last.read() is None
    mark = Bookmark(tmp_path, "mole.png", Order.UNCERTAINTY, Shown.FLAGGED)
    last.write(mark)
    assert last.read() == mark
    for text in ("", "[]", '{"folder": 3}', '{"folder": "/", "order": "colour"}'):
        (tmp_path / "root" / "worklist.json").write_text(text)
        assert last.read() is None


def test_a_bookmark_that_cannot_be_written_is_only_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    LastWorklist(tmp_path / "file").write(Bookmark(tmp_path))
    assert "cannot be written" in caplog.text


def test_an_image_is_called_what_the_project_calls_it(opened):
    first = by_name(opened)[0]
    pixels = opened.read(first)
    assert opened.identify(first, pixels).image_id == image_id(pixels)
    assert by_name(opened)[0].image_id == image_id(pixels)


# ---------------------------------------------------------------------- thumbnails


def test_a_thumbnail_is_small_and_keeps_its_proportions(tmp_path):
    path = photograph(tmp_path / "large.jpg")
    small = read_thumbnail(path, 16)
    assert small.shape == (12, 16, 3)
    assert small.dtype == np.uint8
    assert read_thumbnail(path, 500).shape == (48, 64, 3)  # never enlarged


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.uint8])
def test_a_thumbnail_of_a_deep_photograph_shows_something(tmp_path, dtype):
    ramp = np.linspace(0, 200, 40 * 60).reshape(40, 60).astype(dtype)
    path = tmp_path / "deep.tif"
    Image.fromarray(ramp).save(path)
    small = read_thumbnail(path, 30)
    assert small.max() > 150
    assert small.min() < 10


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0 cut off"])
def test_what_is_no_image_has_no_thumbnail(tmp_path, content):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(ImageFormatError, match="no thumbnail"):
        read_thumbnail(tmp_path / "x.jpg", 50)
    with pytest.raises(ImageFormatError):
        read_thumbnail(tmp_path / "gone.jpg", 50)


def test_dicom_photographs_are_listed_read_and_shown_small(folder, opened):
    """Masks are not, and what is no photograph is told only when it is opened."""
    pixels = draw_lesion(seed=7, size=(48, 64)).image
    write_dicom(folder / "scope.dcm", pixels)
    write_dicom(folder / "scope_segmentation.dcm", pixels)
    write_dicom(folder / "scan.DCM", pixels, SOPClassUID=CT)
    listed = {entry.name: entry for entry in opened.entries()}
    assert {"scope.dcm", "scan.DCM", "mole2.png"} <= set(listed)
    assert "scope_segmentation.dcm" not in listed
    entry = listed["scope.dcm"]
    assert np.array_equal(opened.read(entry), pixels)
    assert opened.identify(entry, pixels).image_id == image_id(pixels)
    assert read_thumbnail(entry.path, 32).shape == (24, 32, 3)
    with pytest.raises(ImageFormatError, match="no photograph"):
        opened.read(listed["scan.DCM"])
    with pytest.raises(ImageFormatError, match="has no thumbnail"):
        read_thumbnail(listed["scan.DCM"].path, 32)


def test_a_list_with_dicom_can_be_looked_at_without_pydicom(
    folder, opened, monkeypatch
):
    write_dicom(folder / "scope.dcm", draw_lesion(size=(48, 64)).image)
    monkeypatch.setattr("napari_glmedsa.extras.find_spec", lambda name: None)
    assert len(opened.entries()) == 4
    with pytest.raises(ImageFormatError, match="has no thumbnail"):
        read_thumbnail(folder / "scope.dcm", 32)
