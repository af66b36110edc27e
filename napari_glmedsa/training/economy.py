"""How a step saves memory: fewer images at a time, then fewer kept activations."""

from napari_glmedsa.errors import GLMedSAError, TrainingError
from napari_glmedsa.training.config import TrainingConfig


class Economy:
    """What a step may use; it only ever gets less, and results stay the same.

    Parameters
    ----------
    config
        Gives the start.

    Attributes
    ----------
    micro_batch
        Images computed at a time.
    checkpointing
        Whether activations are computed again instead of kept.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.micro_batch = config.batch_size
        self.checkpointing = config.checkpointing == "on"
        self._may_checkpoint = config.checkpointing == "auto"

    def tighten(self) -> str:
        """Use less from now on; return the sentence that says so.

        Raises
        ------
        TrainingError
            If there is nothing left to save.
        """
        if self.micro_batch > 1:
            self.micro_batch //= 2
            return (
                "Memory ran out, so from now on fewer images are computed at a time "
                f"({self.micro_batch}); the result stays the same."
            )
        if self._may_checkpoint and not self.checkpointing:
            self.checkpointing = True
            return (
                "Memory ran out, so from now on activations are computed again instead "
                "of kept; steps take longer and the result stays the same."
            )
        raise TrainingError(
            "There is not enough memory to train on even one image at a time; close "
            "other programs, or choose a smaller model, fewer blocks or checkpointing."
        )


def out_of_memory(error: Exception) -> bool:
    """Tell whether an error is one of the many ways to say that memory ran out."""
    if isinstance(error, GLMedSAError):
        return False
    return isinstance(error, MemoryError) or "memory" in str(error).lower()
