"""A file is there whole or not at all."""

import hashlib

import numpy as np
import pytest

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


def test_hashes_name_the_content(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"x" * 3_000_000)
    assert sha256_file(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert sha256_array(array) == sha256_array(np.asfortranarray(array))
    others = [array.reshape(4, 3), array.astype(np.int64), array + 1]
    assert len({sha256_array(a) for a in (array, *others)}) == 4
