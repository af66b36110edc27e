"""Up to six validation images with the outlines before and after, and the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QImage, QMouseEvent, QPixmap
from qtpy.QtWidgets import QDialog, QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_glmedsa.overlay import draw_outlines
from napari_glmedsa.training.gallery import GALLERY_SIZE, GalleryItem
from napari_glmedsa.ui.styles import OUTLINE_COLORS

COLUMNS = 3
THUMBNAIL = 100
"""Pixels of a picture's longer side in the dock."""
ENLARGED = 640
"""Pixels of an enlarged picture's longer side."""

_THUMBNAIL_LINE = 1.1
_ENLARGED_LINE = 1.8
_WORDS = {"truth": "your mask", "before": "before", "after": "after"}


@dataclass(frozen=True, eq=False)
class Picture:
    """One image of the gallery, drawn.

    Attributes
    ----------
    id : str
        Of the image.
    caption : str
        What the comparison found for it.
    small, large : (H, W, 3) uint8
        RGB with outlines, for the dock and for a window of its own.
    """

    id: str
    caption: str
    small: NDArray[np.uint8]
    large: NDArray[np.uint8]


def draw_picture(item: GalleryItem) -> Picture:
    """Draw one picture of the gallery; takes its time, so not in the Qt thread."""
    small, large = (
        _draw(item, side=side, width=width)
        for side, width in (
            (2 * THUMBNAIL, 2 * _THUMBNAIL_LINE),  # shown at half size: sharp on HiDPI
            (ENLARGED, _ENLARGED_LINE),
        )
    )
    caption = f"1-click Dice {item.dice_before:.3f} before, {item.dice_after:.3f} after"
    return Picture(item.id, caption, small, large)


class RunGallery(QWidget):
    """Pictures in rows of three under a legend; a click on one enlarges it."""

    def __init__(self) -> None:
        super().__init__()
        self.enlarged: QDialog | None = None
        self._pictures: tuple[Picture, ...] = ()
        self.thumbnails: list[Thumbnail] = []
        self._grid = QGridLayout()
        self._grid.setSpacing(4)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(_legend())
        layout.addLayout(self._grid)
        self.setVisible(False)

    def show_pictures(self, pictures: tuple[Picture, ...]) -> None:
        """Show these pictures instead of the ones before."""
        if pictures == self._pictures:
            return
        self._pictures = pictures
        for thumbnail in self.thumbnails:
            self._grid.removeWidget(thumbnail)
            thumbnail.deleteLater()
        self.thumbnails = [Thumbnail(picture) for picture in pictures[:GALLERY_SIZE]]
        for index, thumbnail in enumerate(self.thumbnails):
            self._grid.addWidget(thumbnail, *divmod(index, COLUMNS))
            thumbnail.clicked.connect(self._enlarge)
        self.setVisible(bool(self.thumbnails))

    def _enlarge(self, picture: Picture) -> None:
        if self.enlarged is not None:
            self.enlarged.close()
        window = QDialog(self)
        window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        window.destroyed.connect(self._forget_enlarged)
        window.setWindowTitle(f"Before and after: {picture.id}")
        layout = QVBoxLayout(window)
        label = QLabel()
        label.setPixmap(_pixmap(picture.large))
        for widget in (label, QLabel(picture.caption), _legend()):
            layout.addWidget(widget)
        self.enlarged = window
        window.show()

    def _forget_enlarged(self) -> None:
        self.enlarged = None


class Thumbnail(QLabel):
    """A small picture to click on."""

    clicked = Signal(object)

    def __init__(self, picture: Picture) -> None:
        super().__init__()
        self.shown = picture
        pixmap = _pixmap(picture.small)
        pixmap.setDevicePixelRatio(2)
        self.setPixmap(pixmap)
        self.setToolTip(f"{picture.caption}\nClick to enlarge")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Tell that it was clicked."""
        self.clicked.emit(self.shown)


def _legend() -> QLabel:
    words = "&nbsp;&nbsp;&nbsp;".join(
        f'<span style="background-color:#4a3b34;color:{colour}">&nbsp;&#9644;&nbsp;'
        f"</span> {_WORDS[name]}"
        for name, colour in OUTLINE_COLORS.items()
    )
    return QLabel(words)


def _draw(item: GalleryItem, *, side: int, width: float) -> NDArray[np.uint8]:
    height, length = item.image.shape[:2]
    scale = side / max(height, length)
    size = (max(1, round(length * scale)), max(1, round(height * scale)))
    photograph = np.asarray(Image.fromarray(item.image).resize(size))
    outlines = [
        (np.asarray(Image.fromarray(getattr(item, name)).resize(size)), colour)
        for name, colour in OUTLINE_COLORS.items()
    ]
    return np.asarray(draw_outlines(photograph, outlines, width=width))


def _pixmap(picture: NDArray[np.uint8]) -> QPixmap:
    pixels, (height, width) = picture.tobytes(), picture.shape[:2]
    image = QImage(pixels, width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image)
