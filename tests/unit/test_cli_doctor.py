import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from command import glmedsa

from napari_glmedsa import __version__
from napari_glmedsa.registry import ModelRegistry


@pytest.fixture
def home(registry: ModelRegistry, monkeypatch) -> Path:
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", str(registry.root))
    return registry.root


def what_is_missing(document) -> str:
    return "\n".join(f"{item['what']}: {item['todo']}" for item in document["missing"])


def test_the_json_document_has_versions_devices_and_machine(home, capsys):
    document = json.loads(glmedsa(capsys, "doctor", "--json").out)
    assert list(document) == [
        *("versions", "platform", "devices", "cpu_cores", "memory_bytes", "display"),
        *("registry_root", "models", "missing"),
    ]
    assert document["versions"]["napari-glmedsa"] == __version__
    assert document["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert document["versions"]["segment-anything"] == "1.0"
    assert "cpu" in document["devices"]
    assert document["cpu_cores"] >= 1
    assert document["registry_root"] == str(home)


def test_models_are_listed_with_size_and_licence(home, capsys):
    document = json.loads(glmedsa(capsys, "doctor", "--json").out)
    models = {model["name"]: model for model in document["models"]}
    weights = home / "base" / "sam_tiny" / "model.safetensors"
    assert models["sam_tiny"] == {
        "name": "sam_tiny",
        "kind": "base",
        "installed": True,
        "bytes": weights.stat().st_size,
        "licence": "BSD-3",
    }
    assert models["tiny_adapter"]["kind"] == "adapter"
    assert models["tiny_adapter"]["bytes"] > 0
    assert models["glmedsa_vit_mini_isic"]["bytes"] > 0


def test_a_base_without_its_weights_is_listed_as_not_installed(home, capsys):
    (home / "base" / "sam_tiny" / "model.safetensors").unlink()
    document = json.loads(glmedsa(capsys, "doctor", "--json").out)
    models = {model["name"]: model for model in document["models"]}
    assert models["sam_tiny"]["installed"] is False
    assert models["sam_tiny"]["bytes"] == 0


def test_the_text_is_readable_and_says_the_same(home, capsys):
    outcome = glmedsa(capsys, "doctor")
    assert (outcome.code, outcome.err) == (0, "")
    for words in ("napari-glmedsa", "torch", "Devices", "sam_tiny", "tiny_adapter"):
        assert words in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 150


def test_a_damaged_model_is_told_and_does_not_stop_the_doctor(home, capsys):
    (home / "adapters" / "tiny_adapter" / "adapter.safetensors").write_bytes(b"x" * 99)
    document = json.loads(glmedsa(capsys, "doctor", "--json").out)
    assert "The adapter tiny_adapter cannot be used" in what_is_missing(document)
    (home / "base" / "sam_tiny" / "card.json").write_text("{")
    outcome = glmedsa(capsys, "doctor", "--json")
    assert outcome.code == 0
    told = what_is_missing(json.loads(outcome.out))
    assert "The base model sam_tiny cannot be used" in told


def test_a_folder_of_models_that_cannot_be_read_does_not_stop_the_doctor(
    home, capsys, monkeypatch
):
    monkeypatch.setenv("NAPARI_GLMEDSA_HOME", f"/{'x' * 300}")
    outcome = glmedsa(capsys, "doctor", "--json")
    assert outcome.code == 0
    assert "The models cannot be listed" in what_is_missing(json.loads(outcome.out))


def test_every_package_that_the_installation_asks_for_is_looked_at(home, capsys):
    versions = json.loads(glmedsa(capsys, "doctor", "--json").out)["versions"]
    asked_for = {
        re.match(r"[\w-]+", requirement)[0]
        for requirement in metadata.requires("napari-glmedsa")
        if "extra" not in requirement or '"napari"' in requirement
    }
    assert {"torch", "napari"} <= asked_for <= versions.keys()


def test_a_missing_display_is_told(home, capsys, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    document = json.loads(glmedsa(capsys, "doctor", "--json").out)
    assert document["display"] is False
    assert "There is no display" in what_is_missing(document)
    monkeypatch.setenv("DISPLAY", ":7")
    document = json.loads(glmedsa(capsys, "doctor", "--json").out)
    assert document["display"] is True
    assert "There is no display" not in what_is_missing(document)


def test_without_napari_and_qt_it_says_how_to_install_them(home):
    """Real absence: a child process whose import system cannot see them."""
    check = """
import sys
from importlib import metadata
from importlib.machinery import PathFinder
HIDDEN = {"napari", "npe2", "magicgui", "qtpy", "superqt", "PyQt6"}
class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in HIDDEN
        return None if hidden else super().find_spec(name, path, target)
    @classmethod
    def find_distributions(cls, context=metadata.DistributionFinder.Context()):
        for distribution in super().find_distributions(context):
            if distribution.name not in HIDDEN:
                yield distribution
sys.meta_path[:] = [Hiding if f is PathFinder else f for f in sys.meta_path]
from napari_glmedsa.cli.app import run
sys.exit(run(["doctor", "--json"]))
"""
    finished = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )
    document = json.loads(finished.stdout)
    assert document["versions"]["napari"] is None
    assert document["versions"]["qt"] is None
    assert "For the window, napari, npe2, " in what_is_missing(document)
    assert 'pip install "napari-glmedsa[all]"' in what_is_missing(document)
