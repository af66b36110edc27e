"""What an import may bring with it: the core knows no window, pickers no torch."""

import json
import pkgutil
import subprocess
import sys

import pytest

import napari_glmedsa

WINDOWS = {"magicgui", "napari", "qtpy", "superqt", "PyQt5", "PyQt6", "PySide6"}


def core_modules():
    """Name every module but those of the ui, which may import what it likes."""
    return sorted(
        module.name
        for module in pkgutil.walk_packages(napari_glmedsa.__path__, "napari_glmedsa.")
        if module.name.split(".")[1] not in {"ui", "__main__"}
    )


def packages_after_importing(*modules):
    """Import the modules in a new process; return the top-level packages it has."""
    program = (
        "import importlib, json, sys\n"
        f"for name in {list(modules)!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return set(json.loads(finished.stdout.splitlines()[-1]))


def test_the_core_is_imported_without_napari_and_qt():
    modules = core_modules()
    assert {"napari_glmedsa.session", "napari_glmedsa.cli"} <= set(modules)
    assert not packages_after_importing(*modules) & WINDOWS


@pytest.mark.parametrize(
    "module",
    [
        "napari_glmedsa",
        "napari_glmedsa.activation",
        "napari_glmedsa.cleanup",
        "napari_glmedsa.calibration",
        "napari_glmedsa.cli",
        "napari_glmedsa.measurement",
        "napari_glmedsa.history",
        "napari_glmedsa.inference.strokes",
        "napari_glmedsa.model",
        "napari_glmedsa.project",
        "napari_glmedsa.recent",
        "napari_glmedsa.registry",
        "napari_glmedsa.training.config",
        "napari_glmedsa.training.events",
        "napari_glmedsa.training.presets",
        "napari_glmedsa.training.run",
        "napari_glmedsa.training.status",
        "napari_glmedsa.worklist",
    ],
)
def test_what_opens_quickly_is_imported_without_torch(module):
    loaded = packages_after_importing(module)
    assert "napari_glmedsa" in loaded
    assert not loaded & {"torch", "torchvision", "segment_anything"}
