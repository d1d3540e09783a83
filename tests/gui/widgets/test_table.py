"""One kind of table lists rows of values: chosen, sorted, edited, and refreshed in place."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PySide6.QtCore import QSortFilterProxyModel, Qt
from PySide6.QtWidgets import QApplication, QLineEdit, QTabWidget, QWidget
from pytestqt.qtbot import QtBot

from lbc_gui.theme import apply_theme
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.table import Column, TableModel, TableView
from tests.gui.conftest import SECONDS


@dataclass(frozen=True)
class Fruit:
    name: str
    grams: int


COLUMNS: tuple[Column[Fruit], ...] = (
    Column("fruit", lambda row: row.name, edit=lambda row, text: replace(row, name=text)),
    Column("weight", lambda row: f"{row.grams} g", number=True, sort_key=lambda row: row.grams),
)
BASKET = [Fruit("apple", 90), Fruit("melon", 1200), Fruit("cherry", 8)]


def table(qtbot: QtBot, order: QSortFilterProxyModel | None = None) -> TableView[Fruit]:
    model = TableModel(COLUMNS, key=lambda row: row.name)
    view = TableView(model, "Fruit", stretch=0, order=order)
    qtbot.addWidget(view)
    view.table.show_rows(BASKET)
    view.show()
    return view


def test_the_chosen_row_stays_while_the_same_rows_change(qtbot: QtBot) -> None:
    view = table(qtbot)
    chosen: list[Fruit | None] = []
    view.chosen.connect(chosen.append)
    view.selectRow(1)
    assert chosen == [BASKET[1]]
    heavier = [replace(row, grams=2 * row.grams) for row in BASKET]
    view.table.show_rows(heavier)
    assert view.current == heavier[1]
    assert view.table.text(1, 1) == "2400 g"
    view.table.show_rows(BASKET[:2])  # other rows: nothing is chosen any more
    assert view.current is None and chosen[-1] is None


def test_tab_leaves_a_table(qtbot: QtBot) -> None:
    form, before, after = QWidget(), QLineEdit(), QLineEdit()
    qtbot.addWidget(form)
    view = table(qtbot)
    column(before, view, after, on=form)
    form.show()
    view.setFocus()
    view.selectRow(0)
    qtbot.keyClick(view, Qt.Key.Key_Tab)
    assert form.focusWidget() is after
    view.setFocus()
    qtbot.keyClick(view, Qt.Key.Key_Backtab)
    assert form.focusWidget() is before


def test_rows_are_sorted_by_their_key_and_chosen_where_they_are_shown(qtbot: QtBot) -> None:
    order = QSortFilterProxyModel()
    view = table(qtbot, order)
    view.setSortingEnabled(True)
    view.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    shown = [order.index(row, 1).data() for row in range(3)]
    assert shown == ["8 g", "90 g", "1200 g"]  # not as texts
    view.selectRow(2)
    assert view.current == BASKET[1]
    order.setFilterFixedString("cherry")
    assert order.rowCount() == 1
    assert view.current == BASKET[2]


def test_a_typed_text_is_in_the_row_that_is_handed_on(qtbot: QtBot) -> None:
    view = table(qtbot)
    edited: list[Fruit] = []
    view.table.edited.connect(edited.append)
    assert not view.table.index(0, 1).flags() & Qt.ItemFlag.ItemIsEditable
    view.edit(view.table.index(0, 0))
    (editor,) = view.findChildren(QLineEdit)
    editor.setText("pear")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: edited == [Fruit("pear", 90)], timeout=SECONDS)
    assert view.table.text(0, 0) == "pear"


def test_titles_are_as_small_as_rows_in_every_theme(qtbot: QtBot) -> None:
    tabs = QTabWidget()
    qtbot.addWidget(tabs)
    view = table(qtbot)
    for theme in ("dark", "light"):
        apply_theme(theme)
        tabs.addTab(view, "Fruit")  # Qt takes fonts from headers then
        title = view.model().headerData(0, Qt.Orientation.Horizontal, Qt.ItemDataRole.FontRole)
        assert title.pointSizeF() == view.font().pointSizeF() < QApplication.font().pointSizeF()
