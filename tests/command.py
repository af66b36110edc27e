"""Runs `glmedsa` in this process and keeps what it said."""

from dataclasses import dataclass

import pytest

from napari_glmedsa.cli.app import run


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


def glmedsa(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """Run one command line; anything but a clean exit code is raised."""
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    return Outcome(code, *capsys.readouterr())


def is_one_sentence(text: str) -> bool:
    """Whether a message is a line that says something and ends."""
    return text.count("\n") == 1 and text.endswith(".\n") and len(text.split()) > 4
