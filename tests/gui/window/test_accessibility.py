"""Everything has a name for those who cannot see it, and is reached by the keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QMenu,
    QScrollArea,
    QTabBar,
    QToolButton,
    QWidget,
)
from pytestqt.qtbot import QtBot

from lbc_gui.help.explanations import Explanation
from lbc_gui.help.tour import Tour
from lbc_gui.widgets.body_area import AROUND_PAGES, BodyArea, FittingArea
from lbc_gui.widgets.layouts import column
from lbc_gui.window.main_window import MainWindow
from tests.gui.accessibility import described, interactive, unnamed
from tests.gui.conftest import SECONDS
from tests.library.run_folders import write_run

MOST_WIDGETS = 200
Reached = list[QWidget | None]


@pytest.fixture
def window(use_window: Callable[..., MainWindow], qtbot: QtBot) -> MainWindow:
    window = use_window()
    qtbot.waitUntil(lambda: window.complete, timeout=SECONDS)
    return window


def build_all(qtbot: QtBot, window: MainWindow) -> None:
    """Build what is built when it is first shown: the comparisons of runs."""
    library = window.pages.library
    window.pages.setCurrentWidget(library)
    library.below.title.fold(False)
    library.comparison.start()
    for at in range(library.comparison.count()):
        library.comparison.setCurrentIndex(at)
        holder = library.comparison.widget(at)
        assert holder is not None
        qtbot.waitUntil(lambda holder=holder: holder.layout() is not None, timeout=SECONDS)  # type: ignore[misc]
    window.experiment_panel.form.menu.vary_requested.emit("optimizer.lr")
    window.actions_.tour.trigger()


def popups(window: MainWindow) -> Iterator[QWidget]:
    """Every popup of the window, open."""
    buttons = window.findChildren(QToolButton)
    for button in (one for one in buttons if one.accessibleName().startswith("Help on ")):
        button.click()
        yield button.findChildren(Explanation)[-1]
    window.pages.library._columns.click()
    yield window.pages.library.columns


def test_everything_has_a_name_and_pictures_say_what_they_show(
    qtbot: QtBot, window: MainWindow
) -> None:
    build_all(qtbot, window)
    assert len(list(interactive(window))) > 150
    assert unnamed(window) == []
    window.findChildren(Tour)[0].end()
    for popup in popups(window):
        assert popup.isVisible() and unnamed(popup) == []
        popup.close()
    for action in (
        *(window.actions_.about, window.actions_.palette, window.actions_.shortcuts),
        *(window.actions_.open_server, window.actions_.compare),
    ):
        action.trigger()
        dialogs = [at for at in window.findChildren(QDialog) if at.isVisible()]
        assert len(dialogs) == 1 and unnamed(dialogs[0]) == []
        dialogs[0].close()
        qtbot.waitUntil(dialogs[0].isHidden, timeout=SECONDS)


def shows_focus(window: MainWindow, widget: QWidget) -> bool:
    """Whether a widget is in the window, and looks different while it has the focus."""
    inside = window.rect().intersects(QRect(widget.mapTo(window, QPoint(0, 0)), widget.size()))
    plain = type(widget) is QScrollArea or isinstance(widget, BodyArea)
    return inside and (not plain or widget.objectName() == "card")


@pytest.mark.parametrize("page", range(6))
def test_tab_reaches_everything_on_a_page_and_returns(
    qtbot: QtBot, window: MainWindow, page: int
) -> None:
    if window.pages.widget(page) is window.pages.library:
        for seed in range(3):
            write_run(window._runs / f"seed{seed}", {"seed": seed})
    window.pages.setCurrentIndex(page)
    QApplication.processEvents()
    window.activateWindow()
    if window.pages.currentWidget() is window.pages.library:
        rows = window.pages.library.table.model().rowCount
        qtbot.waitUntil(lambda: rows() == 3, timeout=SECONDS)
    wanted = {
        widget
        for widget in interactive(window)
        if widget.isVisible()
        and widget.isEnabled()
        and widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and widget.focusProxy() is None
    }
    reached: Reached = []
    lost: list[QWidget] = []
    while QApplication.focusWidget() not in reached and len(reached) < MOST_WIDGETS:
        reached.append(QApplication.focusWidget())
        QTest.keyClick(reached[-1] or window, Qt.Key.Key_Tab)
        now = QApplication.focusWidget()
        lost += [now] if now is not None and not shows_focus(window, now) else []
    assert len(reached) < MOST_WIDGETS
    assert [described(widget) for widget in lost] == []
    # From the last one Tab returns to the first: nothing holds the focus.
    assert reached.index(QApplication.focusWidget()) <= 1
    missed = [described(widget) for widget in wanted.difference(reached)]
    assert len(wanted) > 30 and missed == []
    # From the bar of the pages it goes through the page, then through what is around it.
    start = reached.index(window.pages.tabBar()) + 1
    shown = window.pages.currentWidget()
    inside = [at is not None and shown.isAncestorOf(at) for at in reached[start:] + reached[:start]]
    assert sum(inside) > 2 and inside == sorted(inside, reverse=True)
    back = QApplication.focusWidget()
    QTest.keyClick(back or window, Qt.Key.Key_Backtab)
    assert QApplication.focusWidget() is reached[-1]


def mnemonics(menu: QMenu) -> list[str]:
    texts = [action.text().replace("&&", "") for action in menu.actions() if action.text()]
    return [text[text.index("&") + 1].casefold() for text in texts if "&" in text]


def test_no_menu_has_a_mnemonic_twice(window: MainWindow) -> None:
    menus = {action.text(): menu_of(action) for action in window.menuBar().actions()}
    assert len({text[text.index("&") + 1] for text in menus}) == len(menus) > 5
    for menu in (menu for menu in window.findChildren(QMenu) if menu.actions()):
        letters = mnemonics(menu)
        assert len(letters) == len(set(letters)), (menu.title(), letters)


def menu_of(action: QAction) -> QMenu:
    menu = action.menu()
    assert isinstance(menu, QMenu)
    return menu


def test_no_page_needs_more_than_a_small_screen_at_150_per_cent(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    torch.save({"conv.weight": torch.rand(8, 4, 3, 3)}, tmp_path / "model.pt")
    window.inspecting.open([tmp_path / "model.pt"])
    qtbot.waitUntil(lambda: window.pages.inspector.layer.picture is not None, timeout=SECONDS)
    for page in range(window.pages.count()):
        window.pages.setCurrentIndex(page)
        QApplication.processEvents()
        needed = window.minimumSizeHint()
        assert needed.width() <= 1280 / 1.5 and needed.height() <= 800 / 1.5, page


def test_what_does_not_fit_on_the_screen_can_be_scrolled_to(qtbot: QtBot) -> None:
    body = QWidget()
    area = FittingArea(body, AROUND_PAGES)
    qtbot.addWidget(area)
    wide = QWidget()  # whose least size the style sheet leaves alone
    wide.setMinimumSize(500, 300)
    column(wide, on=body)
    area.resize(200, 100)
    area.show()
    bars = area.horizontalScrollBar(), area.verticalScrollBar()
    qtbot.waitUntil(lambda: all(bar.maximum() > 100 for bar in bars), timeout=SECONDS)
    area.resize(600, 400)
    qtbot.waitUntil(lambda: not any(bar.maximum() for bar in bars), timeout=SECONDS)
    room = area.screen().availableSize() - AROUND_PAGES
    wide.setMinimumSize(room.width() + 1, 200)
    qtbot.waitUntil(lambda: body.minimumSizeHint().width() > room.width(), timeout=SECONDS)
    assert area.minimumSizeHint().width() == room.width()


def test_the_focus_is_visible_on_every_kind_of_widget(window: MainWindow) -> None:
    window.activateWindow()
    visible: dict[str, bool] = {}
    for page in range(window.pages.count()):
        window.pages.setCurrentIndex(page)
        QApplication.processEvents()
        for widget in [*interactive(window), *window.findChildren(QTabBar)]:
            kind, takes = type(widget).__name__, widget.focusPolicy() & Qt.FocusPolicy.TabFocus
            if kind not in visible and takes and widget.isVisible() and widget.isEnabled():
                window.menuBar().setFocus()
                before = widget.grab().toImage()
                widget.setFocus(Qt.FocusReason.TabFocusReason)
                visible[kind] = widget.grab().toImage() != before
    assert len(visible) > 10
    assert [kind for kind, seen in visible.items() if not seen] == []
