"""Which panels are shown, how large the picture is, and what is remembered of that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QByteArray, QSize, Qt
from PySide6.QtWidgets import QDockWidget, QLineEdit, QScrollBar, QTabBar, QToolButton
from pytestqt.qtbot import QtBot

from lbc_gui.run.session import State
from lbc_gui.settings import Layout, Settings
from lbc_gui.theme import TIGHT
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, close_window, settled, small_experiment

Open = Callable[..., MainWindow]


@pytest.fixture
def window(qtbot: QtBot, use_window: Open) -> MainWindow:
    """Of the size and layout that a new one has."""
    window = use_window()
    window.resize(1280, 800)
    window.actions_.reset_layout.trigger()
    qtbot.waitUntil(lambda: window.updatesEnabled() and window.width() == 1280, timeout=SECONDS)
    return window


def dock(window: MainWindow, name: str) -> QDockWidget:
    found = window.findChild(QDockWidget, name)
    assert isinstance(found, QDockWidget)
    return found


def click_block(qtbot: QtBot, window: MainWindow, block: int = 5) -> None:
    heatmap = window.scores.heatmap
    qtbot.waitUntil(lambda: heatmap._fold is not None, timeout=SECONDS)
    where = settled(qtbot, lambda: heatmap.block_centre(block))
    qtbot.mouseClick(heatmap.viewport(), Qt.MouseButton.LeftButton, pos=where)
    qtbot.waitUntil(lambda: window.block.data_to_save() is not None, timeout=SECONDS)


def click(qtbot: QtBot, window: MainWindow, text: str) -> None:
    [button] = [b for b in window.findChildren(QToolButton) if b.text() == text and b.isVisible()]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def choose_page(qtbot: QtBot, window: MainWindow, index: int) -> None:
    bar = window.pages.tabBar()
    qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.tabRect(index).center())
    assert window.pages.currentIndex() == index


def in_front(panel: QDockWidget) -> bool:
    """Whether a panel is seen, and not behind another."""
    return panel.isVisible() and not panel.visibleRegion().isEmpty()


def share(window: MainWindow) -> float:
    """The share of the window that the picture on screen has."""
    page = window.pages.run_page
    assert page is not None
    picture, whole = page.heatmap.size(), window.size()
    return float(picture.width() * picture.height() / (whole.width() * whole.height()))


def test_the_block_has_room_from_the_first_pin_to_the_last(
    qtbot: QtBot, window: MainWindow
) -> None:
    block = dock(window, "block")
    assert block.isHidden()
    assert share(window) >= 0.35
    click_block(qtbot, window)
    assert in_front(block)
    for page in (1, 0):
        choose_page(qtbot, window, page)
        qtbot.waitUntil(lambda: share(window) >= 0.35 and in_front(block), timeout=SECONDS)
    click(qtbot, window, "Remove pin")
    assert block.isHidden()
    # Closed, it stays closed on other pages until the next pin.
    click_block(qtbot, window)
    click(qtbot, window, "Close Block")
    for page in (2, 0, 1, 0):
        choose_page(qtbot, window, page)
        assert block.isHidden()
    window.view_state.remove_pin()
    click_block(qtbot, window, 7)
    assert block.isVisible()


def test_in_a_narrow_window_block_and_experiment_share_a_column(
    qtbot: QtBot, window: MainWindow
) -> None:
    experiment, block = dock(window, "experiment"), dock(window, "block")
    click_block(qtbot, window)
    assert in_front(block) and block.x() == 0 and not in_front(experiment)
    bars = [bar for bar in window.findChildren(QTabBar) if bar.parent() is window]
    [tabs] = [bar for bar in bars if bar.count() and bar.tabText(0) == "Experiment"]
    qtbot.mouseClick(tabs, Qt.MouseButton.LeftButton, pos=tabs.tabRect(0).center())
    assert in_front(experiment)
    for page in (2, 0):
        choose_page(qtbot, window, page)
    assert in_front(experiment)  # as before the page without a block
    click_block(qtbot, window, 7)
    assert in_front(block)
    assert not [bar for bar in block.findChildren(QScrollBar) if bar.isVisible()]
    qtbot.keyClick(window, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: in_front(experiment), timeout=SECONDS)
    window.resize(1900, 1000)
    qtbot.waitUntil(lambda: in_front(experiment) and block.x() > 1400, timeout=SECONDS)
    assert window.minimumWidth() <= window.screen().availableSize().width()
    window.resize(960, 1000)
    qtbot.waitUntil(lambda: window.width() == 960 and in_front(block), timeout=SECONDS)


@pytest.mark.parametrize("title", ["Experiment", "Block"])
def test_the_panel_that_was_in_front_comes_back_in_front(
    qtbot: QtBot, open_window: Open, title: str
) -> None:
    window = open_window()
    short = small_experiment(training={"epochs": 2}, schedule={"end": 1})
    window.starting.start(short, run=True)
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    click_block(qtbot, window)
    bars = [bar for bar in window.findChildren(QTabBar) if bar.parent() is window]
    [tabs] = [bar for bar in bars if bar.count() and bar.tabText(0) == "Experiment"]
    at = tabs.tabRect(("Experiment", "Block").index(title)).center()
    qtbot.mouseClick(tabs, Qt.MouseButton.LeftButton, pos=at)
    assert in_front(dock(window, title.lower()))
    close_window(qtbot, window)
    again = open_window(restores=True)
    qtbot.waitUntil(lambda: dock(again, "block").isVisible(), timeout=SECONDS)
    qtbot.waitUntil(lambda: in_front(dock(again, title.lower())), timeout=SECONDS)
    click_block(qtbot, again, 7)
    assert in_front(dock(again, "block"))


def test_after_quitting_on_a_page_without_it_the_block_is_there_and_a_closed_panel_is_not(
    qtbot: QtBot, open_window: Open
) -> None:
    window = open_window()
    click_block(qtbot, window)
    dock(window, "log").close()
    for page in (2, 3):  # Runs and Comparison
        choose_page(qtbot, window, 1)
        assert dock(window, "block").isVisible()
        choose_page(qtbot, window, page)
        assert dock(window, "block").isHidden()
    close_window(qtbot, window)
    window = open_window()
    click_block(qtbot, window)
    assert dock(window, "block").isVisible()
    assert dock(window, "log").isHidden()
    window.actions_.reset_layout.trigger()
    assert not dock(window, "log").isHidden()
    docks = window.findChildren(QDockWidget)
    for one in docks:
        one.setFloating(True)
    qtbot.wait(100)
    window.actions_.reset_layout.trigger()
    qtbot.waitUntil(window.updatesEnabled, timeout=SECONDS)
    assert not any(one.isFloating() for one in docks)


def test_curves_and_log_fold_and_are_remembered(
    qtbot: QtBot, open_window: Open, settings: Settings
) -> None:
    first = open_window()
    assert not first.curves.isVisible() and first.log.isHidden()  # 800 pixels are few
    click(qtbot, first, "Unfold Curves")
    click(qtbot, first, "Unfold Log")
    assert first.curves.isVisible() and first.log.isVisible()
    qtbot.waitUntil(
        lambda: first.curves.height() >= 100 and first.log.height() >= 40, timeout=SECONDS
    )
    click(qtbot, first, "Fold Log")
    click(qtbot, first, "Fold Curves")
    qtbot.waitUntil(lambda: share(first) >= 0.35, timeout=SECONDS)
    click(qtbot, first, "Unfold Log")
    choose_page(qtbot, first, 1)
    click(qtbot, first, "Unfold Numbers")
    close_window(qtbot, first)
    second = open_window()
    assert second.log.isVisible() and not second.curves.isVisible()
    click(qtbot, second, "Unfold Curves")
    choose_page(qtbot, second, 1)
    assert second.pages.masks.numbers.isVisible()
    second.resize(1280, 1050)  # each height has its own
    choose_page(qtbot, second, 0)
    click(qtbot, second, "Fold Curves")
    second.resize(1280, 800)
    qtbot.waitUntil(second.curves.isVisible, timeout=SECONDS)
    second.actions_.reset_layout.trigger()
    qtbot.waitUntil(
        lambda: not second.curves.isVisible() and share(second) >= 0.35, timeout=SECONDS
    )


def test_a_click_on_the_tab_or_title_of_a_folded_panel_unfolds_it(
    qtbot: QtBot, window: MainWindow
) -> None:
    qtbot.waitUntil(lambda: window.complete, timeout=SECONDS)
    queue, log = dock(window, "queue"), dock(window, "log")
    queue.show()
    qtbot.waitUntil(lambda: len(window.findChildren(QTabBar)) > 1, timeout=SECONDS)
    found = [bar for bar in window.findChildren(QTabBar) if bar.parent() is window]
    [tabs] = [bar for bar in found if "Queue" in map(bar.tabText, range(bar.count()))]
    for name, panel in (("Queue", queue), ("Log", log), ("Log", log)):
        window._dock_layout._log_title.fold(True)
        at = [tabs.tabText(at) for at in range(tabs.count())].index(name)
        qtbot.mouseClick(tabs, Qt.MouseButton.LeftButton, pos=tabs.tabRect(at).center())
        qtbot.waitUntil(lambda panel=panel: in_front(panel), timeout=SECONDS)  # type: ignore[misc]
        body = panel.widget()
        assert body is not None and body.height() >= 40
    window._dock_layout._log_title.fold(True)
    for title in (window._dock_layout._log_title, window.pages.folding["curves"].title):
        assert title.folded
        qtbot.mouseClick(title, Qt.MouseButton.LeftButton)
        assert not title.folded


@pytest.mark.parametrize(
    ("width", "height"), [(960, 1050), (853, 520), (1280, 700)], ids=["half", "150 %", "720p"]
)
def test_small_windows_leave_room_for_the_picture(
    qtbot: QtBot, open_window: Open, width: int, height: int
) -> None:
    window = open_window()
    window.resize(width, height)
    qtbot.waitUntil(lambda: window.size() == QSize(width, height), timeout=SECONDS)
    picture = window.scores.heatmap
    qtbot.waitUntil(lambda: picture.height() >= 200 and picture.width() >= 300, timeout=SECONDS)
    click_block(qtbot, window)
    assert dock(window, "block").isVisible()
    assert window.size() == QSize(width, height)
    assert picture.height() >= 200 and picture.width() >= 300
    choose_page(qtbot, window, 4)
    image = window.pages.latency.request.image
    needed = image.fontMetrics().horizontalAdvance(image.text())
    qtbot.waitUntil(
        lambda: image.findChildren(QLineEdit)[0].width() - TIGHT >= needed, timeout=SECONDS
    )
    assert window.size() == QSize(width, height)


def test_the_layout_of_a_large_screen_fits_a_small_one(
    qtbot: QtBot, open_window: Open, settings: Settings
) -> None:
    first = open_window()
    first.resize(1920, 1050)
    left, log = dock(first, "experiment"), dock(first, "log")
    click(qtbot, first, "Unfold Log")
    first.resizeDocks([left], [700], Qt.Orientation.Horizontal)
    first.resizeDocks([log], [400], Qt.Orientation.Vertical)
    qtbot.waitUntil(lambda: left.width() == 700 and log.height() == 400, timeout=SECONDS)
    close_window(qtbot, first)
    second = open_window()  # 1280 × 800
    qtbot.waitUntil(
        lambda: second.width() == 1280 and dock(second, "experiment").width() < 480, timeout=SECONDS
    )
    picture = second.scores.heatmap
    qtbot.waitUntil(lambda: picture.height() >= 200 and picture.width() >= 500, timeout=SECONDS)


def test_a_window_that_was_larger_than_the_screen_is_brought_onto_it(
    qtbot: QtBot, settings: Settings, tmp_path: Path
) -> None:
    def opened() -> MainWindow:
        window = MainWindow(small_experiment(), tmp_path / "runs", settings)
        window.show()
        window.begin()
        qtbot.waitUntil(lambda: window.complete, timeout=SECONDS)
        return window

    first = opened()
    screen = first.screen().availableGeometry()
    first.setGeometry(300, 200, 2 * screen.width(), 2 * screen.height())
    close_window(qtbot, first)
    second = opened()
    assert screen.contains(second.geometry()), second.geometry()
    close_window(qtbot, second)


def test_a_layout_that_was_damaged_on_disk_is_not_given_to_qt(qapp: object, tmp_path: Path) -> None:
    file, docks = tmp_path / "window.ini", QByteArray(b"panels" * 20)
    saved = Layout(QByteArray(b"place"), docks, QSize(900, 700), ("log",), ())
    Settings(file).save_layout(saved)
    read = Settings(file).layout()
    assert read is not None and read.docks == docks
    copy = tmp_path / "copy.ini"
    copy.write_bytes(file.read_bytes().replace(b"panelspanels", b"panelspaneld", 1))
    assert Settings(copy).layout() is None
