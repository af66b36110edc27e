"""What a process that draws windows has to do before it imports PyTorch."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from napari_glmedsa.waiting import wait_without_spinning

logger = logging.getLogger(__name__)


def prepare_pytorch() -> None:
    """Make way for PyTorch in this process; call in the worker, before its import."""
    wait_without_spinning()  # the window has a thread of its own to run
    _bind_triton_to_its_own_llvm()


def _bind_triton_to_its_own_llvm() -> None:
    """Load Triton's library so that it finds its own LLVM.

    On Linux, torchvision imports Triton, whose library carries an LLVM. Mesa's OpenGL
    drivers, with which napari draws, carry another one, and the library loaded second
    would call into the first: the process ends with a segmentation fault. Deep binding
    makes a library look into itself first.
    """
    triton = find_spec("triton") if sys.platform == "linux" else None
    if triton is None or triton.origin is None or "triton" in sys.modules:
        return
    library = Path(triton.origin).parent / "_C" / "libtriton.so"
    try:
        ctypes.CDLL(str(library), mode=os.RTLD_NOW | os.RTLD_DEEPBIND)
    except OSError as error:
        logger.debug("triton stays as it is: %s", error)
