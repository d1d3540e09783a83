"""The table of the queue: what is left is in view, and keys open a run."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from lbc.queue.entries import Entry, Queue
from lbc.queue.progress import Progress
from lbc_gui.queue.follower import QueueMoment
from lbc_gui.queue.queue_panel import QueuePanel
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


def test_return_opens_a_run_that_has_begun(qtbot: QtBot, tmp_path: Path) -> None:
    panel = QueuePanel(tmp_path)
    qtbot.addWidget(panel)
    begun, waiting = Entry(1, "a", "a", 4, state="running"), Entry(2, "b", "b", 4)
    panel.show_moment(QueueMoment(Queue(entries=(begun, waiting))))
    opened: list[Path] = []
    panel.opened.connect(opened.append)
    with qtbot.waitActive(panel):
        panel.show()
    panel.table.setFocus()
    for entry in (begun, waiting):
        row = panel.table.table.row_of(entry.id)
        place = panel.table.visualRect(panel.table.table.index(row or 0, 1)).center()
        qtbot.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        qtbot.keyClick(panel.table, Qt.Key.Key_Return)
    assert opened == [tmp_path / "a"]
