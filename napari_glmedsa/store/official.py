"""The official shapes of SAM, and how a file's tensors differ from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from napari_glmedsa.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from napari_glmedsa.inference import SamArchitecture

ModelType = Literal["sam_vit_b", "sam_vit_l", "sam_vit_h", "other"]
"""What a checkpoint is said to be; ``"other"`` is a SAM of any other size."""

MODEL_TYPES: tuple[ModelType, ...] = get_args(ModelType)

_SHAPES = {
    "sam_vit_b": (768, 12, 12, (2, 5, 8, 11)),
    "sam_vit_l": (1024, 24, 16, (5, 11, 17, 23)),
    "sam_vit_h": (1280, 32, 16, (7, 15, 23, 31)),
}
_NAMED = 3  # tensors of each kind that a sentence names


def check_type(tensors: Mapping[str, Tensor], model_type: ModelType) -> None:
    """Hold the tensors of a file to what it is said to be.

    Raises
    ------
    CheckpointError
        Names missing, unexpected and mis-shaped tensors, and what the file looks like.
    """
    from napari_glmedsa.inference import SamArchitecture

    if model_type == "other":
        shape = SamArchitecture.from_state_dict(tensors)
    else:
        shape = SamArchitecture(*_SHAPES[model_type])
    problems = _differences(tensors, shape)
    if problems:
        said = "a Segment Anything model" if model_type == "other" else model_type
        raise CheckpointError(
            f"This file is not {said}: {'; '.join(problems)}. {_advice(tensors)}"
        )


def type_choice() -> str:
    """Return the types in words."""
    *first, last = MODEL_TYPES
    return f"{', '.join(first)} or {last}"


def _differences(tensors: Mapping[str, Tensor], shape: SamArchitecture) -> list[str]:
    import torch

    from napari_glmedsa.inference import build_sam

    with torch.device("meta"):
        expected = {
            name: tuple(tensor.shape)
            for name, tensor in build_sam(shape).state_dict().items()
        }
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    misshapen = [
        f"{name} ({_times(found[name])} instead of {_times(expected[name])})"
        for name in expected
        if name in found and found[name] != expected[name]
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "mis-shaped": misshapen}
    return [_listed(kind, names) for kind, names in kinds.items() if names]


def _listed(kind: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{kind}: {', '.join(names[:_NAMED])}{more}"


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _advice(tensors: Mapping[str, Tensor]) -> str:
    from napari_glmedsa.inference import SamArchitecture

    try:
        shape = SamArchitecture.from_state_dict(tensors)
    except CheckpointError:
        return "Choose a checkpoint of a Segment Anything model."
    for name, (width, depth, *_) in _SHAPES.items():
        if (shape.embed_dim, shape.depth) == (width, depth):
            return f"It looks like {name}."
    return (
        f"Its encoder has {shape.depth} blocks of width {shape.embed_dim}, which is "
        "no official size."
    )
