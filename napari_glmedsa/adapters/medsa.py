"""Med-SA's own checkpoints, read and written: names mapped, releases told apart."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_glmedsa.adapters.compat import Compat, MedSALayout
from napari_glmedsa.adapters.config import AdapterSite, GLMedSAConfig
from napari_glmedsa.errors import CheckpointError

logger = logging.getLogger(__name__)

_BLOCK = "image_encoder.blocks."
_SITES: Mapping[str, AdapterSite] = {"Space_Adapter": "attn", "MLP_Adapter": "mlp"}
_LAYERS = {"D_fc1": "down", "D_fc2": "up"}
_ADAPTER = re.compile(
    r"image_encoder\.blocks\.(\d+)\.(Space|MLP|Depth)_Adapter\.(D_fc[12])\.(weight|bias)"
)
_GLOBAL = re.compile(
    r"image_encoder\.blocks\.(\d+)\.block\.(down|up)\.(weight|bias)"
)  # ours: the release knows no global adapter
_DEPTH = re.compile(r"image_encoder\.blocks\.(\d+)\.")
_TABLE = re.compile(r"(image_encoder\.blocks\.\d+\.attn\.)rel_(?:pos_)?([hw])")
_DECODER_MLP = re.compile(r"(mask_decoder\.transformer\.layers\.\d+\.mlp\.)(.+)\.(\w+)")
_TO_LIN = {"layers.0.0": "lin1", "fc": "lin2"}
_FROM_LIN = {lin: name for name, lin in _TO_LIN.items()}


@dataclass(frozen=True)
class MedSACheckpoint:
    """What a Med-SA file holds, under our names.

    Parameters
    ----------
    base
        SAM's tensors under SAM's names; empty for a file of adapters alone.
    adapters
        Keys like ``"blocks.3.mlp.down.weight"``.
    config
        Sites, widths and the switches that its release needs.
    notes
        One sentence each about what is not in the file or not taken over.
    """

    base: Mapping[str, Tensor]
    adapters: Mapping[str, Tensor]
    config: GLMedSAConfig
    notes: tuple[str, ...] = ()

    @property
    def has_decoder(self) -> bool:
        """Whether the file holds a mask decoder."""
        return any(name.startswith("mask_decoder.") for name in self.base)

    @property
    def has_encoder(self) -> bool:
        """Whether the file holds the encoder around the adapters."""
        return any(_TABLE.fullmatch(name) for name in self.base)


def from_medsa(
    state_dict: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor], GLMedSAConfig]:
    """Take a Med-SA state dict apart, of any width, depth and image size.

    What it leaves out is logged; `read_medsa` returns it.

    Parameters
    ----------
    state_dict
        A training checkpoint's, or that of an Adapter Zoo file.

    Returns
    -------
    base_state_dict
        SAM's tensors under SAM's names, as far as they are in it.
    adapter_state_dict
        Keys like ``"blocks.3.mlp.down.weight"``.
    config
        With the switches that its release needs.

    Raises
    ------
    CheckpointError
        If there are no Med-SA adapters in it, or they do not belong together.
    """
    read = read_medsa(state_dict)
    for note in read.notes:
        logger.warning("%s", note)
    return dict(read.base), dict(read.adapters), read.config


def read_medsa(state_dict: Mapping[str, Tensor]) -> MedSACheckpoint:
    """Take a Med-SA state dict apart as `from_medsa`, and say what is left out."""
    base: dict[str, Tensor] = {}
    adapters: dict[str, Tensor] = {}
    depth_adapters = 0
    for name, tensor in _plain(state_dict).items():
        if match := _ADAPTER.fullmatch(name):
            block, kind, layer, part = match.groups()
            if kind == "Depth":
                depth_adapters += tensor.numel()
                continue
            site = _SITES[f"{kind}_Adapter"]
            adapters[f"blocks.{block}.{site}.{_LAYERS[layer]}.{part}"] = tensor
        elif _GLOBAL.fullmatch(name):
            adapters[name.removeprefix("image_encoder.")] = tensor
        else:
            base[_sam_name(name)] = tensor
    if not adapters:
        raise CheckpointError(
            "There are no Med-SA adapters in this file (tensors with Space_Adapter and "
            "MLP_Adapter in their names); choose a checkpoint that Med-SA has trained "
            "with its ViT encoder."
        )
    layout = _layout(state_dict)
    decoder = any(name.startswith("mask_decoder.") for name in base)
    tables = [tensor for name, tensor in base.items() if _TABLE.fullmatch(name)]
    n_blocks = 1 + max(int(m[1]) for n in _plain(state_dict) if (m := _DEPTH.match(n)))
    compat = Compat(
        drop_rel_pos=bool(tables) and not any(bool(t.any()) for t in tables),
        norm_after_pad=True,
        medsa_decoder=decoder and layout != "2023",
        medsa_layout=layout,
    )
    notes = []
    if depth_adapters:
        notes.append(
            f"The adapters over depth ({depth_adapters:,} values) are for stacks of "
            "slices and were left out; a checkpoint that was trained on such stacks "
            "answers differently without them."
        )
    if not decoder:
        notes.append(
            "The mask decoder that was trained with these adapters is not in the file, "
            "so SAM's own stands in for it: scores that were published for this "
            "checkpoint do not hold."
        )
    config = replace(_config(adapters, n_blocks), compat=compat)
    return MedSACheckpoint(base, adapters, config, tuple(notes))


def to_medsa(
    base_state_dict: Mapping[str, Tensor],
    adapter_state_dict: Mapping[str, Tensor],
    config: GLMedSAConfig,
) -> dict[str, Tensor]:
    """Return a state dict as Med-SA writes it: `from_medsa` backwards, bit by bit.

    Names follow ``config.compat.medsa_layout``. Global adapters keep our names,
    which Med-SA passes over. With ``drop_rel_pos`` the tables are zero, as they are
    in every file of such a release.

    Parameters
    ----------
    base_state_dict
        SAM's tensors under SAM's names; it may be empty.
    adapter_state_dict
        As `adapter_state_dict` returns.
    config
        Of the adapters.

    Raises
    ------
    CheckpointError
        If a tensor is no adapter's.
    """
    layout = config.compat.medsa_layout
    result: dict[str, Tensor] = {}
    for name, tensor in base_state_dict.items():
        if _TABLE.fullmatch(name) and config.compat.drop_rel_pos:
            tensor = torch.zeros_like(tensor)
        result[_medsa_name(name, layout)] = tensor
    sites: dict[str, str] = {site: name for name, site in _SITES.items()}
    layers = {ours: name for name, ours in _LAYERS.items()}
    for name, tensor in adapter_state_dict.items():
        if _GLOBAL.fullmatch(f"image_encoder.{name}"):
            result[f"image_encoder.{name}"] = tensor
            continue
        try:
            _, block, site, layer, part = name.split(".")
            key = f"{_BLOCK}{block}.{sites[site]}.{layers[layer]}.{part}"
        except (ValueError, KeyError) as error:
            raise CheckpointError(
                f"{name} is not a tensor of an adapter; export a whole adapter file."
            ) from error
        result[key] = tensor
    return result


def _plain(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take off what training on several GPUs puts before every name."""
    return {name.removeprefix("module."): t for name, t in state_dict.items()}


def _sam_name(name: str) -> str:
    if match := _TABLE.fullmatch(name):
        return f"{match[1]}rel_pos_{match[2]}"
    if (match := _DECODER_MLP.fullmatch(name)) and match[2] in _TO_LIN:
        return f"{match[1]}{_TO_LIN[match[2]]}.{match[3]}"
    return name


def _medsa_name(name: str, layout: MedSALayout) -> str:
    if (match := _TABLE.fullmatch(name)) and layout == "2024-01-29":
        return f"{match[1]}rel_{match[2]}"
    match = _DECODER_MLP.fullmatch(name)
    if match and match[2] in _FROM_LIN and layout != "2023":
        return f"{match[1]}{_FROM_LIN[match[2]]}.{match[3]}"
    return name


def _layout(state_dict: Mapping[str, Tensor]) -> MedSALayout:
    """Tell the release by its names; a file of adapters alone could be of any."""
    names = _plain(state_dict)
    tables = [name for name in names if _TABLE.fullmatch(name)]
    decoder = [m[2] for name in names if (m := _DECODER_MLP.fullmatch(name))]
    if any("rel_pos_" in name for name in tables):
        return "2024-01-03" if set(decoder) & set(_TO_LIN) else "2023"
    return "2023" if set(decoder) & set(_FROM_LIN) else "2024-01-29"


def _config(adapters: Mapping[str, Tensor], n_blocks: int) -> GLMedSAConfig:
    """Read sites, width and blocks off the adapters."""
    keys = [name.split(".") for name in adapters]
    order: tuple[AdapterSite, ...] = ("attn", "mlp", "block")
    sites = tuple(site for site in order if site in {key[2] for key in keys})
    blocks = sorted({int(key[1]) for key in keys})
    shapes = {t.shape for name, t in adapters.items() if name.endswith("down.weight")}
    whole = {
        f"blocks.{block}.{site}.{layer}.{part}"
        for block in range(n_blocks - len(blocks), n_blocks)
        for site in sites
        for layer in ("down", "up")
        for part in ("weight", "bias")
    }
    if whole != adapters.keys() or len(shapes) != 1:
        odd = sorted(whole ^ adapters.keys())
        raise CheckpointError(
            "The adapters in this file do not belong together: "
            + (f"{odd[0]} is missing or odd" if odd else "their widths differ")
            + "; get the file again."
        )
    hidden, width = shapes.pop()
    return GLMedSAConfig(
        sites=sites,
        bottleneck_ratio=hidden / width,
        activation="gelu",
        blocks="all" if len(blocks) == n_blocks else f"last:{len(blocks)}",
        init="medsa",
    )
