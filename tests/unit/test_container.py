"""A container's limit counts as the end of memory."""

import pytest

from napari_glmedsa.training import memory
from napari_glmedsa.training.container import container_bytes

MB = 2**20
V2 = ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
V1 = (
    *("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    "total_inactive_file",
)


@pytest.fixture
def group(tmp_path):
    """Writes what the kernel says about a control group."""

    def write(path, *, limit, used, cached=0, version=V2):
        top, limit_file, used_file, key = version
        folder = tmp_path / top / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / limit_file).write_text(f"{limit}\n")
        (folder / used_file).write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 5\n{key} {cached}\nfile 7\n")

    return write


def process_is_in(root, text):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(text)


def test_without_control_groups_there_is_no_limit(tmp_path):
    assert container_bytes(tmp_path) is None
    process_is_in(tmp_path, "0::/somewhere\nnonsense\n")
    assert container_bytes(tmp_path) is None


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (V2, "0::/user/app\n"),
        (V1, "12:cpu,cpuacct:/other\n9:memory:/user/app\n0::/\n"),
    ],
)
def test_the_narrowest_group_counts_and_dropped_files_are_free(
    tmp_path, group, version, text
):
    process_is_in(tmp_path, text)
    group("user/app", limit=900 * MB, used=500 * MB, cached=100 * MB, version=version)
    assert container_bytes(tmp_path) == 500 * MB
    group("user", limit=600 * MB, used=550 * MB, version=version)
    assert container_bytes(tmp_path) == 50 * MB
    group("user", limit=600 * MB, used=700 * MB, version=version)
    assert container_bytes(tmp_path) == 0


def test_a_group_without_a_limit_leaves_everything(tmp_path, group):
    process_is_in(tmp_path, "0::/app\n")
    group("app", limit="max", used=5 * MB)
    assert container_bytes(tmp_path) is None


def test_a_container_that_sees_itself_as_the_topmost_group(tmp_path, group):
    process_is_in(tmp_path, "0::/kubepods/pod7/outer\n")
    group(".", limit=64 * MB, used=MB)
    assert container_bytes(tmp_path) == 63 * MB


def test_no_more_is_available_than_the_container_leaves(monkeypatch):
    monkeypatch.setattr(memory, "container_bytes", lambda: 3 * MB)
    assert memory.available_bytes("cpu") == 3 * MB
    monkeypatch.setattr(memory, "container_bytes", lambda: None)
    assert memory.available_bytes("cpu") > 3 * MB
