import shutil

import pytest

from napari_glmedsa.files import write_json
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.ui.registry_watch import CALM, RegistryWatch

pytestmark = pytest.mark.ui

LONG = 20_000


@pytest.fixture
def root(tmp_path):
    return tmp_path / "not" / "there" / "yet"


@pytest.fixture
def watch(root, qtbot):
    return RegistryWatch(root)


def add_adapter(root, name="mine"):
    folder = root / "adapters" / name
    folder.mkdir(parents=True)
    (folder / "adapter.safetensors").write_bytes(b"weights")
    return folder


def test_an_adapter_in_a_root_that_did_not_exist_is_noticed(root, watch, qtbot):
    with qtbot.waitSignal(watch.changed, timeout=LONG):
        add_adapter(root)


def test_every_step_towards_an_adapter_may_take_its_time(root, watch, qtbot):
    folder = root / "adapters" / "mine"
    for path in (*reversed(folder.parents), folder):
        if not path.exists():
            path.mkdir()
            qtbot.wait(2 * CALM)
    with qtbot.waitSignal(watch.changed, timeout=LONG):
        (folder / "adapter.safetensors").write_bytes(b"weights")


def test_an_adapter_that_goes_is_noticed(root, qtbot):
    folder = add_adapter(root)
    watch = RegistryWatch(root)
    with qtbot.waitSignal(watch.changed, timeout=LONG):
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["active.json", "recent.json"])
def test_a_file_that_is_replaced_is_noticed_every_time(root, qtbot, name):
    root.mkdir(parents=True)
    watch = RegistryWatch(root)
    for number in range(3):
        with qtbot.waitSignal(watch.changed, timeout=LONG):
            write_json(root / name, {"number": number})


def test_changes_in_quick_succession_are_one(root, watch, qtbot):
    seen = []
    watch.changed.connect(lambda: seen.append(1))
    with qtbot.waitSignal(watch.changed, timeout=LONG):
        for number in range(5):
            add_adapter(root, f"adapter {number}")
    qtbot.wait(3 * CALM)
    assert seen == [1]


def test_files_that_are_none_of_ours_are_no_news(root, qtbot):
    root.mkdir(parents=True)
    watch = RegistryWatch(root)
    seen = []
    watch.changed.connect(lambda: seen.append(1))
    (root / "notes.txt").write_text("nothing about models")
    qtbot.wait(3 * CALM)
    assert seen == []
    with qtbot.waitSignal(watch.changed, timeout=LONG):
        RecentProjects(root).add(root)
    assert seen == [1]


def test_a_root_that_was_deleted_and_made_again_is_watched_again(root, qtbot):
    add_adapter(root)
    watch = RegistryWatch(root)
    with qtbot.waitSignal(watch.changed, timeout=LONG):
        shutil.rmtree(root)
    with qtbot.waitSignal(watch.changed, timeout=LONG):
        add_adapter(root)
