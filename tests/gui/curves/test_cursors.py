"""The crosshair, the line at the moment on screen, and the finished run before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QMessageBox
from pytestqt.qtbot import QtBot
from shiboken6 import delete

from lbc.runs.events import EpochDone, LayerInfo, StepDone
from lbc.runs.history_reader import MomentInfo
from lbc.sparsity.pattern import Pattern
from lbc_gui.curves.curves_panel import CurvesPanel
from lbc_gui.run.session import State
from lbc_gui.run.timeline import Timeline
from lbc_gui.run.view_state import ViewState
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, small_experiment

Open = Callable[..., MainWindow]


@pytest.fixture
def state() -> ViewState:
    """Nine moments of a run of four epochs, which is followed."""
    state = ViewState()
    state.set_moments(tuple(MomentInfo(k / 2, k % 2 == 0, True, (6,)) for k in range(9)), 4)
    return state


@pytest.fixture
def curves(qtbot: QtBot, state: ViewState) -> Iterator[CurvesPanel]:
    """The curves of that run."""
    curves = CurvesPanel(state)
    curves.resize(900, 220)
    curves.show()
    curves.begin([LayerInfo("layer", (8, 8), Pattern(2, 4), 16)], 4)
    losses = (2.0, 1.0, 0.5, 0.25)
    curves.add([StepDone(k, k / 4, losses[(k - 1) // 4], 0.1, k) for k in range(1, 17)])
    curves.add([
        EpochDone(k, losses[k - 1], losses[k - 1] + 0.125, 0.8 + k / 25, (6 - k,), 1 - k / 8, k)
        for k in range(1, 5)
    ])  # fmt: skip
    yield curves
    delete(curves)  # pyqtgraph's views cannot change their palette once they are closed


def point(curves: CurvesPanel, plot: str, epoch: float, share: float = 0.5) -> QPoint:
    """An epoch in a plot, at a share of its height, in pixels of the panel."""
    box = curves._plots[plot].getViewBox()
    low, high = box.viewRange()[1]
    seen = box.mapViewToScene(QPointF(epoch, low + share * (high - low)))
    return QPoint(curves.mapFromScene(seen))


def titles(curves: CurvesPanel) -> dict[str, str]:
    shown = {name: title.item.toPlainText() for name, title in curves._titles.items()}
    return {name: text for name, text in shown.items() if text}


def test_titles_say_the_last_values_and_the_crosshair_those_under_the_mouse(
    qtbot: QtBot, curves: CurvesPanel
) -> None:
    last = {
        "loss": "Loss ▪train 0.25 ▪test 0.375",
        "accuracy": "Test accuracy 96.0 %",
        "live": "Live 2 of 6",
        "density": "Density 50.0 %",
    }
    qtbot.waitUntil(lambda: titles(curves) == last, timeout=SECONDS)
    for plot in last:
        qtbot.mouseMove(curves.viewport(), point(curves, plot, 2))
        here = curves._plots[plot].getAxis("bottom")
        qtbot.waitUntil(lambda here=here: here.labelText == "epoch 2.00", timeout=SECONDS)  # type: ignore[misc]
        assert titles(curves) == {
            "loss": "Loss ▪train 1 ▪test 1.12",
            "accuracy": "Test accuracy 88.0 %",
            "live": "Live 4 of 6",
            "density": "Density 75.0 %",
        }
        assert {line.value() for line in curves._cursors.across} == {2}
        assert all(line.isVisible() for line in curves._cursors.across)
        qtbot.mouseMove(curves.viewport(), QPoint(1, 1))
        qtbot.waitUntil(lambda: titles(curves) == last, timeout=SECONDS)
        assert not any(line.isVisible() for line in curves._cursors.across)
    curves.resize(640, 220)
    assert titles(curves)["loss"] == "Loss ▪0.25 ▪0.375"  # no title reaches into the next


def test_the_line_at_the_moment_follows_the_slider_and_moves_it(
    qtbot: QtBot, curves: CurvesPanel, state: ViewState
) -> None:
    lines, timeline = curves._cursors.moments, Timeline(state)
    qtbot.addWidget(timeline)
    assert not any(line.isVisible() for line in lines)  # the run is followed
    qtbot.keyClick(timeline.track, Qt.Key.Key_Home)
    qtbot.keyClick(timeline.track, Qt.Key.Key_Right)
    assert {line.value() for line in lines} == {0.5}
    assert all(line.isVisible() for line in lines)
    start, end, viewport = (
        point(curves, "accuracy", 0.5), point(curves, "accuracy", 3), curves.viewport(),
    )  # fmt: skip
    qtbot.mouseMove(viewport, start)
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=start)
    button, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    for step in range(1, 11):
        at = QPointF(start + (end - start) * step / 10)
        on_screen, kind = viewport.mapToGlobal(at), QEvent.Type.MouseMove
        QApplication.sendEvent(viewport, QMouseEvent(kind, at, on_screen, button, button, none))
        qtbot.wait(20)  # pyqtgraph drops moves that are closer
    qtbot.mouseRelease(viewport, button, pos=end)
    assert timeline.track.at == state.view.moment == 6
    assert {line.value() for line in lines} == {3}


def test_the_wheel_over_one_plot_zooms_all(curves: CurvesPanel) -> None:
    at = QPointF(point(curves, "live", 2))
    wheel = QWheelEvent(
        at, curves.mapToGlobal(at), QPoint(), QPoint(0, 240), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(curves.viewport(), wheel)
    ranges = [plot.viewRange()[0] for plot in curves._plots.values()]
    assert np.ptp(ranges[0]) < 3.9
    assert np.allclose(ranges, ranges[0])


def test_the_finished_run_stays_as_a_thin_grey_line(qtbot: QtBot, open_window: Open) -> None:
    training = {"epochs": 4, "batch_size": 800}
    window = open_window(small_experiment(training=training, schedule={"end": 3}), start=True)
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    curves = window.curves
    finished = curves._series["accuracy"].y.tolist()
    window.actions_.reset.trigger()
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    grey = curves._before["accuracy"]
    assert grey.yData.tolist() == finished
    assert grey.opts["pen"].width() == 1 and grey.opts["pen"].color().saturation() < 80
    assert len(curves._series["accuracy"]) == 0
    qtbot.keyClick(window, Qt.Key.Key_F10)
    qtbot.waitUntil(lambda: window.session.state is State.PAUSED, timeout=SECONDS)
    window.actions_.reset.trigger()  # what has not finished does not replace it
    question = QApplication.activeModalWidget()
    assert isinstance(question, QMessageBox)
    qtbot.mouseClick(question.defaultButton(), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    assert grey.yData.tolist() == finished


def test_the_crosshair_follows_quick_moves_to_where_they_end(curves: CurvesPanel) -> None:
    plot, none = next(iter(curves._plots)), Qt.MouseButton.NoButton
    places = [*(point(curves, plot, epoch) for epoch in (1, 3, 2)), QPoint(1, 1)]
    found = []
    for place in places:  # without a pause in between
        where = QPointF(curves.viewport().mapToGlobal(place))
        keys = Qt.KeyboardModifier.NoModifier
        event = QMouseEvent(QEvent.Type.MouseMove, QPointF(place), where, none, none, keys)
        QApplication.sendEvent(curves.viewport(), event)
        found.append(curves._cursors.epoch)
    assert found == [1, 3, 2, None]
