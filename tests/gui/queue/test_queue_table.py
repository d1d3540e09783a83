"""The table of the queue: what is left is in view."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from lbc.queue.entries import Entry
from lbc.queue.progress import Progress
from lbc_gui.queue.queue_table import Line, QueueTable
from tests.gui.conftest import SECONDS


def test_what_is_left_is_followed_while_it_is_in_view_and_nothing_is_chosen(qtbot: QtBot) -> None:
    table = QueueTable()
    qtbot.addWidget(table)
    table.resize(900, 90)

    def show(finished: int) -> None:
        table.show_lines([
            Line(
                Entry(at + 1, "run", "run", 4, state="finished" if at < finished else "waiting"),
                Progress(),
                "",
            )
            for at in range(40)
        ])  # fmt: skip

    show(15)  # before the table is first seen
    table.show()
    qtbot.waitUntil(lambda: table._shows(15), timeout=SECONDS)
    show(0)
    table.scrollToTop()
    for finished in (1, 2, 8, 20):
        show(finished)
        assert table._shows(finished)
    table.scrollToTop()  # by the user, who wants to see the results
    show(21)
    assert table.verticalScrollBar().value() == 0
    table.scrollTo(table.table.index(21, 0))
    table.choose([22])
    before = table.verticalScrollBar().value()
    show(39)
    show(40)
    assert table.verticalScrollBar().value() == before
