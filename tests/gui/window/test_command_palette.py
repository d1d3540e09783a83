"""Ctrl+K finds every command of the window, says why one is disabled, and runs the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QLineEdit, QMenu
from pytestqt.qtbot import QtBot
from shiboken6 import delete

from lbc_gui.help.command_palette import CommandPalette, rank
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS

Key, Modifier = Qt.Key, Qt.KeyboardModifier


@pytest.fixture
def window(use_window: Callable[..., MainWindow]) -> Iterator[MainWindow]:
    window = use_window()
    yield window
    for palette in window.findChildren(CommandPalette):
        palette.close()


def open_palette(qtbot: QtBot, window: MainWindow) -> CommandPalette:
    qtbot.keyClick(window, Key.Key_K, Modifier.ControlModifier)
    palette = window.findChild(CommandPalette)
    assert isinstance(palette, CommandPalette) and palette.isVisible()
    return palette


def rows(palette: CommandPalette) -> dict[str, str]:
    """The shortcuts by what is listed, from the first row to the last."""
    items = [palette.list.topLevelItem(at) for at in range(palette.list.topLevelItemCount())]
    return {item.text(0): item.text(1) for item in items if item is not None}


@pytest.mark.parametrize(
    ("sought", "better", "worse"),
    [
        ("pic", "File → Save picture", "View → Topics"),
        ("save", "File → Save data", "View → Unsaved edits"),
        ("opru", "File → Open a run", "View → Overlap everything round us"),
        ("run open", "File → Open a run", "Run → Stop opening"),
        ("ÉT", "étape", "le étape"),
    ],
)
def test_the_better_match_comes_first(sought: str, better: str, worse: str) -> None:
    first, second = rank(sought, better), rank(sought, worse)
    assert first is not None
    assert second is None or first <= second
    assert rank(sought + "x", better) is None
    assert rank("", better) == 0


def test_every_command_is_listed_with_its_shortcut(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: window.complete, timeout=SECONDS)
    palette = open_palette(qtbot, window)
    listed = rows(palette)
    assert listed["File → Open experiment"] == "Ctrl+O"
    assert listed["View → Theme → System  ✓"] == ""
    assert listed["View → Experiment  ✓"] == ""
    assert any(one.startswith("Runs → Archive — Select a run") for one in listed)
    commands = {
        action.text().replace("&", "").removesuffix("…")
        for menu in window.findChildren(QMenu)
        for action in menu.actions()
        if action.text() and action.menu() is None
    }
    said = "\n".join(listed)
    assert len(commands) > 60
    assert not [command for command in commands if command not in said]
    qtbot.keyClick(palette.line, Key.Key_Escape)
    assert not palette.isVisible()


def test_no_two_commands_have_the_same_name_and_none_is_of_pyqtgraph(
    qtbot: QtBot, window: MainWindow
) -> None:
    qtbot.waitUntil(lambda: window.complete, timeout=SECONDS)
    for page in range(window.pages.count()):
        window.pages.setCurrentIndex(page)
        qtbot.wait(50)
    palette = open_palette(qtbot, window)
    items = [palette.list.topLevelItem(at) for at in range(palette.list.topLevelItemCount())]
    listed = [item.text(0) for item in items if item is not None]
    assert "Latency → Cases → Copy rows" in listed
    assert "Scores → Score heatmap → Save picture" in listed
    assert {"Runs → Copy → As CSV", "Scores → Colour map → viridis"} <= {*listed}
    assert [name for name, count in Counter(listed).items() if count > 1] == []
    assert not [name for name in listed if "Export..." in name]


def test_what_is_gone_since_it_was_listed_is_listed_no_more(
    qtbot: QtBot, window: MainWindow
) -> None:
    menu = window.actions_.recent
    menu.addAction(QAction("Xylophone", menu))
    palette = open_palette(qtbot, window)
    qtbot.keyClicks(palette.line, "xyl")
    assert list(rows(palette)) == ["File → Open recent → Xylophone"]
    menu.clear()
    qtbot.keyClick(palette.line, Key.Key_Return)
    assert palette.isVisible()
    qtbot.keyClicks(palette.line, "o")
    assert not rows(palette)


def test_enter_runs_the_command_with_the_focus_where_it_was(
    qtbot: QtBot, window: MainWindow
) -> None:
    window.activateWindow()
    field = window.experiment_panel.form.editor("schedule.end")
    field.setFocus()
    qtbot.waitUntil(field.hasFocus, timeout=SECONDS)
    palette = open_palette(qtbot, window)
    assert palette.focusWidget() is palette.line  # where keys go that a person types
    qtbot.keyClicks(palette.line, "vary sett")
    qtbot.keyClick(palette.line, Key.Key_Return)
    panel = window.experiment_panel
    qtbot.waitUntil(lambda: hasattr(panel, "vary") and panel.vary.isVisible(), timeout=SECONDS)
    assert "schedule.end" in panel.vary.values
    panel.vary.hide()


def test_a_command_runs_also_if_what_had_the_focus_is_gone(
    qtbot: QtBot, window: MainWindow
) -> None:
    window.activateWindow()
    field = QLineEdit(window)
    field.show()
    field.setFocus()
    qtbot.waitUntil(field.hasFocus, timeout=SECONDS)
    palette = open_palette(qtbot, window)
    delete(field)
    qtbot.keyClicks(palette.line, "filter the runs")
    qtbot.keyClick(palette.line, Key.Key_Return)
    qtbot.waitUntil(lambda: window.pages.currentWidget() is window.pages.library, timeout=SECONDS)


def test_a_command_of_a_page_brings_it_to_the_front(qtbot: QtBot, window: MainWindow) -> None:
    palette = open_palette(qtbot, window)
    qtbot.keyClicks(palette.line, "filter the runs")
    qtbot.keyClick(palette.line, Key.Key_Return)
    library = window.pages.library
    line = library.filter.line
    qtbot.waitUntil(lambda: window.focusWidget() is line, timeout=SECONDS)
    assert window.pages.currentWidget() is library


def test_arrows_choose_and_a_disabled_command_stays_and_says_why(
    qtbot: QtBot, window: MainWindow
) -> None:
    triggered: list[QAction] = []
    for action in (window.actions_.pause, window.actions_.tour):
        action.triggered.connect(lambda _=False, action=action: triggered.append(action))
    palette = open_palette(qtbot, window)
    qtbot.keyClicks(palette.line, "run pause")
    item = palette.list.topLevelItem(0)
    assert item is not None
    assert item.text(0) == "Run → Pause — Not possible while the run is ready"
    assert not item.flags() & Qt.ItemFlag.ItemIsEnabled
    qtbot.keyClick(palette.line, Key.Key_Return)
    assert palette.isVisible() and not triggered
    palette.line.setText("help")
    titles = list(rows(palette))
    for _ in range(titles.index("Help → Tour")):
        qtbot.keyClick(palette.line, Key.Key_Down)
    qtbot.keyClick(palette.line, Key.Key_Return)
    qtbot.waitUntil(lambda: triggered == [window.actions_.tour], timeout=SECONDS)
    assert QApplication.activePopupWidget() is None
    qtbot.mouseClick(window.help.tour.skip, Qt.MouseButton.LeftButton)
