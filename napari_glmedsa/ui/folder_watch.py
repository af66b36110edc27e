"""Notice that files come into folders or leave them, whoever does it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qtpy.QtCore import (  # type: ignore[attr-defined]
    QFileSystemWatcher,
    QObject,
    QTimer,
    Signal,
)

from napari_glmedsa.ui.registry_watch import CALM


class FolderWatch(QObject):
    """Watches some folders; those that are not there yet, as soon as they are.

    Parameters
    ----------
    parent : QObject
        The watch ends with it.
    """

    changed = Signal()
    """A while ago something came or went, and since then nothing."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._folders: tuple[Path, ...] = ()
        self._watcher = QFileSystemWatcher(self)
        self._calm = QTimer(self)
        self._calm.setSingleShot(True)
        self._calm.setInterval(CALM)
        self._watcher.directoryChanged.connect(lambda _: self._calm.start())
        self._calm.timeout.connect(self._on_calm)

    def watch(self, folders: Iterable[Path]) -> None:
        """Watch these folders instead of the ones before."""
        self._folders = tuple(folders)
        if watched := self._watcher.directories():
            self._watcher.removePaths(watched)
        self._watch()

    def _on_calm(self) -> None:
        self._watch()
        self.changed.emit()

    def _watch(self) -> None:
        # The parent tells when a folder comes.
        wanted = {*self._folders, *(folder.parent for folder in self._folders)}
        there = {str(folder) for folder in wanted if folder.is_dir()}
        if new := there - set(self._watcher.directories()):
            self._watcher.addPaths(sorted(new))
