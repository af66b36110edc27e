"""A base is downloaded whole or not at all, whatever server, disk and network do."""

import errno
import hashlib
import io
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from serving import Answer, Server, after, serving
from tiny import TINY, randomise

from napari_glmedsa.adapters import tensors_sha256
from napari_glmedsa.errors import (
    Cancelled,
    DownloadError,
    GLMedSAError,
    ModelNotFoundError,
)
from napari_glmedsa.files import read_json, write_json
from napari_glmedsa.inference import build_sam
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.store import ModelStore, Patience, Transfer

CPU = torch.device("cpu")
# A busy computer answers itself late, which is no failure of the program
QUICK = Patience(connect=60, stall=60, attempts=2, pause=0.01)
NAME = "sam_small"


@dataclass
class Shop:
    """A server, a root whose card names it, and what the file should become."""

    server: Server
    root: Path
    tensors: dict
    patience: Patience = QUICK

    @property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.root, [])

    @property
    def store(self) -> ModelStore:
        return ModelStore(self.registry, patience=self.patience)

    @property
    def folder(self) -> Path:
        return self.root / "base" / NAME

    @property
    def part(self) -> Path:
        return self.folder / "sam_small.pth.part"

    def refuses(self) -> str:
        """Try to download, and return the sentence with which it fails."""
        with pytest.raises(DownloadError) as raised:
            self.store.download(NAME)
        sentence = str(raised.value)
        assert "\n" not in sentence
        assert sentence.endswith(".")
        assert self.store.card(NAME).state == "available"
        assert ModelSpec(NAME) not in self.registry.specs()
        assert not list(self.folder.glob("*.pth"))
        assert not list(self.folder.glob("*.safetensors"))
        return sentence


@pytest.fixture(scope="module")
def checkpoint() -> tuple[bytes, dict]:
    tensors = randomise(build_sam(TINY)).state_dict()
    stream = io.BytesIO()
    torch.save(tensors, stream)
    return stream.getvalue(), tensors


@pytest.fixture
def shop(tmp_path, checkpoint):
    content, tensors = checkpoint
    with serving(content) as server:
        shop = Shop(server, tmp_path / "Modelle für Ärzte", tensors)
        shop.folder.mkdir(parents=True)
        card = {
            "file": "sam_small.pth",
            "url": server.url,
            "bytes": len(content),
            "file_sha256": hashlib.sha256(content).hexdigest(),
            "description": "A small one",
            "licence": "BSD-3",
        }
        write_json(shop.folder / "card.json", card)
        yield shop


def test_a_base_is_fetched_checked_and_installed(shop):
    heard: list[Transfer] = []
    card = shop.store.download(NAME, report=heard.append)
    assert card.installed
    assert card.sha256 == tensors_sha256(shop.tensors)
    assert (card.description, card.licence) == ("A small one", "BSD-3")
    assert card.facts["original"]["url"] == shop.server.url
    assert ModelSpec(NAME) in shop.registry.specs()
    assert shop.registry.load_sam(NAME, device=CPU)
    assert sorted(path.name for path in shop.folder.iterdir() if path.suffix) == [
        "card.json",
        "model.safetensors",
    ]
    phases = list(dict.fromkeys(step.phase for step in heard))
    assert phases == ["downloading", "checking", "converting"]
    assert heard[0].done == 0
    assert all(step.done <= step.total == heard[0].total for step in heard)
    assert shop.store.download(NAME) == card  # which is there already
    assert len(shop.server.asked) == 1


def test_a_broken_connection_is_gone_on_with(shop):
    shop.server.answer(Answer(sends=200_000), Answer())
    assert shop.store.download(NAME).installed
    first, second = shop.server.asked
    assert first is None
    assert second is not None
    assert 100_000 < int(second.removeprefix("bytes=").removesuffix("-")) <= 200_000


def test_a_download_that_was_called_off_is_gone_on_with_later(shop):
    enough = len(shop.server.content) // 3
    heard: list[Transfer] = []
    with pytest.raises(Cancelled):
        shop.store.download(
            NAME, report=heard.append, cancelled=lambda: heard[-1].done > enough
        )
    have = shop.part.stat().st_size
    assert have > enough
    assert shop.store.loaded_bytes(shop.store.card(NAME)) == have
    assert shop.store.download(NAME).installed
    assert shop.server.asked == [None, f"bytes={have}-"]
    assert not shop.part.exists()


def test_a_server_that_ignores_ranges_begins_anew(shop):
    shop.part.write_bytes(b"x" * 500)
    shop.server.answer(Answer(ranges=False))
    assert shop.store.download(NAME).installed
    assert shop.server.asked == ["bytes=500-"]


def test_a_part_that_is_too_long_is_thrown_away(shop):
    shop.part.write_bytes(b"x" * (len(shop.server.content) + 1))
    assert shop.store.download(NAME).installed
    assert shop.server.asked == [None]


def test_a_part_that_is_complete_is_not_asked_for_again(shop):
    shop.part.write_bytes(shop.server.content)
    assert shop.store.download(NAME).installed
    assert shop.server.asked == []


def test_a_part_with_wrong_bytes_is_thrown_away(shop):
    shop.part.write_bytes(b"x" * 500)
    assert "SHA-256" in shop.refuses()
    assert not shop.part.exists()
    assert shop.store.download(NAME).installed


def test_a_server_that_does_not_know_the_part_is_asked_for_the_whole(shop):
    shop.part.write_bytes(b"x" * 500)
    shop.server.answer(Answer(status=416), Answer())
    assert shop.store.download(NAME).installed
    assert shop.server.asked == ["bytes=500-", None]


@pytest.mark.parametrize(
    ("answer", "words", "requests"),
    [
        (Answer(status=404), "404 Not Found", 1),
        (Answer(status=403), "403 Forbidden", 1),
        (Answer(status=500), "500 Internal Server Error", 2),
        (Answer(content=b"<html>Please log in</html>"), "login page", 1),
        (Answer(sends=0), "broke off", 2),
        (Answer(sends=700), "broke off", 2),
        (Answer(sends=700, stalls=True), "nothing came from 127.0.0.1 for 0.3", 2),
        (Answer(sends=0, stalls=True), "nothing came from 127.0.0.1 for 0.3", 2),
    ],
)
def test_a_bad_server_is_told_in_one_sentence(shop, answer, words, requests):
    shop.server.answer(answer)
    shop.patience = replace(QUICK, stall=0.3) if answer.stalls else QUICK
    assert words in shop.refuses()
    assert len(shop.server.asked) == requests
    shop.server.answer()
    shop.patience = QUICK
    assert shop.store.download(NAME).installed


def test_a_server_that_recovers_is_no_trouble(shop):
    shop.patience = replace(QUICK, attempts=3)
    shop.server.answers = after(2, Answer(status=503))
    assert shop.store.download(NAME).installed


@pytest.mark.parametrize("damage", ["bit", "tail"])
def test_wrong_bytes_are_thrown_away(shop, damage):
    wrong = bytearray(shop.server.content)
    wrong[len(wrong) // 2] ^= 1
    if damage == "tail":
        wrong[-100:] = bytes(100)
    shop.server.answer(Answer(content=bytes(wrong)))
    assert "SHA-256" in shop.refuses()
    assert not shop.part.exists()


def test_without_a_network_it_says_so(shop, monkeypatch):
    def no_names(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    card = read_json(shop.folder / "card.json")
    port = 9  # nobody listens to it
    write_json(
        shop.folder / "card.json", {**card, "url": f"http://127.0.0.1:{port}/s.pth"}
    )
    assert "is there a network?" in shop.refuses()
    write_json(
        shop.folder / "card.json", {**card, "url": "http://nowhere.invalid/s.pth"}
    )
    monkeypatch.setattr(socket, "getaddrinfo", no_names)
    assert "no network" in shop.refuses()
    write_json(shop.folder / "card.json", {**card, "url": "nonsense"})
    assert "address" in shop.refuses()


def test_a_disk_that_is_too_small_is_noticed_before(shop, monkeypatch):
    monkeypatch.setattr(
        "napari_glmedsa.store.folder.shutil.disk_usage",
        lambda path: type("Usage", (), {"free": 1_000_000})(),
    )
    assert "1 MB are free" in shop.refuses()
    assert shop.server.asked == []


def test_a_disk_that_fills_up_keeps_what_has_come(shop, monkeypatch):
    plain_open = Path.open

    class Filling:
        def __init__(self, stream):
            self._stream, self._room = stream, 100_000

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self._stream.close()

        def write(self, data):
            if len(data) > self._room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._room -= len(data)
            return self._stream.write(data)

    def open_on_a_full_disk(path, mode="r", *args, **kwargs):
        stream = plain_open(path, mode, *args, **kwargs)
        return Filling(stream) if path.suffix == ".part" else stream

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_on_a_full_disk)
        assert "The disk is full" in shop.refuses()
    have = shop.part.stat().st_size
    assert 0 < have <= 100_000
    assert shop.store.download(NAME).installed
    assert shop.server.asked == [None, f"bytes={have}-"]


def test_a_disk_that_is_full_at_the_end_is_told_and_nothing_is_fetched_twice(
    shop, monkeypatch
):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("napari_glmedsa.store.model_store.write_base", full)
        with pytest.raises(DownloadError, match="disk is full"):
            shop.store.download(NAME)
    assert not shop.store.card(NAME).sha256  # whole, but not converted yet
    assert shop.registry.load_sam(NAME, device=CPU)
    assert shop.store.download(NAME).sha256
    assert len(shop.server.asked) == 1


def test_a_good_file_is_never_replaced_by_a_failed_download(shop):
    installed = shop.store.download(NAME)
    before = {path: path.read_bytes() for path in shop.folder.glob("*.*")}
    shop.server.answer(Answer(content=b"x" * len(shop.server.content)))
    # Somebody puts the card of the download back over the installed one.
    facts = installed.facts["original"]
    other = shop.root / "base" / "again"
    other.mkdir()
    (other / "sam_small.pth").write_bytes(shop.server.content)
    write_json(other / "card.json", {**facts, "bytes": facts["bytes"]})
    (other / "sam_small.pth").write_bytes(b"short")
    with pytest.raises(GLMedSAError):
        shop.store.download("again")
    assert (other / "sam_small.pth").read_bytes() == b"short"
    assert {path: path.read_bytes() for path in shop.folder.glob("*.*")} == before


def test_a_malicious_download_is_refused_and_never_run(shop, tmp_path):
    from bomb import Bomb

    witness = tmp_path / "witness"
    evil = pickle.dumps(Bomb(witness), protocol=2)
    shop.server.content = evil
    card = read_json(shop.folder / "card.json")
    sha256 = hashlib.sha256(evil).hexdigest()
    write_json(
        shop.folder / "card.json",
        {**card, "bytes": len(evil), "file_sha256": sha256},
    )
    with pytest.raises(GLMedSAError, match="never run"):
        shop.store.download(NAME)
    assert not witness.exists()
    assert not shop.store.card(NAME).sha256


def test_what_a_killed_process_left_is_cleared_away(shop):
    (shop.folder / "tmpabc123").write_bytes(b"half a file of pooch's")
    shop.store.download(NAME)
    assert not (shop.folder / "tmpabc123").exists()


def test_two_programs_that_want_the_same_file_fetch_it_once(shop):
    hold = threading.Event()
    shop.server.answer(Answer(holds=hold))
    program = [sys.executable, "-m", "napari_glmedsa", "models", "download", NAME]
    other = subprocess.Popen([*program, "--root", str(shop.root)])
    try:
        _until(lambda: shop.server.asked, seconds=60)
        heard: list[Transfer] = []

        def report(step: Transfer) -> None:
            heard.append(step)
            hold.set()  # we wait, so the other one may go on

        assert shop.store.download(NAME, report=report).installed
        assert heard[0].phase == "waiting"
    finally:
        hold.set()
        code = other.wait(60)
    assert code == 0
    assert len(shop.server.asked) == 1


def test_who_waits_for_another_program_can_give_up(shop):
    from filelock import FileLock

    with FileLock(shop.folder / ".lock"), pytest.raises(Cancelled):
        shop.store.download(NAME, cancelled=lambda: True)


def test_only_known_models_can_be_downloaded(shop):
    with pytest.raises(ModelNotFoundError, match="sam_vit_h"):
        shop.store.download("sam_vit_x")
    with pytest.raises(ModelNotFoundError):
        shop.store.download("../evil")


def test_a_shared_card_is_downloaded_into_the_users_own_root(shop, tmp_path):
    registry = ModelRegistry(tmp_path / "mine", [shop.root])
    card = ModelStore(registry, patience=QUICK).download(NAME)
    assert card.path == tmp_path / "mine" / "base" / NAME / "model.safetensors"
    assert [path.name for path in shop.folder.iterdir()] == ["card.json"]


def _until(condition, *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
