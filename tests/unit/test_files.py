"""A file is there whole or not at all."""

import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_glmedsa import files
from napari_glmedsa.files import (
    atomic_write,
    read_json,
    sha256_array,
    sha256_file,
    write_json,
)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": [1, "ä"]})

    def fail_half_way():
        with atomic_write(path) as partial:
            partial.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_half_way()
    assert read_json(path) == {"x": [1, "ä"]}
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_as_long_as_the_system_allows_can_be_written(tmp_path):
    path = tmp_path / ("x" * 255)
    write_json(path, [1])
    assert read_json(path) == [1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes")
def test_what_is_no_file_is_never_replaced_by_one(tmp_path):
    """A device, say: for an administrator, /dev/null is as easily moved over."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="not a regular file"):
        write_json(pipe, [1])
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_hashes_name_the_content(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"x" * 3_000_000)
    assert sha256_file(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert sha256_array(array) == sha256_array(np.asfortranarray(array))
    others = [array.reshape(4, 3), array.astype(np.int64), array + 1]
    assert len({sha256_array(a) for a in (array, *others)}) == 4


def test_on_windows_a_file_that_is_being_read_is_replaced_a_little_later(
    tmp_path, monkeypatch
):
    path, refusals, replace = tmp_path / "status.json", [1, 2, 3], Path.replace

    def busy(partial, target):
        if refusals:
            refusals.pop()
            raise PermissionError(13, "Access is denied")
        return replace(partial, target)

    monkeypatch.setattr(Path, "replace", busy)
    monkeypatch.setattr(files, "_is_windows", lambda: True)
    write_json(path, {"epoch": 1})
    assert read_json(path) == {"epoch": 1}
    refusals.extend(range(10_000))
    monkeypatch.setattr(files, "_PATIENCE", 0.0)
    with pytest.raises(PermissionError):
        write_json(path, {"epoch": 2})
    assert read_json(path) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.setattr(files, "_is_windows", lambda: False)
    refusals[:] = [1]
    with pytest.raises(PermissionError):  # elsewhere it means what it says
        write_json(path, {"epoch": 2})
