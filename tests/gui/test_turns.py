"""Timers have their turn between the parts of long work, and the window among threads."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from weakref import getweakrefcount

import pytest
from PySide6.QtCore import QEvent, QObject, QTimer, Slot
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from lbc_gui.turns import call_later, shorten_turns
from tests.gui.conftest import SECONDS

PARTS = 8


@pytest.mark.usefixtures("qapp")
def test_timers_have_their_turn_between_the_parts(qtbot: QtBot) -> None:
    owner, ticks, order = QObject(), QTimer(), list[str]()
    ticks.setInterval(1)
    ticks.timeout.connect(lambda: order.append("tick"))

    def work() -> None:
        time.sleep(0.01)
        order.append("part")
        if order.count("part") < PARTS:
            call_later(owner, work)

    ticks.start()
    call_later(owner, work)
    qtbot.waitUntil(lambda: order.count("part") == PARTS, timeout=SECONDS)
    assert ("part", "part") not in pairwise(order)


class Counter(QObject):
    calls = 0

    @Slot()
    def count(self) -> None:
        self.calls += 1


@pytest.mark.usefixtures("qapp")
def test_calls_for_a_context_that_is_deleted_do_not_come(qtbot: QtBot) -> None:
    context, counter = QObject(), Counter()
    call_later(context, counter.count)
    call_later(counter, counter.count)
    context.deleteLater()
    QApplication.sendPostedEvents(context, QEvent.Type.DeferredDelete.value)
    qtbot.waitUntil(lambda: counter.calls == 1, timeout=SECONDS)
    qtbot.wait(50)
    assert counter.calls == 1


@pytest.mark.usefixtures("qapp")
def test_nothing_is_left_of_a_call_that_was_made(qtbot: QtBot) -> None:
    counter = Counter()
    before = getweakrefcount(counter)
    for _ in range(20):
        call_later(counter, counter.count)
    qtbot.waitUntil(lambda: counter.calls == 20, timeout=SECONDS)
    assert getweakrefcount(counter) == before


@pytest.fixture
def computing() -> Iterator[None]:
    """A thread that computes in Python."""
    before, ended = sys.getswitchinterval(), threading.Event()

    def compute() -> None:
        while not ended.is_set():
            sum(range(1000))

    thread = threading.Thread(target=compute)
    thread.start()
    yield
    ended.set()
    thread.join()
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("computing")
def test_a_thread_that_computes_does_not_keep_others_waiting() -> None:
    # The system may take the processor from either thread, which shortens or lengthens a time.
    sys.setswitchinterval(0.005)
    while (usual := seconds_of_pauses()) < 0.1:
        pass
    shorten_turns()
    assert min(seconds_of_pauses() for _ in range(9)) < usual / 2


def seconds_of_pauses() -> float:
    """How long it takes to give up the interpreter often, as a window that is painted does."""
    start = time.perf_counter()
    for _ in range(40):
        time.sleep(0)
    return time.perf_counter() - start
