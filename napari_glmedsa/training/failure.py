"""Why a run has failed: a sentence for the user, a traceback for the log."""

import errno
import logging
import os
import traceback
from pathlib import Path

from napari_glmedsa.errors import GLMedSAError

logger = logging.getLogger(__name__)


def explain(error: Exception, folder: Path) -> str:
    """Return one sentence about a run in `folder`: what went wrong, what to do."""
    if isinstance(error, GLMedSAError):
        return str(error)
    if _is_full_disk(error):
        return (
            f"The disk of {folder} is full; free some space and resume the run, whose "
            "last checkpoint is kept."
        )
    if isinstance(error, OSError):
        return (
            f"A file cannot be read or written ({error.strerror or error}: "
            f"{error.filename or folder}); put that right and resume the run."
        )
    return (
        f"The run has stopped through a mistake of the program "
        f"({type(error).__name__}: {error}); please report it with log.txt of its "
        "folder."
    )


def write_traceback(log: Path) -> None:
    """Append the traceback of the error being handled."""
    try:
        with log.open("a", encoding="utf-8") as stream:
            traceback.print_exc(file=stream)
    except OSError as error:  # the disk may be full; the sentence matters more
        logger.warning("The traceback was not written: %s", error)


def _is_full_disk(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return os.strerror(errno.ENOSPC) in str(error)  # safetensors has errors of its own
