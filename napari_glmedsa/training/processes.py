"""Several processes that train one model together, or one that does not notice."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor

T = TypeVar("T")


class Processes:
    """The process at work among those that ``accelerate launch`` has started.

    The encoder runs once for several answers of the decoder, so gradients are
    added up by hand when all are there, instead of by a wrapper around the model.

    The program that has made the first of these objects closes one before it ends:
    else PyTorch's threads may still be at work while they are taken apart.
    """

    def __init__(self) -> None:
        if torch.distributed.is_available():
            # Imported later, its default arguments would hold the group for ever, and
            # `close` could not end its threads.
            import_module("torch.distributed.nn.functional")
        self._accelerator = Accelerator()

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._accelerator.num_processes)

    @property
    def is_main(self) -> bool:
        """Whether this one writes files; the others help."""
        return bool(self._accelerator.is_main_process)

    def close(self) -> None:
        """Leave the others; nothing can be shared with them afterwards."""
        self._accelerator.end_training()

    def tell(self, item: T) -> T:
        """Return what the main process has passed, in every process."""
        if self.count == 1:
            return item
        items = [item]
        broadcast_object_list(items)
        return items[0]

    @property
    def device(self) -> torch.device:
        """Where this one computes, if it is one of many."""
        device: torch.device = self._accelerator.device
        return device

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's part; over all processes each item comes once."""
        return items[self._accelerator.process_index :: self.count]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes; of one dtype all."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        flat = self._accelerator.reduce(flat, "sum")
        sums = flat.split([tensor.numel() for tensor in tensors])
        for tensor, total in zip(tensors, sums, strict=True):
            tensor.copy_(total.view_as(tensor))

    def together(self, work: Callable[[], T]) -> list[T]:
        """Do one's part of a work and return every process's result, in all of them.

        What one of them raises, all raise: none is left waiting for one that is gone.
        """
        if self.count == 1:
            return [work()]
        result, error = None, None
        try:
            result = work()
        except Exception as caught:  # noqa: BLE001  # the others must hear of it
            error = caught
        outcomes = list(gather_object([(result, error)]))
        for _, failure in outcomes:
            if failure is not None:
                raise failure
        return [part for part, _ in outcomes]
