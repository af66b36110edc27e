from .card import AdapterCard, read_card
from .checkpoint import load_adapter, save_adapter, tensors_sha256
from .compat import Compat
from .config import AdapterSite, GLMedSAConfig
from .inject import (
    adapter_state_dict,
    adapters_disabled,
    freeze_all_but_adapters,
    inject_adapters,
    iter_adapters,
    load_adapter_state_dict,
    remove_adapters,
)
from .layers import Adapter, unwrap
from .medsa import from_medsa, to_medsa
from .switches import apply_compat, input_contract, remove_compat

__all__ = [
    "Adapter",
    "AdapterCard",
    "AdapterSite",
    "Compat",
    "GLMedSAConfig",
    "adapter_state_dict",
    "adapters_disabled",
    "apply_compat",
    "freeze_all_but_adapters",
    "from_medsa",
    "inject_adapters",
    "input_contract",
    "iter_adapters",
    "load_adapter",
    "load_adapter_state_dict",
    "read_card",
    "remove_adapters",
    "remove_compat",
    "save_adapter",
    "tensors_sha256",
    "to_medsa",
    "unwrap",
]
