"""The threads of one computation: how many, and how they wait for one another."""

import os


def cpu_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # containers often have fewer than the CPU
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def wait_without_spinning() -> None:
    """Let OpenMP's threads sleep while they wait; call before PyTorch is imported.

    By default they spin, as if the processor were theirs alone. With any other
    program at work, a thread then burns the time that the one it waits for needs: on
    two busy cores a training step took thirty times as long as without spinning. A
    user's own ``OMP_WAIT_POLICY`` is respected.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
