"""Which processor computes: the one place that asks for CUDA and MPS."""

import torch

from napari_glmedsa.errors import DeviceError


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
