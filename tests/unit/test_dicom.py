"""DICOM photographs are read as they are meant to be seen, and nobody's name is."""

import logging
import warnings
from io import BytesIO

import numpy as np
import pytest
from dicoms import CT, PATIENT, VL_PHOTOGRAPHIC, dicom_dataset, write_dicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from napari_glmedsa.dicom import (
    PHOTOGRAPHS,
    is_dicom,
    is_segmentation,
    pixel_spacing,
    read_dicom,
)
from napari_glmedsa.errors import ImageFormatError, MissingPackageError
from napari_glmedsa.images import read_image, write_image

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@pytest.mark.parametrize("kind", sorted(PHOTOGRAPHS))
def test_every_kind_of_photograph_keeps_its_pixels(tmp_path, image, kind):
    path = write_dicom(tmp_path / "a.dcm", image, SOPClassUID=kind)
    assert np.array_equal(read_dicom(path), image)
    assert np.array_equal(read_image(path), image)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_lossless_compression_keeps_the_pixels(tmp_path, image, syntax):
    dataset = dicom_dataset(image)
    dataset.compress(syntax)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert np.array_equal(read_dicom(tmp_path / "a.dcm"), image)


def test_a_compression_without_a_decoder_is_named_with_what_to_install(tmp_path, image):
    path = tmp_path / "a.dcm"
    dataset = dicom_dataset(image)
    dataset.compress(RLELossless)
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(ImageFormatError, match=r"JPEG Lossless.*pip install pylibjpeg"):
        read_dicom(path)


def test_a_compression_nobody_can_decode_is_named(tmp_path, image):
    path = tmp_path / "a.dcm"
    dataset = dicom_dataset(image)
    dataset.compress(RLELossless)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"  # MPEG-4
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(ImageFormatError, match=r"MPEG-4.*save it uncompressed"):
        read_dicom(path)


def test_ybr_colours_become_rgb(tmp_path, image):
    ybr = convert_color_space(image, "RGB", "YBR_FULL")
    path = write_dicom(tmp_path / "a.dcm", ybr, PhotometricInterpretation="YBR_FULL")
    assert np.abs(read_dicom(path).astype(int) - image).max() <= 2


def test_a_palette_becomes_rgb(tmp_path):
    numbers = np.arange(48, dtype=np.uint8).reshape(6, 8)
    tables = np.random.default_rng(0).integers(0, 256, (3, 256), dtype=np.uint8)
    palette = {}
    for name, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        palette[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
        palette[f"{name}PaletteColorLookupTableData"] = table.tobytes()
    dataset = dicom_dataset(
        numbers,
        PhotometricInterpretation="PALETTE COLOR",
        SOPClassUID=SECONDARY_CAPTURE,
        **palette,
    )
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert np.array_equal(read_dicom(tmp_path / "a.dcm"), tables.T[numbers])


def test_inverted_grey_is_turned_back(tmp_path):
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    path = write_dicom(
        tmp_path / "a.dcm", grey, PhotometricInterpretation="MONOCHROME1"
    )
    assert np.array_equal(read_dicom(path), np.stack([255 - grey] * 3, axis=2))


def test_twelve_bits_are_scaled_by_what_is_stored(tmp_path):
    grey = np.array([[0, 4095], [2048, 16]], dtype=np.uint16)
    path = write_dicom(tmp_path / "a.dcm", grey, BitsStored=12, HighBit=11)
    assert read_dicom(path)[..., 0].tolist() == [[0, 255], [128, 1]]


def test_pixel_spacing_is_read_and_nothing_is_made_up(tmp_path, image):
    with_it = write_dicom(tmp_path / "a.dcm", image, PixelSpacing=[0.04, 0.05])
    assert pixel_spacing(with_it) == (0.04, 0.05)
    without = write_dicom(
        tmp_path / "b.dcm", image, PixelSpacing=None, ImagerPixelSpacing=[0.01, 0.01]
    )
    assert pixel_spacing(without) is None
    nonsense = write_dicom(tmp_path / "c.dcm", image, PixelSpacing=[0, -1])
    assert pixel_spacing(nonsense) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SOPClassUID": CT}, "no photograph but DICOM of the kind CT Image"),
        ({"SOPClassUID": generate_uid()}, "no photograph"),
        ({"NumberOfFrames": 3}, "holds 3 images"),
        ({"Rows": 40000, "Columns": 40000}, "megapixels"),
        ({"BitsStored": None}, "damaged"),
    ],
)
def test_what_is_no_photograph_is_refused_in_one_sentence(
    tmp_path, image, changes, words
):
    path = write_dicom(tmp_path / "a.dcm", image, **changes)
    with pytest.raises(ImageFormatError, match=words) as caught:
        read_image(path)
    assert str(caught.value).endswith(".")


def test_a_file_cut_off_anywhere_is_refused_or_read(tmp_path, image):
    whole = write_dicom(tmp_path / "a.dcm", image).read_bytes()
    path = tmp_path / "cut.dcm"
    for length in range(0, len(whole) - 2, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ImageFormatError):
            read_image(path)


def test_pixels_that_are_missing_are_told(tmp_path, image):
    dataset = dicom_dataset(image)
    del dataset.PixelData
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(ImageFormatError, match="holds no pixels"):
        read_dicom(tmp_path / "a.dcm")


def test_other_files_are_not_taken_for_dicom(tmp_path, image):
    write_image(tmp_path / "a.dcm", image)
    assert not is_dicom(tmp_path / "a.dcm")
    assert not is_dicom(tmp_path / "nowhere.dcm")
    with pytest.raises(ImageFormatError, match="not a DICOM file"):
        read_dicom(tmp_path / "a.dcm")
    with pytest.raises(ImageFormatError, match="cannot be read"):
        read_dicom(tmp_path / "nowhere.dcm")


def test_a_photograph_is_no_segmentation(tmp_path, image):
    assert not is_segmentation(write_dicom(tmp_path / "a.dcm", image))


def test_the_patient_is_never_named(tmp_path, image, caplog):
    """Not in messages, warnings or logs, even if something is wrong with the name."""
    caplog.set_level(logging.DEBUG)
    said = []
    for number, changes in enumerate(
        (
            {"PatientName": PATIENT + "=" * 3 + "x" * 80},
            {"SOPClassUID": CT},
            {"BitsStored": None},
            {"StudyDate": f"{PATIENT}"},
        )
    ):
        with warnings.catch_warnings():  # writing nonsense is warned about, too
            warnings.simplefilter("ignore")
            path = write_dicom(tmp_path / f"{number}.dcm", image, **changes)
        caplog.clear()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                read_image(path)
            except ImageFormatError as error:
                said += [str(error), repr(error.__cause__)]
        said += [caplog.text, *(str(warning.message) for warning in warned)]
    assert "Secret" not in "".join(said)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_damaged_compression_is_one_sentence_and_nothing_in_the_log(
    tmp_path, image, caplog, syntax
):
    dataset = dicom_dataset(image)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([b"\xff\xd8 no picture"])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(ImageFormatError, match="is damaged or cut off"):
        read_dicom(tmp_path / "a.dcm")
    assert caplog.text == ""
    logging.getLogger("pydicom").error("what other programs may hear")
    assert "may hear" in caplog.text


def test_without_pydicom_one_sentence_says_what_to_install(
    tmp_path, image, monkeypatch
):
    path = write_dicom(tmp_path / "a.dcm", image, SOPClassUID=VL_PHOTOGRAPHIC)
    monkeypatch.setattr("napari_glmedsa.extras.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r'pip install "napari-glmedsa\[exp'):
        read_image(path)
    assert is_dicom(path)


def test_jpeg_2000_is_read_by_pillow(tmp_path, image):
    stream = BytesIO()
    Image.fromarray(image).save(stream, format="JPEG2000", no_jp2=True, mct=0)
    dataset = dicom_dataset(image)
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelData = encapsulate([stream.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert np.array_equal(read_dicom(tmp_path / "a.dcm"), image)
