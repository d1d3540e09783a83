"""The list of all columns, from which the user chooses those of the table."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPoint, QSignalBlocker, Qt, Signal, Slot
from PySide6.QtWidgets import QFrame, QLineEdit, QListWidget, QListWidgetItem, QWidget

from lbc_gui.library.arrangement import Arrangement
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.buttons import push_button
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.text import plain

WIDTH, HEIGHT = 260, 360


class ColumnList(QFrame):
    """Opens below a button and stays until the user clicks elsewhere."""

    chosen = Signal(str, bool)
    """The key of a column, and whether it is to be shown."""
    reset_wanted = Signal()
    """The user wants the columns that differ, and none chosen by hand."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.search = QLineEdit(placeholderText="Find a column", clearButtonEnabled=True)
        self.search.setAccessibleName("Find a column")
        self.search.textChanged.connect(self._find)
        self.list = QListWidget()
        self.list.setAccessibleName("Columns")
        self.list.itemChanged.connect(self._changed)
        tip = "Show the settings that differ between the runs, and hide those that are equal"
        reset = push_button("Those that differ", tip, self.reset_wanted)
        column(self.search, (self.list, 1), reset, on=self, margin=TIGHT)
        self.resize(WIDTH, HEIGHT)

    def open_at(self, place: QPoint, arrangement: Arrangement) -> None:
        self.show_choices(arrangement)
        self.search.clear()
        room = self.screen().availableGeometry()
        x = min(place.x(), room.right() - self.width())
        y = min(place.y(), room.bottom() - self.height())
        self.move(max(room.left(), x), max(room.top(), y))
        self.show()
        self.search.setFocus()

    def show_choices(self, arrangement: Arrangement) -> None:
        """List the columns by relevance, ticked where they are shown."""
        shown = {one.key for one in arrangement.columns}
        choices = arrangement.choices()
        keys = [one.key for one in choices]
        with QSignalBlocker(self.list):
            if keys != [item.data(Qt.ItemDataRole.UserRole) for item in self._items]:
                self.list.clear()
                for one in choices:
                    item = QListWidgetItem(one.title, self.list)
                    item.setData(Qt.ItemDataRole.UserRole, one.key)
                    item.setToolTip(plain(one.tip))
            for item, key in zip(self._items, keys, strict=True):
                ticked = Qt.CheckState.Checked if key in shown else Qt.CheckState.Unchecked
                item.setCheckState(ticked)

    @property
    def _items(self) -> Sequence[QListWidgetItem]:
        return [self.list.item(row) for row in range(self.list.count())]

    @Slot(QListWidgetItem)
    def _changed(self, item: QListWidgetItem) -> None:
        ticked = item.checkState() is Qt.CheckState.Checked
        self.chosen.emit(item.data(Qt.ItemDataRole.UserRole), ticked)

    @Slot(str)
    def _find(self, text: str) -> None:
        for item in self._items:
            item.setHidden(text.casefold() not in item.text().casefold())
