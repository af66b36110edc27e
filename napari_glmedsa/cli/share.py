"""The part of a work that is this process's, when several were started together."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from napari_glmedsa.errors import DeviceError

T = TypeVar("T")

_PATIENCE = timedelta(days=30)  # until the slowest of them is done; a launcher ends all


@dataclass(frozen=True, slots=True)
class Share:
    """Every n-th item, so that nobody needs to ask anybody.

    Parameters
    ----------
    rank
        Which of the processes this is, from 0.
    count
        How many there are, on all machines together.
    local_rank
        Which of those on this machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process says what concerns all."""
        return self.rank == 0

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's items; over all processes each comes once."""
        return items[self.rank :: self.count]

    def device(self, name: str) -> str:
        """Turn auto into a graphics card for each process of a machine."""
        if name != "auto" or self.count == 1:
            return name
        import torch

        cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return f"cuda:{self.local_rank % cards}" if cards else name

    def wait_for_all(self) -> None:
        """Wait until every process is done.

        To the launcher one that ends with failures has crashed, and it ends the
        others. Without a launcher there is nothing to wait with, and no need to.
        """
        if self.count == 1 or "MASTER_ADDR" not in os.environ:
            return
        from torch import distributed

        distributed.init_process_group("gloo", timeout=_PATIENCE)
        distributed.barrier()
        distributed.destroy_process_group()


ONLY = Share()
"""All of it."""


def own_share() -> Share:
    """Read what ``accelerate launch`` and ``torchrun`` tell the processes they start.

    Raises
    ------
    DeviceError
        If that makes no sense.
    """
    told = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE")}
    if None in told.values():
        return ONLY
    try:
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        share = Share(
            int(told["RANK"] or ""), int(told["WORLD_SIZE"] or ""), local_rank
        )
    except ValueError:
        share = Share(count=0)
    if not 0 <= share.rank < share.count or share.local_rank < 0:
        raise DeviceError(
            f"RANK={told['RANK']} and WORLD_SIZE={told['WORLD_SIZE']} do not say which"
            " of how many processes this is; unset them, or use accelerate launch."
        )
    return share
