"""Every text on screen has the room that it needs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QStyle,
    QStyleOptionComboBox,
    QTabBar,
    QWidget,
)
from pytestqt.qtbot import QtBot

from lbc_gui.heatmap.key_legend import KeyLegend
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.buttons import combo_box
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS
from tests.gui.window.test_dock_layout import choose_page, click_block

Need = tuple[str, int, int]
"""A text, the pixels that it takes, and those that it has."""


def combo_needs(box: QComboBox) -> Iterator[Need]:
    option, style = QStyleOptionComboBox(), QStyle.SubControl.SC_ComboBoxEditField
    box.initStyleOption(option)
    part = QStyle.ComplexControl.CC_ComboBox
    room = box.style().subControlRect(part, option, style, box).width()
    yield box.currentText(), box.fontMetrics().horizontalAdvance(box.currentText()), room


def header_needs(header: QHeaderView) -> Iterator[Need]:
    across = header.orientation()
    for at in range(header.count() if across is Qt.Orientation.Horizontal else 0):
        title = str(header.model().headerData(at, across) or "")
        if not header.isSectionHidden(at):
            need = header.fontMetrics().horizontalAdvance(title) + 2 * TIGHT
            yield title, need, header.sectionSize(at)


def label_needs(label: QLabel) -> Iterator[Need]:
    if label.wordWrap():
        yield label.text(), label.heightForWidth(label.width()), label.height()
    elif label.text():
        yield label.text(), label.sizeHint().width(), label.width()


def tab_needs(bar: QTabBar) -> Iterator[Need]:
    for at in range(bar.count()):
        yield bar.tabText(at), bar.tabSizeHint(at).width(), bar.tabRect(at).width()
        yield bar.tabText(at), bar.tabRect(at).right(), bar.width()


def needs(widget: QWidget) -> Iterator[Need]:
    match widget:
        case KeyLegend():
            yield "legend", widget.heightForWidth(widget.width()), widget.height()
        case QComboBox():
            yield from combo_needs(widget)
        case QHeaderView():
            yield from header_needs(widget)
        case QLabel():
            yield from label_needs(widget)
        case QTabBar():
            yield from tab_needs(widget)
        case QAbstractButton() if widget.text():
            yield widget.text(), widget.sizeHint().width(), widget.width()
        case QLineEdit():
            text = widget.text() or widget.placeholderText()
            yield text, widget.fontMetrics().horizontalAdvance(text), widget.width() - TIGHT


def cut_texts(window: MainWindow) -> list[Need]:
    seen = (one for one in window.findChildren(QWidget) if not one.visibleRegion().isEmpty())
    return [need for widget in seen for need in needs(widget) if need[1] > need[2]]


def is_of_size(window: MainWindow, size: QSize) -> bool:
    return window.size() == size


def test_no_text_is_cut(qtbot: QtBot, window: MainWindow) -> None:
    click_block(qtbot, window)
    for size in (QSize(960, 1050), QSize(1280, 720), QSize(1280, 800), QSize(1900, 1050)):
        window.resize(size)
        qtbot.waitUntil(partial(is_of_size, window, size), timeout=SECONDS)
        for page in (1, 2, 3, 4, 0):
            choose_page(qtbot, window, page)
            qtbot.waitUntil(lambda: cut_texts(window) == [], timeout=SECONDS)
        for tab in (1, 0):
            window.block.tabs.setCurrentIndex(tab)
            qtbot.waitUntil(lambda: cut_texts(window) == [], timeout=SECONDS)


def test_a_narrow_combo_box_shows_that_its_text_is_cut(qtbot: QtBot) -> None:
    box, option = combo_box(("lead over next", "score"), ""), QStyleOptionComboBox()
    qtbot.addWidget(box)
    box.resize(90, 22)
    box.initStyleOption(option)
    assert box.shown_text(option) in ("lead ov…", "lead o…", "lead…", "lead …")
    assert box.currentText() == "lead over next"
    box.resize(400, 22)
    box.initStyleOption(option)
    assert box.shown_text(option) == "lead over next"
