"""Which processor computes, and in which precision: the one place that asks."""

from typing import Literal, get_args

import torch

from napari_glmedsa.errors import DeviceError

Precision = Literal["fp32", "bf16", "fp16"]
PrecisionChoice = Literal["auto", "fp32", "bf16", "fp16"]


def available_devices() -> list[str]:
    """Return the names of usable devices, the fastest first; ``"cpu"`` is always in."""
    devices = []
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def resolve_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` (``cuda:1``) or ``mps`` into a torch device.

    Raises
    ------
    DeviceError
        If this machine has no such device.
    """
    available = available_devices()
    if name == "auto":
        return torch.device(available[0])
    kind, _, number = name.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if kind not in available or (number and not number.isdecimal()):
        raise DeviceError(
            f"There is no device {name!r} on this computer; use auto or one of "
            f"{', '.join(available)}."
        )
    if number and int(number) >= count:
        raise DeviceError(f"There is no device {name!r}; this computer has {count}.")
    return torch.device(name)


def resolve_precision(name: PrecisionChoice, device: torch.device) -> Precision:
    """Turn ``auto`` into bf16 where `device` computes in it, and into fp32 elsewhere.

    Raises
    ------
    ValueError
        If there is no such precision.
    """
    if name not in get_args(PrecisionChoice):
        raise ValueError(
            f"precision must be auto, fp32, bf16 or fp16, not {name!r}; choose auto."
        )
    if name != "auto":
        return name
    return "bf16" if _computes_bf16(device) else "fp32"


def _computes_bf16(device: torch.device) -> bool:
    """Tell whether bfloat16 is in the hardware; emulated it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    names = (
        "_is_avx512_bf16_supported",
        "_is_amx_tile_supported",
    )  # not in every torch
    return any(getattr(torch.cpu, name, bool)() for name in names)
