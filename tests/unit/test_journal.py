"""What was done to an image is there again, wherever the program was killed."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_glmedsa.errors import OutputError, ProjectError, ProjectVersionError
from napari_glmedsa.history import Document, Sheet
from napari_glmedsa.inference.prompts import Prompts
from napari_glmedsa.project import AnnotationProject, Provenance, records
from napari_glmedsa.project import journal as journal_module

IMAGE = "0123456789abcdef"
SIZE = (40, 60)


@pytest.fixture
def project(tmp_path):
    return AnnotationProject.create(tmp_path / "moles")


def clicks(*points, mask_input=None):
    labels = np.ones(len(points), dtype=np.int64)
    return Prompts(np.array(points, float).reshape(-1, 2), labels, None, mask_input)


def logits(seed=0):
    return np.random.default_rng(seed).normal(size=(16, 16)).astype(np.float32)


def document(project):
    """Begin to work on an image."""
    start = np.zeros(SIZE, np.uint16)
    start[:3, :3] = 7  # accepted before
    known = Sheet(object_id=8, objects={7: Provenance(annotator="Eve")})
    return Document(start, known, journal=project.journal(IMAGE))


def paint(doc, box, label, name="brush", sheet=None):
    doc.label_map[box] = label
    return doc.record(name, sheet)


def work(doc):
    """Do a little of everything; yield after every deed."""
    sheet = Sheet(clicks((9, 8)), 8, doc.sheet.objects)
    doc.record("click", sheet)
    yield
    doc.label_map[5:20, 5:30] = 8
    doc.amend()
    yield
    paint(doc, np.s_[2:8, 2:40], 8)
    yield
    refined = Sheet(clicks((9, 8), (3, 3), mask_input=logits()), 8, sheet.objects)
    paint(doc, np.s_[10:14, 10:14], 0, "click", refined)
    yield
    doc.undo()
    yield
    doc.undo()
    yield
    doc.redo()
    yield
    more = {
        **sheet.objects,
        8: Provenance(model="m", point_coords=((9.5, 8.25),), point_labels=(1,)),
    }
    doc.record("accept", Sheet(object_id=9, objects=more))
    yield
    doc.undo()
    yield
    paint(doc, np.s_[30:, 50:], 9)
    yield


def state(doc_or_restored):
    """Return all that counts, as bytes."""
    history = doc_or_restored.history
    return (
        doc_or_restored.label_map.tobytes(),
        state_of_sheet(doc_or_restored.sheet),
        history.position,
        [step.to_bytes() for step in history.steps],
    )


def state_of_sheet(sheet):
    arrays = {}
    document = sheet.to_json(arrays)
    return document, {key: array.tobytes() for key, array in arrays.items()}


def test_after_every_deed_the_journal_tells_the_same_state(project):
    doc = document(project)
    for _ in work(doc):
        assert state(project.journal(IMAGE).read(SIZE)) == state(doc)
    assert project.images_in_work() == [IMAGE]


def test_nothing_is_written_before_the_first_step(project):
    doc = document(project)
    doc.record("nothing")
    assert doc.undo() is None
    assert not project.journal(IMAGE).exists
    assert project.images_in_work() == []
    with pytest.raises(ProjectError, match="no unfinished work"):
        project.journal(IMAGE).resume()


def test_work_goes_on_after_a_restart(project):
    doc = document(project)
    for _ in work(doc):
        pass
    journal = project.journal(IMAGE)
    found = journal.resume(SIZE)
    again = Document(
        found.label_map, found.sheet, history=found.history, journal=journal
    )
    assert state(again) == state(doc)
    while again.undo():
        doc.undo()
    refined = Sheet(clicks((1, 1), mask_input=logits()))  # packed before the restart
    paint(again, np.s_[:2], 1, "click", refined)
    assert state(project.journal(IMAGE).read()) == state(again)


def test_a_journal_cut_off_anywhere_gives_the_state_after_the_last_whole_record(
    project,
):
    """A kill within a write leaves its beginning; so does every other length."""
    doc = document(project)
    path, states = project.journal(IMAGE).path, {}
    for _ in work(doc):
        states[path.stat().st_size] = state(doc)
    data = path.read_bytes()
    first = min(states)
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        journal = project.journal(IMAGE)
        whole = max((size for size in states if size <= length), default=None)
        if whole is not None:
            found = journal.resume(SIZE)
            assert state(found) == states[whole]
            assert not found.is_damaged
            assert path.stat().st_size == whole
        elif length < first - 400:  # not even the state before the first step
            with pytest.raises(ProjectError):
                journal.resume(SIZE)
    assert not list(path.parent.glob("*.aside"))


def test_a_journal_damaged_in_the_middle_gives_what_is_before_and_is_put_aside(project):
    doc = document(project)
    path, sizes, states = project.journal(IMAGE).path, [], []
    for _ in work(doc):
        sizes.append(path.stat().st_size)
        states.append(state(doc))
    data = bytearray(path.read_bytes())
    data[(sizes[2] + sizes[3]) // 2] ^= 0xFF
    path.write_bytes(data)
    found = project.journal(IMAGE).resume(SIZE)
    assert found.is_damaged
    assert state(found) == states[2]
    assert [aside.read_bytes() for aside in path.parent.glob("*.aside")] == [data]
    assert not project.journal(IMAGE).read().is_damaged


@pytest.mark.parametrize("where", [0, 12, 60])
def test_a_journal_damaged_at_its_beginning_is_refused_and_put_aside(project, where):
    doc = document(project)
    paint(doc, np.s_[:9, :9], 8)
    path = project.journal(IMAGE).path
    data = bytearray(path.read_bytes())
    data[where] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ProjectError, match="damaged at its beginning"):
        project.journal(IMAGE).resume()
    assert any("damaged at its beginning" in problem for problem in project.check())
    anew = document(project)
    paint(anew, np.s_[:4], 8)
    assert state(project.journal(IMAGE).read()) == state(anew)
    assert [aside.read_bytes() for aside in path.parent.glob("*.aside")] == [data]


def test_a_newer_journal_is_refused_and_stays(project, monkeypatch):
    doc = document(project)
    with monkeypatch.context() as patch:
        patch.setattr(records, "JOURNAL_VERSION", 2)
        paint(doc, np.s_[:9, :9], 8)
    journal = project.journal(IMAGE)
    before = journal.path.read_bytes()
    with pytest.raises(ProjectVersionError, match=r"format 2, but .* up to 1; update"):
        journal.resume()
    errors = []
    older = document(project)
    older.in_trouble.connect(errors.append)
    paint(older, np.s_[:4], 8)
    paint(older, np.s_[:8], 8)
    assert len(errors) == 1
    assert journal.path.read_bytes() == before


def test_a_journal_of_another_image_or_size_is_refused(project):
    doc = document(project)
    paint(doc, np.s_[:9, :9], 8)
    with pytest.raises(ProjectError, match="60 x 40 pixels but the image is 9 x 8"):
        project.journal(IMAGE).resume((8, 9))
    other = project.journal("f" * 16)
    project.journal(IMAGE).path.rename(other.path)
    with pytest.raises(ProjectError, match="about another image"):
        other.resume()
    with pytest.raises(ProjectError, match="not the id"):
        project.journal("../../etc/passwd")


def test_a_full_disk_is_told_once_and_loses_nothing(project, monkeypatch):
    doc, errors = document(project), []
    doc.in_trouble.connect(errors.append)
    paint(doc, np.s_[:5, :9], 8)
    before = state(doc)
    real = os.write

    def write_a_little(file, data):
        real(file, bytes(data)[:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def no_room(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(journal_module.os, "write", write_a_little)
        patch.setattr(Path, "write_bytes", no_room)
        paint(doc, np.s_[5:9, :9], 8)
        assert state(project.journal(IMAGE).read()) == before
        paint(doc, np.s_[9:12, :9], 8)
        doc.undo()
        assert not doc.save()
    (error,) = errors
    assert isinstance(error, OutputError)
    assert "No space left" in str(error)
    assert doc.save()
    assert state(project.journal(IMAGE).read()) == state(doc)
    doc.redo()
    assert state(project.journal(IMAGE).read()) == state(doc)
    assert len(errors) == 1


def test_a_folder_that_cannot_be_written_to_is_told_once(project, monkeypatch):
    doc, errors = document(project), []
    doc.in_trouble.connect(errors.append)
    (project.root / "work").write_text("a file where the folder should be")
    paint(doc, np.s_[:5], 8)
    paint(doc, np.s_[5:9], 8)
    doc.undo()
    assert [type(error) for error in errors] == [OutputError]
    assert doc.history.position == 1


def test_a_journal_that_vanished_is_written_anew_with_all_its_steps(project):
    doc, errors = document(project), []
    doc.in_trouble.connect(errors.append)
    for _ in work(doc):
        pass
    project.journal(IMAGE).path.unlink()
    doc.undo()
    doc.undo()
    assert len(errors) == 1
    assert state(project.journal(IMAGE).read()) == state(doc)


def test_who_lost_an_image_to_another_program_writes_no_more(project):
    doc, errors = document(project), []
    doc.in_trouble.connect(errors.append)
    paint(doc, np.s_[:5], 8)
    journal = project.journal(IMAGE)
    found = journal.resume(SIZE)
    taker = Document(
        found.label_map, found.sheet, history=found.history, journal=journal
    )
    paint(doc, np.s_[5:9], 8)
    assert "taken over" in str(errors[0])
    paint(doc, np.s_[9:12], 8)
    assert len(errors) == 1
    assert not doc.save()
    paint(taker, np.s_[20:22], 8)
    assert state(project.journal(IMAGE).read()) == state(taker)


def test_discarding_spares_what_another_program_has_taken_over(project):
    mine = project.journal(IMAGE)
    doc = Document(np.zeros(SIZE, np.uint16), journal=mine)
    paint(doc, np.s_[:5], 8)
    project.journal(IMAGE).resume()
    mine.discard()
    assert project.images_in_work() == [IMAGE]
    project.journal(IMAGE).discard()
    assert project.images_in_work() == []


def test_it_is_noticed_that_somebody_else_changed_the_accepted_mask(project):
    picture = np.zeros((*SIZE, 3), np.uint8)
    image = project.add_image(picture, source="a.png")
    assert project.annotation_sha256(image) is None
    project.save_annotation(image, np.ones(SIZE, np.uint8), [Provenance()])
    journal = project.journal(image)
    journal.note_annotation(project.annotation_sha256(image))
    doc = Document(np.zeros(SIZE, np.uint16), journal=journal)
    paint(doc, np.s_[:5], 1)
    known = project.journal(image).read().annotation
    assert known == project.annotation_sha256(image) is not None
    project.save_annotation(image, np.eye(*SIZE, dtype=np.uint8), [Provenance()])
    assert project.annotation_sha256(image) != known
    journal.note_annotation(project.annotation_sha256(image))
    assert project.journal(image).read().annotation == project.annotation_sha256(image)


def test_the_journal_of_an_unknown_image_is_no_problem_of_the_project(project):
    paint(document(project), np.s_[:5], 8)
    assert project.check() == []
    assert project.images() == []


WORKER = """
import sys
import numpy as np
from pathlib import Path
from napari_glmedsa.history import Document
from napari_glmedsa.project import AnnotationProject

project = AnnotationProject.open(Path(sys.argv[1]))
label_map = np.zeros((40, 60), np.uint16)
document = Document(label_map, journal=project.journal(sys.argv[2]))
for step in range(1, 2401):
    label_map.flat[step - 1] = step
    document.record(f"step {step}")
    print(step, flush=True)
"""


@pytest.mark.parametrize("seen", [1, 7, 40])
def test_a_process_killed_at_any_moment_has_written_what_it_has_said(project, seen):
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(project.root), IMAGE],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for _ in range(seen):
            process.stdout.readline()
        process.kill()
        said = seen + len(process.stdout.read().split())
    found = project.journal(IMAGE).resume(SIZE)
    assert found.history.position in (said, said + 1)
    expected = np.zeros(SIZE, np.uint16)
    expected.flat[: found.history.position] = range(1, found.history.position + 1)
    assert np.array_equal(found.label_map, expected)
