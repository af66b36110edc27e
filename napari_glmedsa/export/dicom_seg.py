"""DICOM Segmentation objects: one file of masks per photograph."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa import __version__
from napari_glmedsa.calibration import read_calibration
from napari_glmedsa.errors import ImageFormatError
from napari_glmedsa.export.dicom_seg_reader import TRACKING
from napari_glmedsa.export.dicom_source import (
    MANUFACTURER,
    DicomSources,
    read_source,
    secondary_capture,
)
from napari_glmedsa.export.place import whole_folder
from napari_glmedsa.export.subject import Step, Subject, Written, silent, subjects
from napari_glmedsa.extras import require
from napari_glmedsa.pairs import MASK_ENDING
from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.project.annotations import present_labels

if TYPE_CHECKING:
    from pydicom import Dataset


def write(
    project: AnnotationProject,
    ids: Sequence[str],
    output: Path,
    *,
    sources: Path | None = None,
    overwrite: bool = False,
    step: Step = silent,
) -> Written:
    """Write `<stem>_segmentation.dcm` for every image into a new folder.

    A photograph whose DICOM file is not among the sources is written beside it as a
    secondary capture, `<stem>.dcm`, for a mask must refer to a photograph.

    Parameters
    ----------
    project : AnnotationProject
        Where the masks are.
    ids : sequence of str
        Of annotated images.
    output : Path
        The folder; see `whole_folder`.
    sources : Path, optional
        A folder with the DICOM photographs that the images came from. Patient and
        study are those of the photograph.
    overwrite : bool
        Whether a former export may be replaced.
    step : callable
        Told how far it is.

    Raises
    ------
    ProjectError, OutputError, ImageFormatError
        If a mask is missing, the folder cannot be written, or there are no sources.
    MissingPackageError
        If pydicom or highdicom is not installed.
    """
    require("highdicom", task="DICOM SEG")
    known = DicomSources(sources)
    n_images = n_objects = n_made = 0
    with whole_folder(output, format_name="dicom-seg", overwrite=overwrite) as folder:
        for subject in subjects(project, ids, step):
            found = known.find(subject.id, file_name=subject.record.source)
            source = read_source(found) if found else _derived(project, subject)
            if found is None:
                source.save_as(folder / f"{subject.stem}.dcm", enforce_file_format=True)
                n_made += 1
            label_map = project.label_map(subject.id)
            dataset = segmentation(source, label_map, project.objects(subject.id))
            dataset.save_as(
                folder / f"{subject.stem}{MASK_ENDING}.dcm", enforce_file_format=True
            )
            n_images += 1
            n_objects += len(present_labels(label_map))
    return Written(output, n_images, n_objects, _remark(n_made, n_images))


def segmentation(
    source: "Dataset",
    label_map: NDArray[np.uint16],
    objects: Sequence[Provenance] = (),
) -> "Dataset":
    """Return a label map as DICOM SEG.

    Parameters
    ----------
    source : pydicom.Dataset
        The photograph, with one frame.
    label_map : ndarray of uint16, shape (H, W)
        Of the photograph's size, with at least one object.
    objects : sequence of Provenance
        `objects[i]` describes label `i + 1`.

    Raises
    ------
    ImageFormatError
        If the label map is empty or of another size.
    """
    require("highdicom", task="DICOM SEG")
    import highdicom
    from pydicom.uid import generate_uid

    labels = present_labels(label_map)
    if not labels or label_map.shape != (source.Rows, source.Columns):
        raise ImageFormatError(
            "The mask is empty or not of its photograph's size, so it cannot become"
            " DICOM SEG; use the mask that was made for this photograph."
        )
    # DICOM numbers segments without gaps.
    numbers = np.zeros(max(labels) + 1, dtype=np.uint16)
    numbers[list(labels)] = range(1, len(labels) + 1)
    digest = hashlib.sha256(label_map.tobytes()).hexdigest()
    uids = [
        generate_uid(entropy_srcs=[MANUFACTURER, part, source.SOPInstanceUID, digest])
        for part in ("series", "mask")
    ]
    masks = highdicom.seg.Segmentation(
        source_images=[source],
        pixel_array=numbers[label_map],
        segmentation_type="BINARY",
        segment_descriptions=[
            _description(number, label, (*objects[label - 1 : label], Provenance())[0])
            for number, label in enumerate(labels, start=1)
        ],
        series_instance_uid=uids[0],
        series_number=100,
        sop_instance_uid=uids[1],
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        device_serial_number="0",
        content_label="LESION",
        content_description="Outlines of skin lesions, not a diagnosis",
    )
    # Highdicom copies a photograph's scale, but does not read what has no thickness
    # of slices. The scale stays in the photograph.
    if "SliceThickness" not in source:
        masks.SharedFunctionalGroupsSequence[0].pop("PixelMeasuresSequence", None)
    return masks


def _derived(project: AnnotationProject, subject: Subject) -> "Dataset":
    calibration = read_calibration(project.root, subject.id)
    return secondary_capture(
        project.image(subject.id),
        mm_per_pixel=None if calibration is None else calibration.mm_per_pixel,
    )


def _description(number: int, label: int, provenance: Provenance) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    algorithm = None
    if provenance.model:
        algorithm = AlgorithmIdentificationSequence(
            name=provenance.model[:64],
            family=codes.DCM.ArtificialIntelligence,
            version=__version__,
        )
    return SegmentDescription(
        segment_number=number,
        segment_label=f"Lesion {label}",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type="MANUAL" if algorithm is None else "SEMIAUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=generate_uid(),
        tracking_id=TRACKING.format(label),
    )


def _remark(n_made: int, n_images: int) -> str:
    if not n_made:
        return ""
    number = "All" if n_made == n_images else f"{n_made} of {n_images}"
    return (
        f"{number} photographs had no DICOM file among the sources; secondary captures"
        " of them are in the folder, without any patient."
    )
