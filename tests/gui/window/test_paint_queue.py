"""A window is painted once for all that has changed, and input comes first."""

from __future__ import annotations

from collections.abc import Iterator

import pyqtgraph as pg
import pytest
from PySide6.QtCore import QEvent, QTimer
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from lbc_gui.window.paint_queue import PaintQueue
from tests.gui.conftest import SECONDS

PLOTS = 5


class Window(QWidget):
    """Counts how often it is painted with all that is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.painted = 0
        row = QHBoxLayout(self)
        self.plots = [pg.PlotWidget() for _ in range(PLOTS)]
        for plot in self.plots:
            row.addWidget(plot)
        self.lines = [plot.plot([0, 1], [0, 1]) for plot in self.plots]

    def event(self, event: QEvent) -> bool:
        self.painted += event.type() is QEvent.Type.UpdateRequest
        return super().event(event)

    def draw(self, height: float) -> None:
        for line in self.lines:
            line.setData([0, 1], [0, height])


@pytest.fixture
def window(qtbot: QtBot) -> Iterator[Window]:
    window = Window()
    window.resize(600, 200)
    window.show()
    qtbot.waitExposed(window)
    qtbot.wait(200)
    window.painted = 0
    yield window
    window.close()
    window.deleteLater()


def test_plots_that_change_together_are_painted_together(qtbot: QtBot, window: Window) -> None:
    window.draw(2)
    qtbot.wait(200)
    separate, window.painted = window.painted, 0
    PaintQueue(window)
    window.draw(3)
    qtbot.wait(200)
    # Again where an axis needs more room for its numbers; without it as often as there are plots.
    assert 1 <= window.painted <= 3 < PLOTS <= separate


def test_all_that_has_changed_comes_to_the_screen(qtbot: QtBot, window: Window) -> None:
    PaintQueue(window)
    before = window.screen().grabWindow(window.winId()).toImage()
    window.draw(30)
    qtbot.waitUntil(lambda: window.painted > 0, timeout=SECONDS)
    qtbot.wait(200)
    after = window.screen().grabWindow(window.winId()).toImage()
    assert after != before
    assert after == window.grab().toImage()


def test_timers_come_between_changes_and_painting(qtbot: QtBot, window: Window) -> None:
    PaintQueue(window)
    seen: list[int] = []
    timer = QTimer(window, singleShot=True, interval=0)
    timer.timeout.connect(lambda: seen.append(window.painted))
    timer.start()
    window.draw(4)
    qtbot.waitUntil(lambda: window.painted > 0 and bool(seen), timeout=SECONDS)
    assert seen == [0]


def test_an_error_in_a_paint_event_changes_nothing(qtbot: QtBot, window: Window) -> None:
    class Broken(QWidget):
        def paintEvent(self, _: QPaintEvent) -> None:
            raise OverflowError

    PaintQueue(window)
    broken = Broken(window)
    with qtbot.captureExceptions() as raised:
        broken.resize(10, 10)
        broken.show()
        qtbot.waitUntil(lambda: bool(raised), timeout=SECONDS)
        qtbot.wait(200)
    broken.deleteLater()
    qtbot.wait(200)
    window.painted = 0
    window.draw(2)
    qtbot.wait(200)
    assert 1 <= window.painted < PLOTS


def test_a_window_that_was_closed_meanwhile_is_no_error(qtbot: QtBot) -> None:
    window = Window()
    PaintQueue(window)
    window.show()
    qtbot.waitExposed(window)
    window.draw(5)
    with qtbot.waitSignal(window.destroyed, timeout=SECONDS):
        window.deleteLater()
    qtbot.wait(50)
