"""Threads that sleep while they wait, unless the user wants it otherwise."""

import os
import subprocess
import sys

import pytest

from napari_glmedsa.waiting import wait_without_spinning

POLICY = "OMP_WAIT_POLICY"


def test_threads_sleep_while_they_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(POLICY, raising=False)
    wait_without_spinning()
    assert os.environ[POLICY] == "PASSIVE"


def test_a_policy_of_the_users_own_is_respected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(POLICY, "ACTIVE")
    wait_without_spinning()
    assert os.environ[POLICY] == "ACTIVE"


def test_the_command_decides_before_it_imports_pytorch() -> None:
    code = (
        "import os, sys\n"
        "import napari_glmedsa.cli.app as app\n"
        "said = lambda: (os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)\n"
        "app.run = lambda _: print(*said())\n"
        "app.main()\n"
    )
    plain = {key: value for key, value in os.environ.items() if key != POLICY}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=plain,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "PASSIVE False\n", done.stderr
