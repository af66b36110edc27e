"""Randomness without memory: the same question always gets the same draw."""

import hashlib

import numpy as np


def generator(seed: int, epoch: int, name: str, purpose: str) -> np.random.Generator:
    """Return a fresh generator that depends on its arguments alone.

    So neither order, batch size, number of processes nor an interruption can
    change what is drawn for an image.
    """
    text = hashlib.sha256(f"{purpose}|{name}".encode()).digest()
    return np.random.default_rng([seed, epoch, int.from_bytes(text[:8], "big")])


def shuffled(names: list[str], *, seed: int, epoch: int) -> list[str]:
    """Return the names in an order that their own order does not change."""
    return sorted(names, key=lambda name: _rank(name, seed, epoch))


def _rank(name: str, seed: int, epoch: int) -> bytes:
    return hashlib.sha256(f"{seed}|{epoch}|order|{name}".encode()).digest()
