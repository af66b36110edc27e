import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_glmedsa.errors import ImageFormatError, OutputError
from napari_glmedsa.images import (
    read_image,
    read_mask,
    write_image,
    write_mask,
    write_overlay,
    written_by_us,
)
from napari_glmedsa.inference import Prompts
from napari_glmedsa.overlay import LESION_CLICK, OUTLINE

ROTATED = 6  # EXIF: the camera was turned, show it 90 degrees clockwise


@pytest.fixture
def grey() -> NDArray[np.uint8]:
    return np.arange(48 * 70, dtype=np.uint16).reshape(48, 70).astype(np.uint8)


def square(size: tuple[int, int] = (60, 80)) -> NDArray[np.bool_]:
    mask = np.zeros(size, dtype=bool)
    mask[20:40, 30:60] = True
    return mask


def test_a_png_is_read_as_it_was_written(tmp_path: Path, image):
    write_image(tmp_path / "a.png", image)
    assert np.array_equal(read_image(tmp_path / "a.png"), image)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_colour_mode_becomes_its_rgb_picture(tmp_path: Path, image, mode: str):
    converted = Image.fromarray(image).convert(mode)
    path = tmp_path / "a.tif" if mode in ("CMYK", "YCbCr") else tmp_path / "a.png"
    converted.save(path)
    assert np.array_equal(read_image(path), np.asarray(converted.convert("RGB")))


def test_a_cmyk_jpeg_keeps_its_colours(tmp_path: Path):
    red = Image.new("RGB", (32, 32), (200, 40, 40))
    red.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    found = read_image(tmp_path / "a.jpg").reshape(-1, 3).mean(axis=0)
    assert np.allclose(found, (200, 40, 40), atol=4)


def test_a_transparent_palette_keeps_its_colours(tmp_path: Path, image):
    palette = Image.fromarray(image).convert("P")
    palette.save(tmp_path / "a.png", transparency=bytes(256))
    assert np.array_equal(
        read_image(tmp_path / "a.png"), np.asarray(palette.convert("RGB"))
    )


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_sixteen_bit_grey_is_read_like_eight_bit_grey(
    tmp_path: Path, grey, ending: str
):
    path = tmp_path / f"a{ending}"
    Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    assert np.array_equal(read_image(path), np.repeat(grey[..., None], 3, axis=2))


def test_a_floating_point_colour_tiff_is_read(tmp_path: Path, image):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image.astype(np.float32) / 255, photometric="rgb")
    assert np.array_equal(read_image(path), image)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".webp"])
def test_the_orientation_that_the_camera_noted_is_applied(
    tmp_path: Path, image, ending: str
):
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    path = tmp_path / f"a{ending}"
    Image.fromarray(image).save(path, exif=exif, lossless=True, quality=95)
    found = read_image(path)
    assert found.shape == (70, 48, 3)
    if ending != ".jpg":
        assert np.array_equal(found, np.rot90(image, -1))


def test_the_photograph_before_a_phones_preview_is_the_image(tmp_path: Path, image):
    preview = Image.new("RGB", (16, 12))
    path = tmp_path / "phone.jpg"
    Image.fromarray(image).save(path, "MPO", save_all=True, append_images=[preview])
    assert read_image(path).shape == image.shape


def test_broken_exif_does_not_hide_the_picture(tmp_path: Path, image):
    path = tmp_path / "a.jpg"
    Image.fromarray(image).save(path, exif=b"Exif\0\0MM\0*\xff\xff\xff\xffgarbage")
    assert read_image(path).shape == image.shape


def test_an_image_of_one_pixel_is_read(tmp_path: Path):
    write_image(tmp_path / "a.png", np.full((1, 1, 3), 7, np.uint8))
    assert read_image(tmp_path / "a.png").tolist() == [[[7, 7, 7]]]


@pytest.mark.filterwarnings("error")
def test_a_hundred_megapixels_are_read_without_a_warning(tmp_path: Path):
    path = tmp_path / "a.png"
    Image.new("1", (12_500, 8_000), 1).save(path)
    assert read_image(path).shape == (8_000, 12_500, 3)


@pytest.mark.parametrize("side", [12_300, 20_000])
def test_more_than_the_limit_is_refused_before_it_is_decoded(tmp_path: Path, side: int):
    path = tmp_path / "a.png"
    Image.new("1", (side, side)).save(path)
    with pytest.raises(ImageFormatError, match="150 megapixels"):
        read_image(path)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "JPEG2000"])
@pytest.mark.parametrize("kept", [0.5, 0.02])
def test_a_truncated_file_is_called_damaged(
    tmp_path: Path, image, format_: str, kept: float
):
    whole = tmp_path / "whole"
    Image.fromarray(image).save(whole, format_)
    data = whole.read_bytes()
    path = tmp_path / f"cut.{format_.lower()}"
    path.write_bytes(data[: max(24, int(kept * len(data)))])
    with pytest.raises(ImageFormatError, match=r"cut\..* (is damaged|is not an image)"):
        read_image(path)


def test_an_empty_file_is_called_empty(tmp_path: Path):
    path = tmp_path / "a.png"
    path.touch()
    with pytest.raises(ImageFormatError, match=r"a\.png is empty \(0 bytes\)"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.txt", "a.eps"])
def test_text_is_not_an_image(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    with pytest.raises(ImageFormatError, match="is not an image"):
        read_image(path)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path):
    with pytest.raises(ImageFormatError, match="There is no file"):
        read_image(tmp_path / "a.png")
    with pytest.raises(ImageFormatError, match="is a folder"):
        read_image(tmp_path)


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "a\0b.png"])
def test_a_name_that_no_file_can_have_is_one_sentence(tmp_path: Path, name: str):
    with pytest.raises(ImageFormatError, match="cannot be read"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("ending", [".tif", ".gif"])
def test_a_file_with_several_images_is_refused(tmp_path: Path, image, ending: str):
    path = tmp_path / f"a{ending}"
    other = Image.fromarray(255 - image)
    Image.fromarray(image).save(path, save_all=True, append_images=[other])
    with pytest.raises(ImageFormatError, match="holds 2 images"):
        read_image(path)


def test_a_stack_that_only_tifffile_reads_is_refused(tmp_path: Path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((5, 8, 9)), photometric="minisblack")
    with pytest.raises(ImageFormatError, match=r"stack of shape 5 x 8 x 9"):
        read_image(path)


def test_not_a_number_is_refused_with_the_files_name(tmp_path: Path):
    path = tmp_path / "a.tif"
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(path)
    with pytest.raises(ImageFormatError, match=r"a\.tif: .*NaN"):
        read_image(path)


def test_a_mask_is_written_as_black_and_white_of_its_own_size(tmp_path: Path):
    write_mask(tmp_path / "a.png", square())
    with Image.open(tmp_path / "a.png") as written:
        assert (written.mode, written.size) == ("L", (80, 60))
        assert np.array_equal(np.asarray(written), square() * 255)
    assert np.array_equal(read_mask(tmp_path / "a.png"), square())


@pytest.mark.parametrize(
    "picture",
    [
        square().astype(np.uint8),
        square().astype(np.uint8) * 3,
        square(),
        square().astype(np.uint16) * 65535,
        square().astype(np.uint16),
        square().astype(np.float32),
        np.repeat(square()[..., None], 3, axis=2).astype(np.uint8) * 255,
        square()[..., None] * np.array([128, 0, 0], np.uint8),
    ],
    ids=["0/1", "labels", "1 bit", "16 bit", "16 bit 0/1", "float", "RGB", "red"],
)
def test_a_mask_is_read_however_it_was_saved(tmp_path: Path, picture):
    path = tmp_path / "a.tif"
    Image.fromarray(picture).save(path)
    assert np.array_equal(read_mask(path), square())


def test_a_jpeg_mask_is_cut_at_half(tmp_path: Path):
    path = tmp_path / "a.jpg"
    Image.fromarray(square().astype(np.uint8) * 255).save(path)
    assert np.array_equal(read_mask(path), square())


def test_an_empty_mask_is_read_as_empty(tmp_path: Path):
    write_mask(tmp_path / "a.png", np.zeros((5, 6), bool))
    assert not read_mask(tmp_path / "a.png").any()


def test_a_photograph_is_not_taken_for_a_mask(tmp_path: Path, lesion):
    write_image(tmp_path / "a.png", lesion.image)
    with pytest.raises(ImageFormatError, match="looks like a photograph"):
        read_mask(tmp_path / "a.png")


def test_only_what_we_wrote_and_nobody_edited_counts_as_ours(tmp_path: Path):
    write_mask(tmp_path / "ours.png", square())
    assert written_by_us(tmp_path / "ours.png")
    with Image.open(tmp_path / "ours.png") as mask:
        mask.convert("1").save(tmp_path / "edited.png")
    assert not written_by_us(tmp_path / "edited.png")
    assert not written_by_us(tmp_path / "missing.png")


def test_writing_where_nothing_can_be_written_leaves_nothing(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    for path in (tmp_path / "file" / "a.png", tmp_path / "missing" / "a.png"):
        with pytest.raises(OutputError, match=r"a\.png cannot be written \(.+\)"):
            write_mask(path, square())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_name_that_is_too_long_is_said_to_be_too_long(tmp_path: Path):
    with pytest.raises(OutputError, match="shorter name"):
        write_mask(tmp_path / f"{'x' * 300}.png", square())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file size limit")
def test_a_disk_that_fills_up_keeps_the_older_file(tmp_path: Path, image):
    import resource

    write_image(tmp_path / "a.png", image)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"a\.png cannot be written \(File too"):
            write_image(tmp_path / "a.png", 255 - image)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert np.array_equal(read_image(tmp_path / "a.png"), image)
    assert len(list(tmp_path.iterdir())) == 1


def drawn(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = size
    mask = np.zeros(size, bool)
    mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = True
    skin = np.full((*size, 3), (220, 170, 150), np.uint8)
    prompts = Prompts(np.array([[width / 2, height / 2]]), np.array([1]))
    write_overlay(path, skin, mask, prompts)
    return read_image(path)


@pytest.mark.parametrize("size", [(384, 512), (4000, 6000)])
def test_an_overlays_lines_grow_with_the_image(tmp_path: Path, size: tuple[int, int]):
    overlay = drawn(tmp_path / "a.png", size)
    assert overlay.shape == (*size, 3)
    row = overlay[size[0] * 2 // 5].astype(int)
    width = (np.abs(row - OUTLINE).sum(axis=1) < 90).sum() / 2  # left and right
    assert 1 / 600 < width / size[1] < 1 / 200


def test_an_overlay_shows_outline_and_click_and_leaves_the_rest(tmp_path: Path):
    overlay = drawn(tmp_path / "a.png", (384, 512)).astype(int)
    assert np.abs(overlay[192, 128] - OUTLINE).sum() < 90
    assert np.abs(overlay[196, 260] - LESION_CLICK).sum() < 90
    assert overlay[20, 20].tolist() == [220, 170, 150]
    assert overlay[120, 200].tolist() == [220, 170, 150]


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1)])
def test_the_smallest_images_get_an_overlay(tmp_path: Path, size: tuple[int, int]):
    path = tmp_path / "a.png"
    prompts = Prompts(np.zeros((1, 2)), np.array([0]), box=np.array([0, 0, 1, 1]))
    write_overlay(path, np.zeros((*size, 3), np.uint8), np.ones(size, bool), prompts)
    assert read_image(path).shape == (*size, 3)
