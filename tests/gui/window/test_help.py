"""Help in the window: shortcuts, tour, words, and the explanation of a cell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import get_args
from zipfile import ZipFile

import pytest
import torch
from PySide6.QtCore import QObject, QPoint, Qt, QUrl, Slot, qVersion
from PySide6.QtGui import QAction, QDesktopServices
from PySide6.QtWidgets import QApplication, QDockWidget, QMenu, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from lbc_gui.help.about import AboutDialog
from lbc_gui.help.documentation import find_documentation, open_documentation
from lbc_gui.help.explanations import WORDS, Explanation, Panel
from lbc_gui.help.shortcuts import ShortcutsDialog, sections
from lbc_gui.settings import Settings
from lbc_gui.widgets.commands import command_name
from lbc_gui.window.main_window import MainWindow
from tests.docs.pages import PAGES
from tests.gui.conftest import SECONDS, close_window

Open = Callable[..., MainWindow]
LEFT, Key = Qt.MouseButton.LeftButton, Qt.Key


@pytest.fixture
def window(use_window: Open) -> MainWindow:
    return use_window()


def test_the_list_of_shortcuts_has_every_command(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.keyClick(window, Key.Key_F1)
    dialog = window.findChild(ShortcutsDialog)
    assert isinstance(dialog, ShortcutsDialog) and dialog.isVisible()
    actions = [one for one in window.findChildren(QAction) if not one.shortcut().isEmpty()]
    assert len(actions) > 30
    said = dialog.text.toPlainText()
    for action in actions:
        name, shortcut = action.text().replace("&", "").removesuffix("…"), action.shortcut()
        assert f"{name}\n{shortcut.toString()}\n" in f"{said}\n", name
    everywhere = Qt.ShortcutContext.WindowShortcut
    of_window = {
        one.shortcut().toString() for one in actions if one.shortcutContext() is everywhere
    }
    commands = {
        (one.text(), one.shortcut().toString(), None if one.shortcut().toString() in of_window
         else one.parent())
        for one in actions
    }  # fmt: skip
    assert len(commands) == len({(shortcut, panel) for _, shortcut, panel in commands})
    assert dialog.text.horizontalScrollBar().maximum() == 0  # the keys are at the right edge
    qtbot.waitUntil(dialog.text.hasFocus, timeout=SECONDS)
    qtbot.keyClick(dialog.text, Key.Key_PageDown)
    assert dialog.text.verticalScrollBar().value() > 0
    qtbot.keyClick(dialog, Key.Key_Escape)
    assert not dialog.isVisible()
    for title, rows in sections(window):
        assert f"## {title}\n" in PAGES["docs/keys.md"]
        for name, keys in rows:
            assert f"| {name} | {keys} |" in PAGES["docs/keys.md"]


def test_the_commands_that_the_documentation_names_are_in_the_menus(window: MainWindow) -> None:
    menus = {
        menu.title().replace("&", ""): [command_name(action) for action in menu.actions()]
        for menu in window.menuBar().findChildren(QMenu)
    }
    named = re.findall(rf"\*({'|'.join(menus)})\s→\s([^*]+)\*", " ".join(PAGES.values()))
    assert len(named) > 20
    for menu, command in named:
        assert " ".join(command.split()).removesuffix("…") in menus[menu]


class Browser(QObject):
    """Receives the addresses that the desktop is asked to open."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    @Slot(QUrl)
    def open(self, address: QUrl) -> None:
        self.opened.append(address.toLocalFile())


def test_the_documentation_opens_from_files(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    browser, page = Browser(), tmp_path / "a folder" / "index.html"
    QDesktopServices.setUrlHandler("file", browser, "open")  # type: ignore[arg-type]
    try:
        assert open_documentation(page) == ""
        assert browser.opened == [str(page)]
        found = find_documentation()
        window.actions_.documentation.trigger()
        assert browser.opened[1:] == [str(found)] * (found is not None)
        assert window.message.isVisible() == (found is None)
    finally:
        QDesktopServices.unsetUrlHandler("file")
    assert "make docs-build" in open_documentation(None)


def test_about_shows_and_copies_all_versions(qtbot: QtBot, window: MainWindow) -> None:
    window.actions_.about.trigger()
    dialog = window.findChild(AboutDialog)
    assert isinstance(dialog, AboutDialog) and dialog.isVisible()
    dialog.copy.click()
    copied = QApplication.clipboard().text()
    lines = dict(line.split(": ", 1) for line in copied.splitlines())
    assert lines["lbc-explorer"] == version("lbc-explorer")
    assert lines["torch"] == torch.__version__
    assert lines["CUDA of torch"] == (torch.version.cuda or "none")
    assert lines["Qt"].startswith(qVersion())
    assert {"python", "numpy", "pyqtgraph", "PySide6", "platform"} < set(lines)
    dialog.reject()


def test_diagnostics_are_saved_or_a_sentence_says_why_not(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    window.show_failure("The page fell over.", "Traceback: page")
    assert "Traceback: page" in caplog.text  # which goes to the log file of the application
    with qtbot.waitSignal(window.help.saving.said, timeout=SECONDS):
        window.help.save_diagnostics(tmp_path / "out.zip")
    assert window.message.text.endswith("out.zip. Read it before you send it.")
    with ZipFile(tmp_path / "out.zip") as archive:
        assert f"torch: {torch.__version__}" in archive.read("versions.txt").decode()
    with qtbot.waitSignal(window.help.saving.failed, timeout=SECONDS):
        window.help.save_diagnostics(tmp_path / "absent" / "out.zip")
    assert "absent/out.zip could not be written" in window.message.text
    window.message.hide()


def test_the_tour_points_at_five_widgets_and_can_be_skipped(
    qtbot: QtBot, window: MainWindow
) -> None:
    tour, strip = window.help.tour, window.help.strip
    qtbot.mouseClick(strip.tour, LEFT)
    assert strip.isHidden()
    seen = []
    for count in range(1, 6):
        qtbot.waitUntil(tour.isVisible, timeout=SECONDS)
        assert f"{count} of 5" in tour.text
        assert window.rect().contains(tour.geometry())
        seen.append(tour.lit)
        under = window.childAt(tour.lit.center())
        assert isinstance(under, QWidget) and under is not tour  # the shade lets clicks through
        qtbot.mouseClick(tour.next, LEFT)
    assert tour.isHidden()
    bar, form, timeline = (
        window.findChildren(QWidget, "run_bar")[0],
        window.experiment_panel,
        window.timeline,
    )
    for lit, widget in zip(
        seen, (form.form.pattern_box, bar, window.scores.heatmap, None, timeline), strict=True
    ):
        if widget is not None:
            assert lit.topLeft() == widget.mapTo(window, QPoint(0, 0))
            assert lit.size() == widget.size()
    window.actions_.tour.trigger()
    assert tour.isVisible()
    qtbot.keyClick(QApplication.focusWidget() or tour.next, Key.Key_Escape)
    assert tour.isHidden()
    docks = {dock.windowTitle(): dock for dock in window.findChildren(QDockWidget)}
    for hide in (docks["Experiment"].close, partial(behind, window, docks)):
        hide()
        window.actions_.tour.trigger()
        box = window.experiment_panel.form.pattern_box
        qtbot.waitUntil(lambda: not box.visibleRegion().isEmpty(), timeout=SECONDS)  # noqa: B023
        at = box.mapTo(window, QPoint(0, 0))
        qtbot.waitUntil(lambda: tour.lit.topLeft() == at, timeout=SECONDS)  # noqa: B023
        qtbot.mouseClick(tour.skip, LEFT)
        assert tour.isHidden()
    window._dock_layout.reset()


def behind(window: MainWindow, docks: Mapping[str, QDockWidget]) -> None:
    """Put the form behind the block, as in a narrow window."""
    docks["Block"].show()
    window.tabifyDockWidget(docks["Experiment"], docks["Block"])
    docks["Block"].raise_()
    QApplication.processEvents()


@pytest.mark.parametrize("panel", get_args(Panel))
def test_the_words_of_a_panel_are_three_sentences(panel: Panel) -> None:
    text = re.sub("<[^>]*>", "", WORDS[panel])
    assert len(re.findall(r"[.?!](?:\s|$)", text)) == 3


def test_every_panel_explains_its_words(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: hasattr(window.pages, "latency"), timeout=SECONDS)
    buttons = {
        button.accessibleName().removeprefix("Help on "): button
        for button in window.findChildren(QToolButton)
        if button.text() == "?"
    }
    assert set(buttons) == set(get_args(Panel))
    qtbot.mouseClick(buttons["Scores"], LEFT)

    popup = QApplication.activePopupWidget()
    assert isinstance(popup, Explanation)
    assert "<b>lead</b>" in popup.text()
    qtbot.keyClick(popup, Key.Key_Escape)
    assert QApplication.activePopupWidget() is None


def test_the_explanation_of_a_cell_is_dismissed_for_good(
    qtbot: QtBot, open_window: Open, settings: Settings
) -> None:
    first = open_window()
    assert first.help.strip.isVisible()
    first.pages.setCurrentIndex(3)
    assert first.help.strip.isHidden()  # there are no cells on this page
    first.pages.setCurrentIndex(0)
    first.show_failure("The disk is full.", "")
    assert first.help.strip.isHidden()  # one bar is enough above the picture
    qtbot.mouseClick(first.message._dismiss, LEFT)
    assert first.help.strip.isVisible()
    assert not Settings(settings.path).introduced  # another window would show it
    qtbot.mouseClick(first.help.strip.dismiss, LEFT)
    assert first.help.strip.isHidden()
    close_window(qtbot, first)
    assert open_window().help.strip.isHidden()
