"""Two annotators of one folder see each other."""

import os
import subprocess
import sys
import time

import pytest

from napari_glmedsa.errors import OutputError
from napari_glmedsa.files import read_json, write_json
from napari_glmedsa.process_id import ProcessId
from napari_glmedsa.project import AnnotationProject, claims

IMAGE = "0123456789abcdef"


@pytest.fixture
def project(tmp_path):
    return AnnotationProject.create(tmp_path / "moles")


def pretend(claim, **changes):
    """Let a claim be of another process."""
    document = read_json(claim.path)
    process = {**document["process"], **changes}
    write_json(claim.path, {**document, "process": process})


def dead():
    """Name a process that has ended."""
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        return ProcessId.of(process.pid)


def test_the_first_has_the_image_and_the_second_is_told_who(project):
    ada = project.claim(IMAGE, annotator="Ada")
    eve = project.claim(IMAGE, annotator="Eve")
    assert ada.holder() is None
    assert ada.take() is None
    assert ada.is_ours
    assert ada.take() is None
    holder = eve.take()
    assert (holder.owner, holder.process) == ("Ada", ProcessId.of(os.getpid()))
    assert 0 <= holder.age < 60
    assert not holder.is_stale
    assert str(holder).startswith("Ada on ")
    assert str(holder).endswith("last heard of just now")
    assert not eve.is_ours
    eve.release()  # not hers
    assert ada.is_ours
    ada.release()
    ada.release()
    assert eve.take() is None


def test_one_annotator_in_one_program_has_an_image_once(project):
    first = project.claim(IMAGE, annotator="Ada")
    second = project.claim(IMAGE, annotator="Ada")
    first.take()
    assert second.take() is None
    assert first.renew() is None
    second.release()  # it is the first one's again
    assert first.is_ours


def test_another_image_is_free(project):
    project.claim(IMAGE, annotator="Ada").take()
    assert project.claim("f" * 16, annotator="Eve").take() is None


def test_who_is_taken_over_knowingly_is_told_so(project):
    ada = project.claim(IMAGE, annotator="Ada")
    eve = project.claim(IMAGE, annotator="Eve")
    ada.take()
    assert eve.take(force=True) is None
    assert ada.renew().owner == "Eve"
    ada.release()
    assert eve.is_ours
    assert eve.renew() is None


def test_a_program_that_was_killed_on_this_computer_has_nothing_any_more(project):
    ada = project.claim(IMAGE, annotator="Ada")
    ada.take()
    pretend(ada, **dead().to_json())
    eve = project.claim(IMAGE, annotator="Eve")
    assert eve.holder() is None
    assert eve.take() is None


def test_a_silent_program_of_another_computer_is_stale_and_keeps_the_image(project):
    ada = project.claim(IMAGE, annotator="Ada")
    ada.take()
    pretend(ada, host="elsewhere")
    long_ago = time.time() - 600
    os.utime(ada.path, (long_ago, long_ago))
    eve = project.claim(IMAGE, annotator="Eve")
    holder = eve.take()
    assert holder.is_stale
    assert not holder.is_gone
    assert str(holder) == "Ada on elsewhere, last heard of 10 min ago"
    assert eve.take(force=True) is None


def test_a_clock_that_goes_backwards_makes_no_age_negative_and_loses_no_claim(
    project, monkeypatch
):
    ada = project.claim(IMAGE, annotator="Ada")
    ada.take()
    an_hour_back = time.time() - 3600
    monkeypatch.setattr(claims.time, "time", lambda: an_hour_back)
    holder = project.claim(IMAGE, annotator="Eve").take()
    assert holder.age == 0
    assert not holder.is_stale
    assert ada.renew() is None
    assert ada.is_ours


def test_a_claim_that_was_deleted_is_made_anew(project):
    ada = project.claim(IMAGE, annotator="Ada")
    ada.take()
    since = read_json(ada.path)["since"]
    ada.path.unlink()
    assert ada.renew() is None
    assert ada.is_ours
    assert read_json(ada.path)["since"] >= since


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": "Ada"}', "\0"])
def test_a_damaged_claim_is_somebodys(project, text):
    ada = project.claim(IMAGE, annotator="Ada")
    ada.take()
    ada.path.write_text(text)
    eve = project.claim(IMAGE, annotator="Eve")
    holder = eve.take()
    assert str(holder).startswith("somebody on a computer, last heard of")
    assert not holder.is_gone
    assert eve.take(force=True) is None


def test_a_folder_that_cannot_be_written_to_is_one_sentence(project):
    (project.root / "work").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="nobody sees that you work"):
        project.claim(IMAGE, annotator="Ada").take()


def test_only_one_of_many_gets_the_image(project):
    program = (
        "import sys; from pathlib import Path\n"
        "from napari_glmedsa.project import AnnotationProject\n"
        "project = AnnotationProject.open(Path(sys.argv[1]))\n"
        "claim = project.claim(sys.argv[2], annotator=sys.argv[3])\n"
        "print(claim.take() is None, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(project.root), IMAGE]
    running = [
        subprocess.Popen(
            [*command, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    answers = [process.stdout.readline().strip() for process in running]
    for process in running:
        process.communicate()
    assert sorted(answers) == ["False", "False", "True"]
