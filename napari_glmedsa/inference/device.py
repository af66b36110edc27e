"""Which processor computes, and in which precision: the one place that asks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from napari_glmedsa.errors import DeviceError

Precision = Literal["fp32", "bf16", "fp16"]
PrecisionChoice = Literal["auto", "fp32", "bf16", "fp16"]

_WORTH_IT = 1.25
"""Times faster than float32 that bfloat16 must be: one and the same processor is not
sometimes above it and sometimes below. Those measured are at 0.6 or at 2 and more."""
_ROUNDS = 7


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
    """Turn ``auto`` into bf16 where `device` is faster with it, else into fp32.

    The first time in a process that takes some hundredths of a second: a device that
    has bfloat16 in hardware is measured.

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
    worth_it = _has_bf16(device) and bf16_speed_up(device) >= _WORTH_IT
    return "bf16" if worth_it else "fp32"


@cache
def bf16_speed_up(device: torch.device) -> float:
    """Return how many times faster `device` multiplies in bfloat16 than in float32.

    Having instructions for it does not say so: with AVX-512 BF16, some processors are
    twice as fast and others slower. Measured is the kind of product that an image
    encoder spends its time with; the best of several turns counts, so that other
    programs do not. The answer is kept for as long as the process lives.
    """
    # On CUDA, products this small would measure how fast kernels are started.
    rows = 256 if device.type == "cpu" else 8192
    seconds = dict.fromkeys((torch.float32, torch.bfloat16), float("inf"))
    with torch.inference_mode():
        pairs = {
            dtype: (
                torch.ones(rows, 768, dtype=dtype, device=device),
                torch.ones(768, 768, dtype=dtype, device=device),
            )
            for dtype in seconds
        }
        for _ in range(_ROUNDS):
            for dtype, (tokens, weight) in pairs.items():
                took = _seconds(tokens, weight)
                seconds[dtype] = min(seconds[dtype], took)
    return seconds[torch.float32] / seconds[torch.bfloat16]


@contextmanager
def in_one_thread(is_wanted: bool = True) -> Iterator[None]:
    """Let PyTorch compute in the calling thread alone, if that is wanted.

    Many small steps take longer in several threads that sleep between them than in one:
    each step wakes them up. The window's own thread also has a processor more then.
    """
    n_threads = torch.get_num_threads()
    if not is_wanted or n_threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _seconds(tokens: Tensor, weight: Tensor) -> float:
    _finish(tokens.device)
    start = time.perf_counter()
    functional.linear(tokens, weight)
    _finish(tokens.device)
    return time.perf_counter() - start


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _has_bf16(device: torch.device) -> bool:
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
