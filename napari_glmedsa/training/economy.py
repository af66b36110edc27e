"""How a step saves memory: fewer images at a time, then fewer kept activations."""

from typing import TYPE_CHECKING

from napari_glmedsa.errors import GLMedSAError, TrainingError
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.memory import is_short

if TYPE_CHECKING:
    import torch
    from segment_anything.modeling import Sam


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
        self._config = config

    def is_short(self, sam: "Sam", *, device: "torch.device") -> bool:
        """Tell whether activations are kept, need not be, and may not fit."""
        return self._may_checkpoint and is_short(sam, self._config, device=device)

    def look_ahead(self) -> str:
        """Keep no activations, before memory runs out; return the sentence."""
        self.checkpointing = True
        return (
            "There is little free memory, so activations are computed again instead "
            "of kept; steps take longer and the result stays the same."
        )

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
        if self._may_checkpoint:
            self.checkpointing = True
            return (
                "Memory ran out, so from now on activations are computed again instead "
                "of kept; steps take longer and the result stays the same."
            )
        raise TrainingError(
            "There is not enough memory to train on even one image at a time; close "
            "other programs, or choose a smaller model, fewer blocks or checkpointing."
        )

    @property
    def _may_checkpoint(self) -> bool:
        return self._config.checkpointing == "auto" and not self.checkpointing


def out_of_memory(error: Exception) -> bool:
    """Tell whether an error is one of the many ways to say that memory ran out."""
    if isinstance(error, GLMedSAError):
        return False
    return isinstance(error, MemoryError) or "memory" in str(error).lower()
