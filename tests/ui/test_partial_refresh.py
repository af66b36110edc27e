"""A part of a Labels layer that is refreshed looks as if all of it had been."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_glmedsa.ui.partial_refresh import outlines, refresh_part

SIZE = (50, 70)


class Screen:
    """What a canvas shows of a layer: all of it, or the parts that are announced."""

    def __init__(self, layer: Labels) -> None:
        self.layer, self.n_parts, self.n_all = layer, 0, 0
        self._on_all()
        layer.events.set_data.connect(self._on_all)
        layer.events.labels_update.connect(self._on_part)

    def _on_all(self, event: object = None) -> None:
        self.n_all += 1
        self.pixels = np.array(self.layer._data_view)

    def _on_part(self, event) -> None:
        self.n_parts += 1
        top, left = event.offset
        height, width = event.data.shape
        self.pixels[top : top + height, left : left + width] = event.data

    def shows_all(self) -> bool:
        shown = self.pixels.copy()
        self.layer.refresh()
        return np.array_equal(shown, self.pixels)


@pytest.fixture
def labels() -> Labels:
    data = np.zeros(SIZE, np.uint16)
    data[5:30, 5:40], data[20:45, 38:60] = 1, 2
    return ViewerModel().add_labels(data)


@pytest.mark.parametrize("contour", [0, 1, 2, 3, 6])
@pytest.mark.parametrize(
    "box", [np.s_[10:25, 10:45], np.s_[0:50, 0:70], np.s_[48:50, 0:2]]
)
def test_a_part_looks_as_if_the_whole_were_drawn_anew(labels, contour, box):
    labels.contour = contour
    screen = Screen(labels)
    screen.n_all = 0
    labels.data[box] = 3
    refresh_part(labels, box)
    assert (screen.n_parts, screen.n_all) == (1, 0)
    assert screen.shows_all()


def test_the_thumbnail_shows_the_change(labels):
    before = labels.thumbnail.copy()
    labels.data[:25] = 4
    refresh_part(labels, np.s_[0:25, 0:70])
    assert not np.array_equal(labels.thumbnail, before)


def test_labels_that_napari_recodes_for_the_screen_are_refreshed_whole(labels):
    labels.data = labels.data.astype(np.int64)
    screen = Screen(labels)
    labels.data[:10] = 3
    refresh_part(labels, np.s_[0:10, 0:70])
    assert screen.n_parts == 0
    assert screen.shows_all()


def test_a_hidden_layer_shows_the_change_when_it_is_seen_again(labels):
    screen = Screen(labels)
    labels.visible = False
    labels.data[:10] = 3
    refresh_part(labels, np.s_[0:10, 0:70])
    labels.visible = True
    assert screen.shows_all()


@pytest.mark.parametrize("thickness", [1, 2, 3, 4, 5, 8, 11])
def test_outlines_are_those_of_napari(thickness):
    rng = np.random.default_rng(thickness)
    data = np.zeros(SIZE, np.uint8)
    for label in range(1, 8):
        top, left, height, width = rng.integers((0, 0, 1, 1), (*SIZE, *SIZE))
        data[top : top + height, left : left + width] = label
    layer = Labels(data)
    layer.contour = thickness
    assert np.array_equal(outlines(data, thickness), layer._data_view)
