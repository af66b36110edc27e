"""What this computer has: packages, Qt, a display, cores and memory."""

import os
import re
import sys
from importlib import metadata
from importlib.util import find_spec

INSTALL_ALL = 'pip install "napari-glmedsa[all]"'

_QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed package without importing it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def required_packages(extra: str | None = None) -> list[str]:
    """Return what the installation asks for, always or for one of its extras."""
    try:
        lines = metadata.requires("napari-glmedsa") or []
    except metadata.PackageNotFoundError:  # a checkout that was never installed
        return []
    names = []
    for line in lines:
        requirement, _, condition = line.partition(";")
        if (extra is None and not condition) or condition.endswith(f'"{extra}"'):
            names.append(re.split(r"[^\w.-]", requirement.strip())[0])
    return names


def has_module(name: str) -> bool:
    """Say whether a top-level module can be imported, without importing it."""
    return find_spec(name) is not None


def qt_bindings() -> list[str]:
    """Return the names of the installed Qt bindings."""
    return [name for name in _QT_BINDINGS if has_module(name)]


def napari_knows_plugin() -> bool:
    """Say whether napari would find the plugin's manifest."""
    entries = metadata.entry_points(group="napari.manifest")
    return any(entry.name == "napari-glmedsa" for entry in entries)


def has_display() -> bool:
    """Say whether a window can be opened: always on Windows and macOS."""
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def memory_bytes() -> int | None:
    """Return the size of the memory; None where Python cannot tell (Windows)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
