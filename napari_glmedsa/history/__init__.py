"""One undo and redo over everything that is done to an image's mask."""

from napari_glmedsa.history.document import Document
from napari_glmedsa.history.history import History
from napari_glmedsa.history.patch import Box, Patch
from napari_glmedsa.history.sheet import Sheet
from napari_glmedsa.history.step import Step

__all__ = ["Box", "Document", "History", "Patch", "Sheet", "Step"]
