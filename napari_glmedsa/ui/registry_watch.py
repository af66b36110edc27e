"""Notice that something in the registry's folder changed, whoever changed it."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import (  # type: ignore[attr-defined]
    QFileSystemWatcher,
    QObject,
    QTimer,
    Signal,
)

CALM = 200
"""Milliseconds without news that make a change complete: several files belong to it."""

_FILES = (
    "active.json",
    "recent.json",
    "adapters/*/adapter.safetensors",
    "base/*/card.json",
)
_FOLDERS = ("adapters", "adapters/*", "base", "base/*")


class RegistryWatch(QObject):
    """Watches a registry root, which need not exist yet.

    Parameters
    ----------
    root : Path
        The registry root.
    parent : QObject, optional
        The watch ends with it.
    """

    changed = Signal()
    """A model came or went, or the active model or the recent projects changed."""

    def __init__(self, root: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._root = root.absolute()
        self._watcher = QFileSystemWatcher(self)
        self._calm = QTimer(self)
        self._calm.setSingleShot(True)
        self._calm.setInterval(CALM)
        self._watcher.directoryChanged.connect(self._on_news)
        self._watcher.fileChanged.connect(self._on_news)
        self._calm.timeout.connect(self._look)
        self._watch()
        self._seen = self._stamps()

    def _on_news(self, path: str) -> None:
        self._calm.start()

    def _look(self) -> None:
        # First watch what is new, then look: what comes later is noticed later.
        self._watch()
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            self.changed.emit()

    def _watch(self) -> None:
        wanted = self._present()
        watched = {*self._watcher.directories(), *self._watcher.files()}
        # A file that was replaced is no longer watched, nor a folder that was deleted.
        if gone := watched - wanted:
            self._watcher.removePaths(sorted(gone))
        if new := wanted - watched:
            self._watcher.addPaths(sorted(new))

    def _present(self) -> set[str]:
        if not self._root.is_dir():
            ancestors = (path for path in self._root.parents if path.is_dir())
            return {str(path) for path in list(ancestors)[:1]}
        found = [self._root, *self._matching(_FOLDERS)]
        active = self._root / "active.json"
        return {str(path) for path in (*found, active) if path.exists()}

    def _stamps(self) -> dict[Path, tuple[int, int]]:
        stamps = {}
        for path in self._matching(_FILES):
            try:
                stat = path.stat()
            except OSError:  # gone between two looks
                continue
            stamps[path] = (stat.st_mtime_ns, stat.st_ino)
        return stamps

    def _matching(self, patterns: tuple[str, ...]) -> list[Path]:
        return [path for pattern in patterns for path in self._root.glob(pattern)]
