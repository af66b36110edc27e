"""Calls from a worker reach the Qt thread, and never an object that is gone."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.ui

ENDS_WHILE_IT_IS_CALLED = """
import threading
from qtpy.QtCore import QCoreApplication, QEvent, QObject
from napari_glmedsa.ui.main_thread import MainThread

app = QCoreApplication([])
for _ in range(50):
    parent, begun, over = QObject(), threading.Event(), []
    relay = MainThread(parent).wrap(lambda: None)

    def work(relay=relay, begun=begun, over=over):
        while not over:
            relay()
            begun.set()

    worker = threading.Thread(target=work)
    worker.start()
    begun.wait()
    parent.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    over.append(True)
    worker.join()
"""


def test_a_dock_may_be_destroyed_while_its_worker_calls_it():
    # In a process of its own, which would end with a segmentation fault.
    run = [sys.executable, "-c", ENDS_WHILE_IT_IS_CALLED]
    assert subprocess.run(run, check=False, timeout=120).returncode == 0
