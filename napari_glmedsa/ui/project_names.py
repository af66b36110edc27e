"""What a project is called where the user picks one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from napari_glmedsa.worklist.worklist import PROJECT_NAME


def project_names(folders: Sequence[Path]) -> list[str]:
    """Return a name for each project, as short as they can be told apart.

    One that lies in a folder of photographs is called after that folder.
    """
    short = [
        folder.parent.name if folder.name == PROJECT_NAME else folder.name
        for folder in folders
    ]
    times = Counter(short)
    return [
        name if times[name] == 1 else f"{name} ({folder.parent})"
        for name, folder in zip(short, folders, strict=True)
    ]
