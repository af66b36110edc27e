"""The dialog of models shows what is here, and fetches, adds, checks and removes."""

import hashlib
import io
import threading
from dataclasses import replace

import pytest
import torch
from bomb import Bomb
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox, QWidget
from segmenting import LONG
from serving import Answer, serving
from tiny import TINY, randomise

from napari_glmedsa.adapters.card import card_header, read_card
from napari_glmedsa.files import read_json, write_json
from napari_glmedsa.inference import build_sam
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.store import ModelStore, Patience
from napari_glmedsa.tensors import read_safetensors, write_safetensors
from napari_glmedsa.ui.model_store_dialog import ModelStoreDialog

pytestmark = pytest.mark.ui

QUICK = Patience(connect=60, stall=60, attempts=1, pause=0.01)


@pytest.fixture(scope="module")
def content():
    stream = io.BytesIO()
    torch.save(randomise(build_sam(TINY), seed=5).state_dict(), stream)
    return stream.getvalue()


@pytest.fixture
def server(content):
    with serving(content) as server:
        yield server


@pytest.fixture
def offered(registry, server):
    """A base ``small`` that the server has."""
    folder = registry.root / "base" / "small"
    folder.mkdir()
    card = {
        "file": "small.pth",
        "url": server.url,
        "bytes": len(server.content),
        "file_sha256": hashlib.sha256(server.content).hexdigest(),
        "description": "A small one",
        "licence": "BSD-3",
    }
    write_json(folder / "card.json", card)
    return folder


@pytest.fixture
def dialog(qtbot, registry, wait):
    parent = QWidget()
    qtbot.addWidget(parent)
    store = ModelStore(ModelRegistry(registry.root, []), patience=QUICK)
    dialog = ModelStoreDialog(store, parent)
    dialog.present()
    wait(lambda: dialog.table.rows)
    yield dialog
    dialog.close_down()


@pytest.fixture
def wait(qtbot):
    return lambda condition: qtbot.waitUntil(lambda: bool(condition()), timeout=LONG)


def words(dialog, name):
    """Return the state that the table shows for a model."""
    names = [row.name for row in dialog.table.rows]
    return dialog.table.item(names.index(name), 1).text() if name in names else None


def test_installed_available_and_broken_models_are_told_apart(
    registry, offered, dialog
):
    folder = registry.root / "base" / "torn"
    folder.mkdir()
    (folder / "card.json").write_text("{")
    dialog.refresh()
    sizes = {row.name: row.bytes for row in dialog.table.rows}
    assert words(dialog, "sam_tiny") == "Installed"
    assert words(dialog, "sam_vit_mini") == "Built in"
    assert words(dialog, "sam_vit_h") == "Available"
    assert sizes["sam_vit_h"] == 2564550879
    names = [row.name for row in dialog.table.rows]
    assert dialog.table.item(names.index("sam_vit_h"), 2).text() == "2.6 GB"
    dialog.table.select("sam_vit_h")
    assert dialog.fetch_button.isEnabled()
    assert not dialog.remove_button.isEnabled()
    assert not dialog.verify_button.isEnabled()
    assert "Apache-2.0" in dialog.details.text()
    dialog.table.select("sam_vit_mini")
    assert not dialog.fetch_button.isEnabled()
    assert not dialog.remove_button.isEnabled()
    assert dialog.verify_button.isEnabled()
    dialog.table.select("sam_tiny")
    assert dialog.remove_button.isEnabled()


def test_a_damaged_card_is_shown_with_its_reason(registry, dialog, wait):
    folder = registry.root / "base" / "torn"
    folder.mkdir()
    (folder / "card.json").write_text("{")
    dialog.present("torn")
    wait(lambda: words(dialog, "torn") == "Broken")
    wait(lambda: "card.json" in dialog.details.text())
    assert dialog.remove_button.isEnabled()


def test_a_download_shows_progress_can_be_called_off_and_resumed(
    offered, dialog, server, wait, registry
):
    part = int(0.4 * len(server.content))
    server.answer(Answer(sends=part, stalls=True))
    dialog.present("small")
    wait(lambda: dialog.table.selected.name == "small")
    dialog.fetch_button.click()
    wait(lambda: words(dialog, "small").startswith("Downloading 3"))
    assert dialog.progress.isVisible()
    assert dialog.progress.value() > 25
    assert dialog.fetch_button.text() == "Cancel"
    assert not dialog.add_button.isEnabled()
    dialog.fetch_button.click()
    wait(lambda: words(dialog, "small").endswith("% here"))
    assert dialog.fetch_button.text() == "Resume"
    assert not dialog.progress.isVisible()
    server.answer()
    server.ended.set()  # the stalled answer ends, and with it the old attempt
    dialog.fetch_button.click()
    wait(lambda: words(dialog, "small") == "Verified")
    assert ModelSpec("small") in registry.specs()
    assert server.asked[0] is None
    assert server.asked[-1].startswith("bytes=")
    assert not dialog.fetch_button.isEnabled()


def test_a_failed_download_says_why_and_can_be_tried_again(
    offered, dialog, server, wait
):
    server.answer(Answer(status=404))
    dialog.present("small")
    wait(lambda: dialog.table.selected.name == "small")
    dialog.fetch_button.click()
    wait(lambda: words(dialog, "small") == "Failed")
    wait(lambda: "404 Not Found" in dialog.details.text())
    server.answer()
    dialog.fetch_button.click()
    wait(lambda: words(dialog, "small") == "Verified")
    assert "404" not in dialog.details.text()


def test_a_file_is_added_after_its_type_was_asked_for(
    dialog, tmp_path, tiny_sam, wait, monkeypatch, registry
):
    path = tmp_path / "mine.pth"
    torch.save(tiny_sam.state_dict(), path)
    answers = [("sam_vit_b", True), ("other", True)]
    monkeypatch.setattr(
        QFileDialog, "getOpenFileName", lambda *_, **__: (str(path), "")
    )
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_, **__: answers.pop(0))
    dialog.add_button.click()
    wait(lambda: "not sam_vit_b" in dialog.details.text())
    dialog.add_button.click()
    wait(lambda: words(dialog, "mine") == "Verified")
    wait(lambda: dialog.table.selected.name == "mine")
    assert ModelSpec("mine") in registry.specs()
    assert not answers


@pytest.mark.parametrize("name", ["mine.pth", "mine.safetensors"])
def test_program_code_in_an_added_file_is_never_run(
    dialog, tmp_path, tiny_sam, wait, monkeypatch, registry, name
):
    path, witness = tmp_path / name, tmp_path / "witness"
    torch.save({**tiny_sam.state_dict(), "more": Bomb(witness)}, path)
    monkeypatch.setattr(
        QFileDialog, "getOpenFileName", lambda *_, **__: (str(path), "")
    )
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_, **__: ("other", True))
    dialog.add_button.click()
    wait(lambda: "never " in dialog.details.text())
    assert not witness.exists()
    assert not (registry.root / "base" / "mine").exists()


def test_an_adapter_is_added_too(dialog, registry, wait, tmp_path):
    path = registry.adapter_path("tiny_adapter").rename(tmp_path / "x.safetensors")
    dialog.add(path)
    wait(lambda: ModelSpec("sam_tiny", "tiny_adapter") in registry.specs())


def test_verifying_finds_a_flipped_bit(dialog, registry, wait):
    dialog.table.select("sam_tiny")
    dialog.verify_button.click()
    wait(lambda: words(dialog, "sam_tiny") == "Verified")
    path = registry.root / "base" / "sam_tiny" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    dialog.verify_button.click()
    wait(lambda: words(dialog, "sam_tiny") == "Failed")
    assert "damaged" in dialog.details.text()


def test_removing_asks_and_names_who_needs_it(dialog, registry, wait, monkeypatch):
    asked = []
    buttons = QMessageBox.StandardButton
    answers = [buttons.No, buttons.Yes]

    def question(parent, title, text, *_):
        asked.append(text)
        return answers.pop(0)

    monkeypatch.setattr(QMessageBox, "question", question)
    dialog.table.select("sam_tiny")
    dialog.remove_button.click()
    assert "tiny_adapter" in asked[0]
    assert ModelSpec("sam_tiny") in registry.specs()
    dialog.remove_button.click()
    wait(lambda: words(dialog, "sam_tiny") is None)
    assert ModelSpec("sam_tiny") not in registry.specs()


def test_the_worker_is_free_when_the_dialog_goes(offered, dialog, server, wait):
    hold = threading.Event()
    server.answer(Answer(holds=hold))
    dialog.present("small")
    wait(lambda: dialog.table.selected.name == "small")
    dialog.fetch_button.click()
    wait(lambda: server.asked)
    dialog.close_down()
    hold.set()
    dialog._jobs.wait(LONG / 1000)
    assert "sha256" not in read_json(offered / "card.json")


def test_picking_an_adapter_whose_base_is_missing_offers_the_download(
    offered, dock, models, wait, tmp_path
):
    path = models.adapter_path("tiny_adapter")
    card = replace(read_card(path), name="distant", base_model="small")
    folder = models.root / "adapters" / "distant"
    folder.mkdir()
    write_safetensors(
        folder / "adapter.safetensors",
        read_safetensors(path),
        metadata=card_header(card),
    )
    picker = dock.widget.form.model
    before = picker.value
    wait(lambda: "distant (needs small)" in _texts(picker))
    picker.value = ModelSpec("small", "distant")
    dialog = dock.widget._models.dialog
    wait(dialog.isVisible)
    assert picker.value == before
    wait(lambda: dialog.table.selected and dialog.table.selected.name == "small")
    assert "Needed by distant" in dialog.details.text()
    dialog.fetch_button.click()
    wait(lambda: words(dialog, "small") == "Verified")
    # The adapter was made for another base, so the base alone is offered now.
    wait(lambda: "distant (needs small)" not in _texts(picker))


def _texts(picker):
    return [picker.native.itemText(i) for i in range(picker.native.count())]
