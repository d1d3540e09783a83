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
    ("Zoom", "wheel, + and -"),
    ("Move", "arrow keys, or drag"),
    ("Show the whole layer", "Home, or double-click"),
    ("Pin a block", "click"),
    ("Pin another block beside it", "Ctrl+click"),
)
"""What the pictures of layers take that is no command of a menu."""

LISTS = (
    ("Time slider: the previous moment, the next, the first, the last", "arrow keys, Home, End"),
    ("List of pins: go to a pin, remove it", "arrow keys, Del"),
    ("Tab Layers: change the N:M of the chosen layers, remove it", "F2 or digits, Del"),
    ("Table of runs: unfold or fold the seeds of a row", "Right, Left"),
    ("Filter of the runs: offer words, take one, clear", "Down, Tab, Escape"),
    ("Tabs below Compare: go from view to view", "Left, Right"),
    (
        "Tree of forks: go from run to run, compare a fork with its parent",
        "Up, Down, Return",
    ),
    ("Matrix of masks: go from pair to pair, compare the masks of two runs", "arrow keys, Return"),
    ("Page Latency: measure", "Ctrl+M"),
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
