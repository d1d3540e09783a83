"""The list of pinned blocks, of any layer."""

from __future__ import annotations

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QFont, QKeyEvent
from PySide6.QtWidgets import QListWidget, QListWidgetItem

from lbc_gui.run.view_state import View, ViewState
from lbc_gui.widgets.text import plain

MOST_ROWS = 4
"""Rows that are seen at a time."""


class PinList(QListWidget):
    """The pins in the order they were made; visible if there are several."""

    def __init__(self, state: ViewState) -> None:
        super().__init__()
        self._state = state
        self.setAccessibleName("Pinned blocks")
        self.setToolTip(
            "Pinned blocks: click to go there, Delete to remove. In the heatmap Ctrl+click pins "
            "another; a pin in italics is replaced by the next click"
        )
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.itemClicked.connect(self._clicked)
        state.changed.connect(self._show_view)
        self._list()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Delete:
            self._state.remove_pin()
            return
        super().keyPressEvent(event)
        row, pins = self.currentRow(), self._state.view.pins
        if 0 <= row < len(pins.all) and pins.all[row] != pins.current:
            self._state.go_to_pin(pins.all[row])

    @Slot(QListWidgetItem)
    def _clicked(self, item: QListWidgetItem) -> None:
        self._state.go_to_pin(self._state.view.pins.all[self.row(item)])

    @Slot(object, object)
    def _show_view(self, before: View, view: View) -> None:
        if view.pins != before.pins:
            self._list()

    def _list(self) -> None:
        pins = self._state.view.pins
        self.clear()
        for number, pin in enumerate(pins.all, 1):
            item = QListWidgetItem(f"{number} · {pin.text}")
            item.setToolTip(plain(pin.text))
            font = QFont(self.font())
            font.setItalic(pin == pins.temporary)
            item.setFont(font)
            self.addItem(item)
        if pins.current is not None:
            self.setCurrentRow(pins.all.index(pins.current))
        self.setVisible(len(pins.all) > 1)
        rows = min(len(pins.all), MOST_ROWS)
        self.setFixedHeight(max(rows, 1) * self.sizeHintForRow(0) + 2 * self.frameWidth() + 4)
