from .model_store import ModelStore, TypeUnknownError
from .official import MODEL_TYPES, ModelType
from .recognition import is_adapter
from .transfer import Patience, Transfer

__all__ = [
    "MODEL_TYPES",
    "ModelStore",
    "ModelType",
    "Patience",
    "Transfer",
    "TypeUnknownError",
    "is_adapter",
]
