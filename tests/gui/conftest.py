"""A window for every test, closed with its thread; what is left over fails the test."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QMimeData, QPoint, QPointF, Qt, QThread, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QMessageBox
from pytestqt.qtbot import QtBot
from shiboken6 import isValid

from lbc.config import Experiment, parse_experiment
from lbc.runs.opened_run import OpenedRun
from lbc_gui.compare.curves_pane import CurvesPane
from lbc_gui.heatmap.heatmap_view import HeatmapView
from lbc_gui.run.session import State
from lbc_gui.settings import Settings
from lbc_gui.window.main_window import MainWindow
from lbc_gui.worker import Worker

SECONDS = 60_000


def small_experiment(**changes: object) -> Experiment:
    """Ten quick epochs of a small perceptron on the digits."""
    return parse_experiment({
        "name": "small",
        "model": {"name": "mlp", "width": 32, "depth": 3},
        "training": {"epochs": 10, "batch_size": 200},
        "schedule": {"end": 6},
        **changes,
    })  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "window.ini")


@pytest.fixture(scope="module")
def used_windows(request: pytest.FixtureRequest) -> Iterator[list[MainWindow]]:
    """The window that tests of the module use after each other, once there is one."""
    windows: list[MainWindow] = []
    yield windows
    for window in windows:
        close_window(QtBot(request), window)


def examined(window: MainWindow) -> bool:
    """Whether its run is loaded, and what its experiment implies is shown."""
    loading = window.session.state is State.LOADING
    return not loading and not window.experiment_panel.implications.running


def prepared(window: MainWindow, experiment: Experiment) -> bool:
    return window.session.experiment == experiment and examined(window)


def held(window: MainWindow) -> bool:
    """Hold the run until it has ended: the form may settle before that, and prepare another."""
    window.session.hold(small_experiment())
    return not window.session.live


@pytest.fixture
def use_window(
    open_window: Callable[..., MainWindow], used_windows: list[MainWindow], qtbot: QtBot
) -> Iterator[Callable[..., MainWindow]]:
    """Shows an experiment in the module's window, which keeps its settings and folders.

    For tests that ask nothing about how a window opens. Pins, messages and changes of earlier tests
    are gone; what else a test changes, such as a panel that it hides, it changes back.
    """

    def use(experiment: Experiment | None = None, start: bool = False) -> MainWindow:
        shown = experiment or small_experiment()
        if not used_windows:
            return open_window(shown, start, among=used_windows)
        (window,) = used_windows
        window.activateWindow()
        window.pages.setCurrentIndex(0)
        window.log.clear()
        window.starting.open(shown)
        if start:
            window.starting.start(shown, run=True)
        qtbot.waitUntil(lambda: prepared(window, shown), timeout=SECONDS)
        return window

    yield use
    for window in used_windows:
        window.pages.setCurrentIndex(0)
        for pane in window.findChildren(CurvesPane):
            pane.reader.cancel()  # which else reads until the window is closed
            qtbot.waitUntil(lambda: not pane.reader.running, timeout=SECONDS)  # noqa: B023
        window.experiment_panel.show_experiment(small_experiment())
        qtbot.waitUntil(lambda: held(window), timeout=SECONDS)  # noqa: B023
        qtbot.waitUntil(lambda: examined(window), timeout=SECONDS)  # noqa: B023


@pytest.fixture
def open_window(
    qapp: QApplication, qtbot: QtBot, tmp_path: Path, settings: Settings
) -> Iterator[Callable[..., MainWindow]]:
    """Opens windows on an experiment, and waits until it is prepared, or on a run."""
    opened: list[MainWindow] = []

    def open_one(
        experiment: Experiment | None = None,
        start: bool = False,
        run: OpenedRun | None = None,
        among: list[MainWindow] = opened,
        restores: bool = False,
    ) -> MainWindow:
        # A widget of an earlier test that is half deleted does not survive a style sheet.
        qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        qapp.setStyleSheet("")  # as when the application starts; much faster than with one
        window = MainWindow(experiment or small_experiment(), tmp_path / "runs", settings, start)
        among.append(window)
        window.resize(1280, 800)
        window.show()
        window.begin(run=run, restores=restores)
        qtbot.waitUntil(lambda: window.complete and examined(window), timeout=SECONDS)
        return window

    yield open_one
    for window in opened:
        if isValid(window):
            close_window(qtbot, window)


@pytest.fixture
def window(open_window: Callable[..., MainWindow]) -> MainWindow:
    """The window, standing at the start of the small experiment."""
    return open_window()


@pytest.fixture(scope="session", autouse=True)
def workers_are_traced() -> Iterator[None]:
    """Under coverage, trace Qt's threads too: coverage itself traces those of threading alone."""
    trace, run = threading.gettrace(), Worker.run

    def traced(worker: Worker) -> None:
        sys.settrace(trace)
        run(worker)

    with pytest.MonkeyPatch.context() as patch:
        if trace is not None:
            patch.setattr(Worker, "run", traced)
        yield


@pytest.fixture(scope="module", autouse=True)
def what_modules_before_imported_is_left_alone() -> None:
    """Looking at all their objects after every test would take longer than most tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_over(used_windows: list[MainWindow]) -> Iterator[None]:
    """No thread runs, no window is open and no mouse button is down once a test is over."""
    yield
    held = QApplication.mouseButtons()  # of a press or double click that was not released
    assert held is Qt.MouseButton.NoButton, f"still down: {held}"
    gc.collect()
    # As long as a window is open, one thread draws and one follows the queue.
    lasting = {
        at for one in used_windows for at in (one.session._renderer, one.queue.following._worker)
    }
    threads = [at for at in gc.get_objects() if issubclass(type(at), QThread) and isValid(at)]
    running = [thread for thread in threads if thread.isRunning() and thread not in lasting]
    assert not running, "a training thread is still running"
    shown = [
        at for at in QApplication.topLevelWidgets() if at.isVisible() and at not in used_windows
    ]
    for widget in shown:
        widget.close()
    assert not shown, f"still open: {shown}"


def settled(qtbot: QtBot, place: Callable[[], QPointF]) -> QPoint:
    """Where something is drawn, once the panels around the picture have come to rest."""
    while True:
        before = place()
        qtbot.wait(200)
        if place() == before:
            return before.toPoint()


def zoom_to(heatmap: HeatmapView, block: int) -> None:
    """Zoom until one block fills the picture."""
    place = heatmap._rect(block).toRect()
    heatmap.show_cells(place.x(), place.y(), place.width(), place.height())


def answer(qtbot: QtBot, window: MainWindow, text: str) -> str:
    """Press a button of the question, and return what it said."""
    qtbot.waitUntil(lambda: bool(window.findChildren(QMessageBox)), timeout=SECONDS)
    (box,) = window.findChildren(QMessageBox)
    (button,) = (b for b in box.buttons() if b.text() == text)
    said: str = box.text()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not window.findChildren(QMessageBox), timeout=SECONDS)
    return said


DRAGGED = (Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)


def drag(window: MainWindow, *paths: Path) -> QMimeData:
    """Drag files over the picture's place in the window; without URLs if it takes none."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    over, copy = window.scores.heatmap.viewport(), Qt.DropAction.CopyAction
    enter = QDragEnterEvent(QPoint(9, 9), copy, data, *DRAGGED)
    QApplication.sendEvent(over, enter)
    if not enter.isAccepted():
        data.clear()
    return data


def drop(window: MainWindow, *paths: Path) -> bool:
    """Drag files over the picture's place in the window and let them go; whether it took them."""
    data, copy = drag(window, *paths), Qt.DropAction.CopyAction
    if data.hasUrls():
        drop = QDropEvent(QPointF(9, 9), copy, data, *DRAGGED, QEvent.Type.Drop)
        QApplication.sendEvent(window, drop)
    return data.hasUrls()


def close_window(qtbot: QtBot, window: MainWindow) -> None:
    """End the run and close the window, as its own dialog would on "Stop and close"."""
    window.closing.start()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=SECONDS)
    window.deleteLater()
    # At once: a window that is still there is given the style sheet of the next, too.
    QCoreApplication.sendPostedEvents(window, QEvent.Type.DeferredDelete)
