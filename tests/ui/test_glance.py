"""An answer that comes soon is shown before the window is painted."""

import threading

import pytest
from psygnal import Signal
from qtpy.QtCore import QEvent, QObject

from napari_glmedsa.session import SessionState
from napari_glmedsa.ui import glance
from napari_glmedsa.ui.glance import Glance
from napari_glmedsa.ui.main_thread import MainThread

pytestmark = pytest.mark.ui


class Session:
    """Says what a session says."""

    mask_predicted = Signal(object)
    state_changed = Signal(SessionState)

    def answer(self) -> None:
        self.mask_predicted.emit("mask")
        self.state_changed.emit(SessionState.READY)


@pytest.fixture
def said(qapp) -> list[str]:
    return []


@pytest.fixture
def main_thread(said):
    parent = QObject()
    yield MainThread(parent)
    parent.deleteLater()


@pytest.fixture
def session(main_thread, said):
    session = Session()
    session.glance = Glance(session, main_thread, said.append)
    return session


def test_what_comes_before_painting_overtakes_what_was_called_earlier(
    main_thread, said, qapp
):
    main_thread.call(lambda: said.append("painting"))
    main_thread.call_before_painting(lambda: said.append("first"))
    main_thread.call_before_painting(lambda: said.append("second"))
    qapp.processEvents()
    assert said == ["first", "second", "painting"]


def test_an_answer_that_comes_soon_is_shown_before_the_window_is_painted(
    session, main_thread, said, qapp, monkeypatch
):
    monkeypatch.setattr(glance, "MOMENT", 20)
    looking = threading.Event()

    def work() -> None:
        looking.wait(20)
        session.answer()

    worker = threading.Thread(target=work)
    worker.start()
    main_thread.call(lambda: said.append("painting"))
    main_thread.call_before_painting(looking.set)
    session.state_changed.emit(SessionState.DECODING)
    qapp.processEvents()
    worker.join()
    assert said == ["mask", "painting"]


def test_an_answer_is_waited_for_but_not_for_long(
    session, main_thread, said, qapp, qtbot
):
    painted = threading.Event()

    def paint() -> None:
        said.append("painting")
        painted.set()

    def work() -> None:
        painted.wait(20)
        session.answer()

    main_thread.call(paint)
    session.state_changed.emit(SessionState.DECODING)
    worker = threading.Thread(target=work)
    worker.start()
    qtbot.waitUntil(lambda: len(said) == 2)
    worker.join()
    assert said == ["painting", "mask"]


def test_nobody_waits_for_what_a_worker_begins_by_itself(
    session, main_thread, monkeypatch, qapp
):
    waits = []
    monkeypatch.setattr(session.glance, "_wait", lambda: waits.append(1))
    worker = threading.Thread(
        target=session.state_changed.emit, args=(SessionState.DECODING,)
    )
    worker.start()
    worker.join()
    qapp.processEvents()
    assert waits == []


def test_an_answer_after_the_dock_is_gone_is_dropped(said, qapp):
    parent, session = QObject(), Session()
    kept = Glance(session, MainThread(parent), said.append)
    parent.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    session.answer()
    qapp.processEvents()
    assert said == []
    del kept
