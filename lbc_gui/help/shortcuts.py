"""Every keyboard shortcut, from the actions that have one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QDialog, QMainWindow, QWidget

from lbc_gui.theme import MARGIN
from lbc_gui.widgets.body_area import AROUND_DIALOG
from lbc_gui.widgets.commands import command_name, shown_keys
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.text import HtmlPage, html

PICTURES = (
    ("Zoom", "wheel, + and −"),
    ("Move", "arrow keys, or drag"),
    ("Show the whole layer", "Home, or double-click"),
    ("Pin a block", "click"),
    ("Pin another block beside it", "Ctrl+click"),
)
"""What the pictures of layers take that is no command of a menu."""

LISTS = (
    ("A moment back or on, the first, the last, on the time slider", "arrow keys, Home, End"),
    ("Go to a pin, remove it, in the list of pins", "arrow keys, Del"),
    ("Change the N:M of the chosen layers, take it back, in the tab Layers", "F2 or digits, Del"),
    ("Unfold or fold the seeds of a row, in the table of runs", "Right, Left"),
    ("Offer words, take one, clear, in the filter of the runs", "Down, Tab, Escape"),
    ("Go from view to view, in the tabs below Compare", "Left, Right"),
    (
        "Go from run to run, compare a fork with its parent, in the tree of forks",
        "Up, Down, Return",
    ),
    ("Go from pair to pair, compare the masks of two runs, in the matrix", "arrow keys, Return"),
    ("Measure, on the page Latency", "Ctrl+M"),
)
"""What lists and sliders take."""

WIDTH = 480

Section = tuple[str, Sequence[tuple[str, str]]]
"""A title, and the name and the keys of each command."""


def sections(window: QMainWindow) -> Iterator[Section]:
    """Every action of a window that has a shortcut, by menu; last those of single panels."""
    seen: list[QAction] = []
    for at in window.menuBar().actions():
        found = [one for one in _actions(at) if not one.shortcut().isEmpty()]
        seen += found
        if found:
            yield at.text().replace("&", ""), [_row(one) for one in found]
    others = (one for one in window.findChildren(QAction) if one not in seen)
    rows = dict.fromkeys(_row(one) for one in others if not one.shortcut().isEmpty())
    if rows:
        yield "Panels", list(rows)
    yield "Pictures", PICTURES
    yield "Lists", LISTS


def _actions(at: QAction) -> Iterator[QAction]:
    menu = at.menu()
    if not isinstance(menu, QWidget):
        yield at
        return
    for one in menu.actions():
        yield from _actions(one)


class ShortcutsDialog(QDialog):
    """Lists the shortcuts by menu, and what pictures take."""

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self.setWindowTitle("Keyboard shortcuts")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.text = HtmlPage("".join(_html(*section) for section in sections(window)))
        self.text.setAccessibleName("Keyboard shortcuts")
        column(self.text, on=self, margin=MARGIN)
        room = self.screen().availableSize().height() - AROUND_DIALOG.height()
        self.resize(WIDTH, min(640, room))


def _row(action: QAction) -> tuple[str, str]:
    return command_name(action), shown_keys(action)


def _html(title: str, rows: Sequence[tuple[str, str]]) -> str:
    lines = (html("<tr><td>{}</td><td align='right' nowrap>{}</td></tr>", *row) for row in rows)
    return html("<h4>{}</h4>", title) + "<table width='100%'>" + "".join(lines) + "</table>"
