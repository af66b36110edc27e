"""The command line `glmedsa`: demo, predict, evaluate and doctor."""

from napari_glmedsa.cli.app import main

__all__ = ["main"]
