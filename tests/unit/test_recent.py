import logging

import pytest

from napari_glmedsa.recent import MAX_RECENT, RecentProjects


@pytest.fixture
def recent(tmp_path) -> RecentProjects:
    return RecentProjects(tmp_path / "root that does not exist yet")


def test_nothing_is_remembered_at_first(recent):
    assert recent.paths() == ()
    assert recent.latest() is None
    assert recent.saves_into() is None


def test_the_project_added_last_is_the_latest_for_every_reader(recent, tmp_path):
    for name in ("one", "two", "one"):
        recent.add(tmp_path / name)
    again = RecentProjects(tmp_path / "root that does not exist yet")
    assert again.latest() == again.saves_into() == tmp_path / "one"
    assert again.paths() == (tmp_path / "one", tmp_path / "two")


def test_a_relative_path_is_remembered_from_the_root_of_the_disk(
    recent, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    recent.add(tmp_path.relative_to(tmp_path) / "mine")
    assert recent.latest() == tmp_path / "mine"


def test_who_saves_nowhere_does_so_until_they_say_otherwise(recent, tmp_path):
    recent.save_into(tmp_path / "one")
    recent.save_into(None)
    assert recent.saves_into() is None
    recent.add(tmp_path / "two")
    assert recent.saves_into() is None
    assert recent.paths() == (tmp_path / "two", tmp_path / "one")
    recent.save_into(tmp_path / "one")
    assert recent.saves_into() == recent.latest() == tmp_path / "one"


def test_using_another_project_elsewhere_does_not_change_where_masks_go(
    recent, tmp_path
):
    recent.save_into(tmp_path / "one")
    recent.add(tmp_path / "two")
    assert recent.saves_into() == tmp_path / "one"
    assert recent.latest() == tmp_path / "two"


def test_the_oldest_projects_are_forgotten(recent, tmp_path):
    for number in range(MAX_RECENT + 3):
        recent.add(tmp_path / str(number))
    assert len(recent.paths()) == MAX_RECENT
    assert recent.latest() == tmp_path / str(MAX_RECENT + 2)


def test_the_annotator_is_the_user_of_the_computer_unless_a_name_is_set(
    recent, tmp_path, monkeypatch
):
    monkeypatch.setenv("LOGNAME", "clinic")
    assert recent.annotator() == "clinic"
    recent.add(tmp_path)
    recent.set_annotator(" Ada ")
    assert recent.annotator() == "Ada"
    assert recent.latest() == tmp_path
    recent.set_annotator("")
    assert recent.annotator() == "clinic"


@pytest.mark.parametrize(
    "content", ["", "{", "[1, 2]", '{"projects": 3, "annotator": 4}', '"x"', "\xff"]
)
def test_a_damaged_file_counts_as_empty_and_is_replaced(recent, tmp_path, content):
    file = tmp_path / "root that does not exist yet" / "recent.json"
    file.parent.mkdir()
    file.write_bytes(content.encode("latin-1"))
    assert recent.latest() is None
    recent.add(tmp_path)
    assert recent.latest() == tmp_path


def test_a_file_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "root").write_text("a file where the folder should be")
    recent = RecentProjects(tmp_path / "root")
    with caplog.at_level(logging.WARNING):
        recent.add(tmp_path)
    assert "cannot be written" in caplog.text
    assert recent.latest() is None
