"""The keyboard goes everywhere: pages, layers, blocks, moments and zooms."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from lbc_gui.heatmap.cells_view import CellsView
from lbc_gui.heatmap.zoom_history import SETTLED_MILLISECONDS
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, small_experiment

Open = Callable[..., MainWindow]
Key, Modifier = Qt.Key, Qt.KeyboardModifier


def wheel(view: CellsView) -> None:
    middle = QPointF(view._box.sceneBoundingRect().center())
    QApplication.sendEvent(
        view.viewport(),
        QWheelEvent(
            middle, view.mapToGlobal(middle), QPoint(), QPoint(0, 480), Qt.MouseButton.NoButton,
            Modifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        ),
    )  # fmt: skip


@pytest.fixture
def shown(qtbot: QtBot, use_window: Open) -> MainWindow:
    """The window with its first picture."""
    window = use_window()
    qtbot.waitUntil(lambda: window.scores._snapshot is not None, timeout=SECONDS)
    return window


def test_blocks_layers_and_pages_by_keyboard(qtbot: QtBot, shown: MainWindow) -> None:
    view = shown.view_state
    fold = shown.scores.heatmap._fold
    assert fold is not None
    middle = fold.outputs // 2 * fold.blocks_per_row + fold.blocks_per_row // 2
    qtbot.keyClick(shown, Key.Key_B, Modifier.ControlModifier)
    assert view.view.block == middle
    for key, block in (
        (Key.Key_Right, middle + 1),
        (Key.Key_Down, middle + 1 + fold.blocks_per_row),
        (Key.Key_Left, middle + fold.blocks_per_row),
        (Key.Key_Up, middle),
    ):
        qtbot.keyClick(shown, key, Modifier.AltModifier)
        assert view.view.block == block
    assert list(view.view.pinned_blocks) == [middle]  # a pin that moves leaves none behind
    qtbot.keyClick(shown, Key.Key_K, Modifier.ControlModifier | Modifier.AltModifier)
    qtbot.keyClick(shown, Key.Key_Right, Modifier.AltModifier)
    assert len(view.view.pinned_blocks) == 2
    qtbot.keyClick(shown, Key.Key_K, Modifier.ControlModifier | Modifier.ShiftModifier)
    assert len(view.view.pinned_blocks) == 1
    layers = [info.name for info in view.view.layers]
    for key, layer in (
        (Key.Key_PageDown, layers[1]),
        (Key.Key_PageDown, layers[1]),  # the last
        (Key.Key_PageUp, layers[0]),
    ):
        qtbot.keyClick(shown, key, Modifier.ControlModifier)
        assert view.view.layer == layer
    shown.scores.list.order.setCurrentText("size")
    qtbot.keyClick(shown, Key.Key_PageDown, Modifier.ControlModifier)
    assert view.view.layer == shown.scores.list.shown_names[1]
    shown.scores.list.order.setCurrentIndex(0)
    pages = ("Scores", "Masks", "Runs", "Comparison", "Inspect", "Latency")
    for number, page in zip(range(Key.Key_1, Key.Key_7), pages, strict=True):
        qtbot.keyClick(shown, Key(number), Modifier.ControlModifier)
        assert shown.pages.tabText(shown.pages.currentIndex()) == page
        taker = shown.pages.currentWidget() if page == "Latency" else shown.pages
        assert taker is not None and taker.isAncestorOf(shown.focusWidget() or shown)
    qtbot.keyClick(shown, Key.Key_1, Modifier.ControlModifier)
    before = shown.scores.heatmap.view_range
    qtbot.keyClick(shown.focusWidget() or shown, Key.Key_Plus)  # the picture takes the keys
    assert shown.scores.heatmap.view_range != before


def test_moments_by_keyboard(qtbot: QtBot, use_window: Open) -> None:
    window = use_window(small_experiment(training={"epochs": 500}), start=True)
    view = window.view_state
    qtbot.waitUntil(lambda: len(view.view.moments) > 3, timeout=SECONDS)
    qtbot.keyClick(window, Key.Key_F6)
    qtbot.waitUntil(lambda: window.session.state is State.PAUSED, timeout=SECONDS)
    qtbot.keyClick(window, Key.Key_Comma)
    first = view.view.moment
    assert first is not None
    for key, moment in ((Key.Key_Comma, first - 1), (Key.Key_Period, first)):
        qtbot.keyClick(window, key)
        assert view.view.moment == moment
    qtbot.keyClick(window, Key.Key_L, Modifier.ControlModifier)
    assert view.view.moment is None


def test_backspace_undoes_a_zoom_by_wheel_on_every_page(qtbot: QtBot, shown: MainWindow) -> None:
    for page, focus in (("Scores", shown), ("Masks", shown), ("Scores", shown.timeline.track)):
        at = next(k for k in range(4) if shown.pages.tabText(k) == page)
        qtbot.keyClick(shown, Key(Key.Key_1 + at), Modifier.ControlModifier)
        view = shown.scores.heatmap if page == "Scores" else shown.pages.masks.heatmap
        qtbot.waitUntil(lambda view=view: view.picture_size is not None, timeout=SECONDS)  # type: ignore[misc]
        qtbot.wait(SETTLED_MILLISECONDS + 200)
        whole = view.view_range
        wheel(view)
        assert view.view_range != whole
        assert isinstance(focus, QWidget)
        qtbot.keyClick(focus, Key.Key_Backspace)
        assert view.view_range == whole
        assert view.focusPolicy() == Qt.FocusPolicy.WheelFocus
