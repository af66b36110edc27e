from .card import AdapterCard, read_card
from .checkpoint import load_adapter, save_adapter, tensors_sha256
from .config import AdapterSite, GLMedSAConfig
from .inject import (
    adapter_state_dict,
    adapters_disabled,
    freeze_all_but_adapters,
    inject_adapters,
    iter_adapters,
    load_adapter_state_dict,
    remove_adapters,
    unwrap,
)
from .layers import Adapter

__all__ = [
    "Adapter",
    "AdapterCard",
    "AdapterSite",
    "GLMedSAConfig",
    "adapter_state_dict",
    "adapters_disabled",
    "freeze_all_but_adapters",
    "inject_adapters",
    "iter_adapters",
    "load_adapter",
    "load_adapter_state_dict",
    "read_card",
    "remove_adapters",
    "save_adapter",
    "tensors_sha256",
    "unwrap",
]
