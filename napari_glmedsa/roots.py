"""The folders that hold models: the user's own, shared ones, the built-in one."""

import os
from importlib.resources import files
from pathlib import Path


def default_root() -> Path:
    """Return ``$NAPARI_GLMEDSA_HOME``, else the user's data folder."""
    if home := os.environ.get("NAPARI_GLMEDSA_HOME"):
        return Path(home).expanduser()
    from platformdirs import user_data_path

    return user_data_path("napari-glmedsa", appauthor=False)


def shared_roots() -> tuple[Path, ...]:
    """Return the folders in ``$NAPARI_GLMEDSA_SHARED``, which are only ever read.

    Several are written as in ``PATH``; the earlier one wins.
    """
    named = os.environ.get("NAPARI_GLMEDSA_SHARED", "").split(os.pathsep)
    return tuple(Path(name).expanduser() for name in named if name.strip())


def catalogue() -> Path:
    """Return the folder of built-in models (``models/`` in a checkout)."""
    return Path(str(files("napari_glmedsa.catalogue") / "README.md")).parent
