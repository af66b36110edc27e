"""The annotation project: a folder of images, accepted masks, splits and runs."""

from napari_glmedsa.project.claims import RENEW_SECONDS, Claim, Holder
from napari_glmedsa.project.folder import SCHEMA_VERSION
from napari_glmedsa.project.journal import Journal
from napari_glmedsa.project.photographs import ImageRecord, image_id
from napari_glmedsa.project.project import AnnotationProject
from napari_glmedsa.project.records import Restored
from napari_glmedsa.project.splits import FRACTIONS, SPLITS, Split
from napari_glmedsa.provenance import Provenance

__all__ = [
    "FRACTIONS",
    "RENEW_SECONDS",
    "SCHEMA_VERSION",
    "SPLITS",
    "AnnotationProject",
    "Claim",
    "Holder",
    "ImageRecord",
    "Journal",
    "Provenance",
    "Restored",
    "Split",
    "image_id",
]
