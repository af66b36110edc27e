"""Photographs as DICOM files, written by pydicom as cameras and archives write them."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

DERMOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.7"
VL_PHOTOGRAPHIC = "1.2.840.10008.5.1.4.1.1.77.1.4"
CT = "1.2.840.10008.5.1.4.1.1.2"
PATIENT = "Doe^Jane^Secret"


def dicom_dataset(pixels: NDArray[Any], **changes: Any) -> Dataset:
    """Return pixels, (H, W) or (H, W, 3), as a dermoscopic photograph of a patient.

    ``changes`` are attributes to set; None takes one away.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    colours = pixels.shape[2] if pixels.ndim == 3 else 1
    bits = 8 * pixels.dtype.itemsize
    attributes = {
        "SOPClassUID": DERMOSCOPIC,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "PatientName": PATIENT,
        "PatientID": "4711",
        "PatientBirthDate": "19700101",
        "PatientSex": "F",
        "StudyDate": "20260102",
        "StudyTime": "101112",
        "StudyID": "1",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "Modality": "XC",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "Manufacturer": "A camera",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": colours,
        "PhotometricInterpretation": "RGB" if colours == 3 else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        "PixelSpacing": [0.05, 0.05],
    }
    if colours == 3:
        attributes["PlanarConfiguration"] = 0
    content = pixels.tobytes()
    attributes["PixelData"] = content + b"\0" * (len(content) % 2)
    for name, value in {**attributes, **changes}.items():
        if value is not None:
            setattr(dataset, name, value)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    return dataset


def write_dicom(path: Path, pixels: NDArray[Any], **changes: Any) -> Path:
    """Write the same as a file; return it."""
    dataset = dicom_dataset(pixels, **changes)
    dataset.save_as(path, enforce_file_format=True)
    return path
