"""TIFF files that Pillow does not know; what a header claims is not yet there."""

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_glmedsa.errors import ImageFormatError
from napari_glmedsa.pixels import read_pixels

WIDTH, LENGTH, ROWS_PER_STRIP = "ImageWidth", "ImageLength", "RowsPerStrip"
TILES = {"tile": (16, 16)}


@pytest.fixture
def colours() -> np.ndarray:
    return np.random.default_rng(0).random((24, 30, 3), np.float32)


def claiming(path: Path, **values: int) -> Path:
    """Overwrite what a TIFF file says about itself, and leave its pixels."""
    with tifffile.TiffFile(path, mode="r+") as file:
        for name, value in values.items():
            file.pages.first.tags[name].overwrite(value)
    return path


@pytest.mark.parametrize(
    "options",
    [{}, TILES, {"compression": "zlib"}, {"planarconfig": "separate"}],
    ids=["strips", "tiles", "compressed", "planes"],
)
def test_a_floating_point_tiff_is_read_however_it_is_laid_out(
    tmp_path: Path, colours, options
):
    path = tmp_path / "a.tif"
    written = np.moveaxis(colours, 2, 0) if "planarconfig" in options else colours
    tifffile.imwrite(path, written, photometric="rgb", **options)
    assert np.array_equal(read_pixels(path), colours)


@pytest.mark.parametrize(
    ("options", "claims"),
    [
        (TILES, {LENGTH: 0}),
        (TILES, {LENGTH: 400_000}),
        (TILES, {LENGTH: 8_388_632}),
        (TILES, {WIDTH: 16_711_710, LENGTH: 2_147_483_672}),
        ({"rowsperstrip": 8, "compression": "zlib"}, {LENGTH: 1_000_000}),
        ({}, {LENGTH: 1_000_000, ROWS_PER_STRIP: 1_000_000}),
    ],
)
def test_a_tiff_that_claims_more_pixels_than_it_stores_is_called_damaged(
    tmp_path: Path, colours, options, claims
):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, colours, photometric="rgb", **options)
    with pytest.raises(ImageFormatError, match=r"a\.tif is damaged or cut off"):
        read_pixels(claiming(path, **claims))


def test_pages_that_go_round_in_a_circle_are_called_damaged(tmp_path: Path, colours):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for page in (colours, colours[:16]):
            file.write(page, photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as file:
        first, last = (page.offset for page in file.pages)
        next_page = last + 2 + 12 * len(file.pages[1].tags)
    with path.open("r+b") as data:
        data.seek(next_page)
        data.write(struct.pack("<I", first))
    with pytest.raises(ImageFormatError, match=r"a\.tif is damaged or cut off"):
        read_pixels(path)


def test_a_long_stack_is_refused_without_looking_at_all_of_it(tmp_path: Path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((101, 8, 9)), photometric="minisblack")
    with pytest.raises(ImageFormatError, match="holds more than 100 images"):
        read_pixels(path)


def test_too_many_pixels_are_refused_by_the_header_alone(tmp_path: Path, colours):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, colours, photometric="rgb")
    sides = {WIDTH: 13_312, LENGTH: 13_312, ROWS_PER_STRIP: 13_312}
    with pytest.raises(ImageFormatError, match=r"a\.tif has more than 150 megapixels"):
        read_pixels(claiming(path, **sides))


def test_a_stack_is_refused_by_the_header_alone(tmp_path: Path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((5, 80, 90)), photometric="minisblack")
    path.write_bytes(path.read_bytes()[: -80 * 90 * 8])
    with pytest.raises(ImageFormatError, match="stack of shape 5 x 80 x 90"):
        read_pixels(path)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ZeroDivisionError, "is damaged or cut off"),
        (AssertionError, "is damaged or cut off"),
        (MemoryError, "does not fit into this machine's memory"),
    ],
)
def test_whatever_goes_wrong_in_a_tiff_is_one_sentence(
    tmp_path: Path, colours, monkeypatch, error, sentence
):
    def fail(*_, **__):
        raise error

    path = tmp_path / "a.tif"
    tifffile.imwrite(path, colours, photometric="rgb")
    monkeypatch.setattr(tifffile.TiffFile, "asarray", fail)
    with pytest.raises(ImageFormatError, match=rf"a\.tif {sentence}"):
        read_pixels(path)
