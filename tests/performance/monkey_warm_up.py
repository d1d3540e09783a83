"""What is built when it is first seen, and what grows up to a limit: it comes first, as neither is
growth without end."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QMenu, QTabWidget

from lbc_gui.run.log_panel import MOST_LINES
from lbc_gui.window.main_window import MainWindow
from tests.performance.window_watch import run_loop, wait_until


def menu_actions(window: MainWindow) -> list[QAction]:
    """The actions of the menu bar that are enabled."""
    menus = window.menuBar().findChildren(QMenu)
    return [at for menu in menus for at in menu.actions() if at.isEnabled()]


def close_top() -> bool:
    """Close the menu or dialog that waits for an answer, if any."""
    top = QApplication.activePopupWidget() or QApplication.activeModalWidget()
    if top is not None:
        top.close()
    return top is not None


def open_all(window: MainWindow) -> None:
    """Train twice, open every page and all tabs on it, trigger every action of the menus, and fill
    the log."""
    for _ in range(2):
        window.actions_.run.trigger()
        run_loop(0.5)
        wait_until(lambda: window.session.state.over, 60)
    window.pages.library.below.title.fold(False)
    for page in range(window.pages.count()):
        window.pages.setCurrentIndex(page)
        run_loop(0.5)
        for tabs in window.findChildren(QTabWidget):
            if tabs is window.pages or not tabs.isVisible():
                continue
            for tab in range(tabs.count()):
                tabs.setCurrentIndex(tab)
                run_loop(0.2)
    window.pages.setCurrentIndex(0)
    closing = QTimer(window, interval=100)
    closing.timeout.connect(close_top)  # also while a menu or dialog waits for an answer
    closing.start()
    for action in (window.timeline.fork, *menu_actions(window)):  # another run may have none
        if action.isEnabled():
            action.trigger()
            run_loop(0.2)
    closing.stop()
    for _ in range(MOST_LINES):
        window.log.say("One of the lines that are kept")
