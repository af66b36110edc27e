"""Keep PyTorch's compiler from crashing a process that draws with Mesa's OpenGL."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path

logger = logging.getLogger(__name__)


def bind_triton_to_its_own_llvm() -> None:
    """Load Triton's library so that it finds its own LLVM; call before PyTorch.

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
