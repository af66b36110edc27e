"""Whatever a mask looks like, COCO, DICOM SEG and label maps give it back exactly."""

import json

import numpy as np
import pytest
from dicoms import dicom_dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_masks

from napari_glmedsa.export import coco, dicom_seg, dicom_seg_reader, label_map
from napari_glmedsa.export.outlines import polygons

SIDES = st.integers(1, 14)
MASKS = arrays.arrays(bool, st.tuples(SIDES, SIDES))
LABEL_MAPS = arrays.arrays(
    np.uint16, st.tuples(SIDES, SIDES), elements=st.sampled_from([0, 0, 1, 2, 300])
)
SAME_FOLDER = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(MASKS)
@settings(deadline=None)
def test_polygons_enclose_exactly_the_pixels(mask):
    rings = [ring.ravel().tolist() for ring in polygons(mask)]
    if not mask.any():
        assert rings == []
        return
    coded = coco_masks.merge(coco_masks.frPyObjects(rings, *mask.shape))
    assert np.array_equal(coco_masks.decode(coded), mask)


@given(LABEL_MAPS.filter(np.any), st.sampled_from(["rle", "polygons"]))
@SAME_FOLDER
def test_coco_gives_every_label_back(tmp_path, labels, outline):
    path = tmp_path / "a.json"
    document = coco.document_of(labels, file_name="a.png", outline=outline)
    path.write_text(json.dumps(document))
    (image,) = coco.read(path)
    assert np.array_equal(image.label_map(), labels)


# Highdicom pads frames of fewer than 8 pixels one by one, and cannot read them itself.
@given(LABEL_MAPS.filter(lambda labels: labels.any() and labels.size >= 8))
@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_dicom_seg_gives_every_label_back(tmp_path, labels):
    path = tmp_path / "a.dcm"
    photograph = dicom_dataset(np.zeros((*labels.shape, 3), dtype=np.uint8))
    dicom_seg.segmentation(photograph, labels).save_as(path)
    found = dicom_seg_reader.read(path)
    assert np.array_equal(found.label_map, labels)
    assert found.source_uid == photograph.SOPInstanceUID


@pytest.mark.parametrize("file_type", ["png", "tiff"])
@given(labels=LABEL_MAPS)
@SAME_FOLDER
def test_label_maps_are_given_back(tmp_path, file_type, labels):
    path = tmp_path / "a.tif"
    path.write_bytes(label_map.encode(labels, file_type))
    assert np.array_equal(label_map.read(path), labels)
