"""What a command says about the photographs and masks that it has paired."""

from napari_glmedsa.cli.terminal import remark
from napari_glmedsa.pairs import Pairing, pair_by_stem, read_pair

__all__ = ["name_unpaired", "pair_by_stem", "read_pair"]


def name_unpaired(pairing: Pairing) -> None:
    """Say on stderr which images and masks stay alone."""
    for sentence in pairing.remarks():
        remark(sentence)
