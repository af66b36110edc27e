import numpy as np

from napari_glmedsa.overlay import draw_outlines

GREY = np.full((60, 80, 3), 128, np.uint8)


def square(top: int, left: int, side: int = 20) -> np.ndarray:
    mask = np.zeros(GREY.shape[:2], dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def colours(picture) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in np.asarray(picture).reshape(-1, 3)}


def test_each_mask_gets_an_outline_of_its_colour():
    picture = draw_outlines(
        GREY, [(square(5, 5), "#ff0000"), (square(30, 40), "#0000ff")], width=2
    )
    assert {(255, 0, 0), (0, 0, 255), (128, 128, 128)} <= colours(picture)
    assert tuple(np.asarray(picture)[15, 15]) == (128, 128, 128)  # not filled


def test_outlines_that_coincide_are_all_seen():
    same = square(15, 20)
    picture = draw_outlines(
        GREY, [(same, "#ff0000"), (same, "#00ff00"), (same, "#0000ff")], width=2
    )
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255)} <= colours(picture)


def test_an_empty_mask_draws_nothing():
    nothing = np.zeros(GREY.shape[:2], dtype=bool)
    picture = draw_outlines(GREY, [(nothing, "#ff0000")], width=2)
    assert np.array_equal(np.asarray(picture), GREY)
