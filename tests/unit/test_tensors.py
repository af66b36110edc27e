"""Files that cannot be opened are called what they are."""

from pathlib import Path

import pytest

from napari_glmedsa.errors import CheckpointError
from napari_glmedsa.tensors import open_safetensors


def opening(path: Path) -> str:
    with pytest.raises(CheckpointError) as refused, open_safetensors(path):
        pass
    return str(refused.value)


def test_a_file_that_is_not_there_is_called_missing(tmp_path):
    assert "There is no file" in opening(tmp_path / "none.safetensors")


def test_a_file_that_may_not_be_read_is_not_called_missing(tmp_path, monkeypatch):
    """To root every file is readable, so the system's answer is played here."""

    def denied(path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)
    sentence = opening(tmp_path / "locked.safetensors")
    assert "cannot be read (Permission denied)" in sentence
    assert "There is no file" not in sentence


@pytest.mark.parametrize("content", [b"", b"abc", b"\x80\x04K\x01."])
def test_a_file_of_another_format_is_called_that(tmp_path, content):
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    assert "is not a readable safetensors file" in opening(path)


def test_a_folder_is_no_safetensors_file(tmp_path):
    assert "is not a readable safetensors file" in opening(tmp_path)
