"""A pickle that does harm, for files that must never be unpickled."""

from pathlib import Path


class Bomb:
    """Unpickling this would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
