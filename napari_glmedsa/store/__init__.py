"""Base models fetched, taken in, checked and removed, under the user's root."""

from napari_glmedsa.store.model_store import ModelStore, TypeUnknownError
from napari_glmedsa.store.official import MODEL_TYPES, ModelType
from napari_glmedsa.store.recognition import is_adapter
from napari_glmedsa.store.transfer import Patience, Transfer

__all__ = [
    "MODEL_TYPES",
    "ModelStore",
    "ModelType",
    "Patience",
    "Transfer",
    "TypeUnknownError",
    "is_adapter",
]
