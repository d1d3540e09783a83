"""Finds a command of any menu or page by a few letters of its name, and runs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, Slot
from PySide6.QtGui import QAction, QIcon, QKeyEvent, QPixmap
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QGraphicsScene,
    QHeaderView,
    QLineEdit,
    QMainWindow,
    QMenu,
    QTabWidget,
    QToolBar,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)
from shiboken6 import isValid

from lbc_gui.theme import MARGIN
from lbc_gui.turns import call_later
from lbc_gui.widgets.commands import command_name, shown_keys, why_disabled
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.text import plain

WIDTH, HEIGHT, TOP = 560, 420, 60
"""Pixels of the palette, and below the upper edge of the window."""

NOT_CONSECUTIVE = 10
"""The rank of letters that are not consecutive, to which their distance is added."""

_MOVES = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)


@dataclass(frozen=True)
class Command:
    """An action, and the names of the menus or the page around it."""

    action: QAction
    place: tuple[str, ...]
    page: QWidget | None = None
    """The page that has to be on screen for it."""

    @property
    def title(self) -> str:
        return " → ".join((*self.place, command_name(self.action)))


def rank(sought: str, title: str) -> int | None:
    """How well a title matches: 0 is best, None not at all.

    Each word that is sought must be in the title with all its letters in their order: best at the
    start of a word, then inside one, then with other letters between them.
    """
    text, total = title.casefold(), 0
    for word in sought.casefold().split():
        one = _rank_word(word, text)
        if one is None:
            return None
        total += one
    return total


def _rank_word(word: str, text: str) -> int | None:
    if f" {word}" in f" {text}":
        return 0
    if word in text:
        return 1
    best = None
    for start in (at for at, letter in enumerate(text) if letter == word[0]):
        at = start
        for letter in word[1:]:
            at = text.find(letter, at + 1)
            if at < 0:
                return best
        gaps = NOT_CONSECUTIVE + at - start + 1 - len(word)
        best = gaps if best is None else min(best, gaps)
    return best


def find_commands(window: QMainWindow, pages: QTabWidget) -> list[Command]:
    """Every command of the window: those of the menu bar, then those of panels and pages."""
    found = list(_in_menus(window.menuBar().actions(), ()))
    listed = {command.action for command in found}
    for action in window.findChildren(QAction):
        if action not in listed and _is_command(action):
            at = next((at for at in range(pages.count()) if _inside(action, pages.widget(at))), -1)
            named = action.parent() if at < 0 else None
            place = pages.tabText(at) if at >= 0 else _title(named)
            names = tuple(filter(None, (place, _menu_name(action))))
            found.append(Command(action, names, pages.widget(at)))
    count = Counter(command.title for command in found)
    return [_of_its_view(one) if count[one.title] > 1 else one for one in found]


def _menu_name(action: QAction) -> str:
    """The title of the menu that contains an action; empty if none does."""
    menus = [one for one in action.associatedObjects() if isinstance(one, QMenu)]
    return command_name(menus[0].menuAction()) if menus else ""


def _of_its_view(command: Command) -> Command:
    """The command with the name of its view, of which a page may have several."""
    view = command.action.parent()
    name = view.accessibleName() if isinstance(view, QWidget) else ""
    return replace(command, place=(*command.place, name)) if name else command


def _in_menus(actions: list[QAction], place: tuple[str, ...]) -> Iterator[Command]:
    for action in actions:
        menu = action.menu()
        if isinstance(menu, QMenu):
            yield from _in_menus(menu.actions(), (*place, command_name(action)))
        elif _is_command(action):
            yield Command(action, place)


def _is_command(action: QAction) -> bool:
    """Whether an action does something by itself.

    It is neither the switch of a toolbar nor in a menu of pyqtgraph, which is never shown.
    """
    nested = action.isSeparator() or isinstance(action.menu(), QMenu)
    listed = action.isVisible() and not isinstance(action.parent(), QToolBar | QGraphicsScene)
    return bool(action.text()) and listed and not nested


def _inside(child: QObject, widget: QWidget | None) -> bool:
    at: QObject | None = child
    while at is not None and at is not widget:
        at = at.parent()
    return at is not None


def _title(at: QObject | None) -> str:
    """The title of the panel around an object; empty if it is in none."""
    while at is not None and not isinstance(at, QMainWindow):
        if isinstance(at, QWidget) and at.windowTitle():
            return at.windowTitle()
        at = at.parent()
    return ""


class CommandPalette(QDialog):
    """A line to type into, and the commands that match, best first. Disabled ones say why."""

    def __init__(self, window: QMainWindow, pages: QTabWidget) -> None:
        super().__init__(window, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Command palette")
        self._pages, self._focused = pages, QApplication.focusWidget()
        self._commands = find_commands(window, pages)
        self.line = QLineEdit(clearButtonEnabled=True)
        self.line.setPlaceholderText("Type a part of a command; Enter runs it")
        self.line.setAccessibleName("Name of a command")
        self.line.textChanged.connect(self._show_matching)
        self.line.installEventFilter(self)
        self.list = QTreeWidget()
        self.list.setColumnCount(2)
        self.list.setRootIsDecorated(False)
        self.list.setHeaderHidden(True)
        self.list.setUniformRowHeights(True)
        self.list.setAccessibleName("Commands")
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys go to the line
        self.list.header().setStretchLastSection(False)
        self.list.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.list.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.list.itemClicked.connect(self._run_current)
        column(self.line, (self.list, 1), on=self, margin=MARGIN)
        self.line.setFocus(Qt.FocusReason.PopupFocusReason)  # a popup sends keys where its focus is
        self._show_matching("")
        self.resize(min(WIDTH, window.width()), min(HEIGHT, window.height() - TOP))
        self.move(window.mapToGlobal(QPoint((window.width() - self.width()) // 2, TOP)))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let keys that move in the list do so while the line has the focus."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            if event.key() in _MOVES:
                QApplication.sendEvent(self.list, event)
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._run_current()
                return True
        return super().eventFilter(watched, event)

    @Slot(str)
    def _show_matching(self, sought: str) -> None:
        # Menus, such as that of recent files, may have been filled anew since.
        self._commands = [one for one in self._commands if isValid(one.action)]
        ranked = [(rank(sought, one.title), one) for one in self._commands]
        matching = [(how, one) for how, one in ranked if how is not None]
        matching.sort(key=lambda item: item[0])
        self.list.clear()
        self.list.addTopLevelItems([_item(command) for _, command in matching])
        if (first := self.list.topLevelItem(0)) is not None:
            self.list.setCurrentItem(first)

    @Slot()
    def _run_current(self) -> None:
        """Close, give the focus back to what had it, and run the command on its page."""
        item = self.list.currentItem()
        command = item.data(0, Qt.ItemDataRole.UserRole) if item is not None else None
        if not isinstance(command, Command) or not isValid(command.action):
            return
        if not command.action.isEnabled():
            return
        self.close()
        if command.page is not None:
            self._pages.setCurrentWidget(command.page)
        focused = self._focused  # may be gone with what it belonged to, such as a card
        if focused is not None and isValid(focused) and focused.isVisible():
            focused.setFocus()
        # When the popup is closed: a command may open a menu or a dialog.
        call_later(command.action, command.action.trigger, 0)


def _item(command: Command) -> QTreeWidgetItem:
    action, why_not = command.action, why_disabled(command.action)
    none = QPixmap(16, 16)
    none.fill(Qt.GlobalColor.transparent)  # so that all names begin at the same place
    chosen = action.isCheckable() and action.isChecked()
    text = f"{command.title} — {why_not}" if why_not else command.title + "  ✓" * chosen
    item = QTreeWidgetItem([text, shown_keys(action)])
    item.setIcon(0, QIcon(none) if action.icon().isNull() else action.icon())
    item.setToolTip(0, plain(action.toolTip()))
    item.setData(0, Qt.ItemDataRole.UserRole, command)
    if not action.isEnabled():
        item.setFlags(Qt.ItemFlag.ItemIsSelectable)  # so that it can be read out, but not run
    return item
