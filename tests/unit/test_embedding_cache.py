"""What a cache of embeddings gives back, and what it survives."""

import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from napari_glmedsa.evaluation import iou
from napari_glmedsa.inference import (
    EmbeddingCache,
    ImageEmbedding,
    Prompts,
    default_cache_folder,
)

CPU = torch.device("cpu")


def embedding(number: int = 0) -> ImageEmbedding:
    """An embedding of 4096 bytes, 2048 of them on disk."""
    features = torch.full((1, 64, 4, 4), number / 7)
    return ImageEmbedding(features, (96, 128), (48, 64), f"{number:064x}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "embeddings"


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def test_what_is_in_memory_comes_back_as_it_was():
    cache = EmbeddingCache(None)
    kept = embedding(3)
    assert kept.key not in cache
    cache.put(kept)
    assert kept.key in cache
    found = cache.get(kept.key, device=CPU)
    assert torch.equal(found.features, kept.features)
    assert cache.get(embedding(4).key, device=CPU) is None


def test_memory_holds_so_many_bytes_and_forgets_what_was_not_used_for_longest():
    cache = EmbeddingCache(None, memory_bytes=3 * 4096)
    for number in range(3):
        cache.put(embedding(number))
    cache.get(embedding(0).key, device=CPU)
    cache.put(embedding(3))
    assert [embedding(n).key in cache for n in range(4)] == [True, False, True, True]


def test_another_cache_finds_on_disk_what_the_first_one_kept(folder):
    kept = embedding(3)
    EmbeddingCache(folder).put(kept)
    found = EmbeddingCache(folder).get(kept.key, device=CPU)
    assert torch.equal(found.features, kept.features.half().float())
    assert found.features.dtype == torch.float32
    assert found.key == kept.key
    assert found.original_size == kept.original_size
    assert found.input_size == kept.input_size


def test_masks_from_disk_agree_with_fresh_ones(folder, predictor, lesion):
    fresh = predictor.encode(lesion.image)
    EmbeddingCache(folder).put(fresh)
    restored = EmbeddingCache(folder).get(fresh.key, device=CPU)
    for x, y in ((64, 48), (20, 20), (100, 70)):
        prompts = Prompts(np.array([[x, y]], dtype=float), np.array([1]))
        wanted = predictor.predict(fresh, prompts).mask
        assert 0 < wanted.sum() < wanted.size
        assert iou(predictor.predict(restored, prompts).mask, wanted) > 0.99


def damage_header(path: Path) -> None:
    path.write_bytes(b"\xff" * 64 + path.read_bytes()[64:])


def damage_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_type(path: Path) -> None:
    with safe_open(path, "pt") as file:
        header, features = file.metadata(), file.get_tensor("features")
    save_file({"features": features.bfloat16()}, path, metadata=header)


def swap(path: Path) -> None:
    other = embedding(9)
    EmbeddingCache(path.parent).put(other)
    (path.parent / f"{other.key}.safetensors").replace(path)


@pytest.mark.parametrize(
    "damage", [damage_header, damage_one_bit, cut_off, empty, other_type, swap]
)
def test_a_damaged_entry_counts_as_missing_and_is_replaced(folder, damage):
    kept = embedding(3)
    EmbeddingCache(folder).put(kept)
    (path,) = entries(folder)
    damage(path)
    cache = EmbeddingCache(folder)
    assert cache.get(kept.key, device=CPU) is None
    assert kept.key not in cache
    cache.put(kept)
    assert EmbeddingCache(folder).get(kept.key, device=CPU) is not None


def test_an_entry_of_another_version_is_not_trusted(folder, monkeypatch):
    kept = embedding(3)
    with monkeypatch.context() as patch:
        patch.setattr("napari_glmedsa.inference.embedding_cache.__version__", "0.0.1")
        EmbeddingCache(folder).put(kept)
    assert EmbeddingCache(folder).get(kept.key, device=CPU) is None


def test_a_folder_that_may_not_be_entered_only_costs_speed(folder, monkeypatch):
    """As that of another user of the computer."""
    kept = embedding(1)
    EmbeddingCache(folder).put(kept)

    def closed(path: Path, **_: Any) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:  # root, who may run tests, enters all folders
        patch.setattr(Path, "stat", closed)
        cache = EmbeddingCache(folder)
        assert kept.key not in cache
        assert cache.get(kept.key, device=CPU) is None
        cache.put(kept)
        assert cache.get(kept.key, device=CPU) is not None


def test_the_folder_stays_within_its_bytes_and_keeps_what_was_used_last(folder):
    cache = EmbeddingCache(folder, memory_bytes=0, disk_bytes=64 * 2500)
    for number in range(100):
        cache.put(embedding(number))
        os.utime(folder / f"{embedding(number).key}.safetensors", (number, number))
        assert cache.get(embedding(0).key, device=CPU)  # keeps it young
    sizes = [path.stat().st_size for path in entries(folder)]
    assert 0.8 * 64 * 2500 < sum(sizes) <= 64 * 2500
    assert embedding(0).key in cache
    assert embedding(99).key in cache
    assert embedding(1).key not in cache


def test_making_room_deletes_nothing_of_others_but_what_a_dead_process_left(folder):
    folder.mkdir(parents=True)
    theirs = folder / "model.safetensors"
    theirs.write_bytes(b"theirs")
    fresh, abandoned = (folder / f".{n:032x}.partial" for n in (1, 2))
    for path in (fresh, abandoned):
        path.write_bytes(b"partial")
    os.utime(abandoned, (time.time() - 7200,) * 2)
    cache = EmbeddingCache(folder, memory_bytes=0, disk_bytes=1)
    cache.put(embedding(1))
    assert theirs.exists()
    assert fresh.exists()
    assert not abandoned.exists()
    assert embedding(1).key not in cache


def test_what_float16_cannot_hold_is_kept_in_memory_only(folder):
    large = replace(embedding(1), features=torch.full((1, 64, 4, 4), 1e6))
    cache = EmbeddingCache(folder)
    cache.put(large)
    assert torch.equal(cache.get(large.key, device=CPU).features, large.features)
    assert EmbeddingCache(folder).get(large.key, device=CPU) is None


@pytest.mark.parametrize("where", ["file", "below a file", "/proc/self/none", "full"])
def test_a_folder_that_cannot_be_written_to_only_costs_speed(
    tmp_path, where, monkeypatch
):
    (tmp_path / "file").touch()
    folder = {
        "file": tmp_path / "file",
        "below a file": tmp_path / "file" / "cache",
        "full": tmp_path / "full",
    }.get(where, Path(where))
    if where == "full":

        def no_space(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(
            "napari_glmedsa.inference.embedding_cache.write_safetensors", no_space
        )
    cache = EmbeddingCache(folder)
    kept = embedding(1)
    assert cache.get(kept.key, device=CPU) is None
    cache.put(kept)
    assert cache.get(kept.key, device=CPU) is not None
    assert EmbeddingCache(folder).get(kept.key, device=CPU) is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such bits")
def test_other_users_of_the_computer_cannot_read_the_folder(folder):
    EmbeddingCache(folder).put(embedding(1))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


MANY_WRITERS = """
import sys, torch
from pathlib import Path
from napari_glmedsa.inference import EmbeddingCache, ImageEmbedding
cache = EmbeddingCache(Path(sys.argv[1]), memory_bytes=0, disk_bytes=30_000)
for number in [*range(60)] * 3:
    features = torch.full((1, 64, 4, 4), float(number))
    known = cache.get(f"{number:064x}", device=torch.device("cpu"))
    assert known is None or torch.equal(known.features, features)
    cache.put(ImageEmbedding(features, (96, 128), (48, 64), f"{number:064x}"))
"""


def test_several_processes_share_a_folder(folder):
    command = [sys.executable, "-c", MANY_WRITERS, str(folder)]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert entries(folder)
    assert not list(folder.glob(".*.partial"))


def test_the_folder_is_the_one_that_the_user_names(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_GLMEDSA_CACHE", str(tmp_path))
    assert default_cache_folder() == tmp_path / "embeddings"
    monkeypatch.delenv("NAPARI_GLMEDSA_CACHE")
    assert default_cache_folder().parts[-2:] == ("napari-glmedsa", "embeddings")


def test_a_key_names_pixels_model_and_precision(predictor, lesion):
    key = predictor.embedding_key(lesion.image)
    assert predictor.encode(lesion.image).key == key
    others = {predictor.embedding_key(lesion.image[::-1])}
    for name, value in (("fingerprint", "other"), ("precision", "bf16")):
        before = getattr(predictor, name)
        setattr(predictor, name, value)
        others.add(predictor.embedding_key(lesion.image))
        setattr(predictor, name, before)
    predictor.sam.input_resize = "square"
    others.add(predictor.embedding_key(lesion.image))
    assert len(others | {key}) == 5
