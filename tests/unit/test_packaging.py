"""What is installed: the version, the catalogue, and everything a wheel must carry."""

import configparser
import importlib.metadata
import importlib.resources
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import napari_glmedsa

ROOT = Path(__file__).resolve().parents[2]
BUILT_FROM = ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.cfg")


def files_under(folder, *suffixes):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix in suffixes and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory):
    """Build a wheel from a copy of the tree, offline; list the files in it."""
    tree = tmp_path_factory.mktemp("tree")
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, tree)
    for name in ("models", "napari_glmedsa"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    wheels = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-index", "--no-build-isolation", "--wheel-dir", str(wheels)]
    finished = subprocess.run(
        [*command, str(tree)], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    (wheel,) = wheels.glob("napari_glmedsa-*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_version_in_the_code_is_the_installed_one():
    assert importlib.metadata.version("napari-glmedsa") == napari_glmedsa.__version__


def test_the_metadata_has_one_owner():
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "\n[project]" not in pyproject
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg", encoding="utf-8")
    assert metadata["metadata"]["version"] == "attr: napari_glmedsa.__version__"


def test_the_installed_catalogue_holds_the_built_in_model():
    catalogue = Path(str(importlib.resources.files("napari_glmedsa.catalogue")))
    assert (catalogue / "base" / "sam_vit_mini" / "card.json").is_file()
    assert list(catalogue.glob("base/sam_vit_mini/*.safetensors"))
    assert list(catalogue.glob("adapters/glmedsa_vit_mini_isic/*.safetensors"))


def test_a_wheel_carries_every_module_and_the_manifest(wheel_names):
    package = files_under(ROOT / "napari_glmedsa", ".py", ".pyi", ".yaml")
    package.add("py.typed")
    missing = {f"napari_glmedsa/{name}" for name in package} - wheel_names
    assert not missing
    assert "napari_glmedsa/napari.yaml" in wheel_names


def test_a_wheel_carries_the_catalogue_with_weights_cards_and_recipes(wheel_names):
    models = files_under(ROOT / "models", ".safetensors", ".json", ".md", ".py")
    assert any(name.endswith(".safetensors") for name in models)
    missing = {f"napari_glmedsa/catalogue/{name}" for name in models} - wheel_names
    assert not missing


def test_a_wheel_puts_only_our_package_at_the_top(wheel_names):
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"napari_glmedsa"}
