"""The blocks that are pinned, of any layer: one is looked at, the others are at hand."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QFont, QKeyEvent
from PySide6.QtWidgets import QListWidget, QListWidgetItem, QWidget

from lbc.runs.events import LayerInfo
from lbc_gui.run.pinned_weights import Pin

MOST_ROWS = 4
"""Rows that are seen at a time."""


class PinList(QListWidget):
    """Pins in the order they were made; one that is not kept gives way to the next."""

    chosen = Signal(object)
    """Pin to go to, or None where the last was removed."""
    changed = Signal(object)
    """Tuple of all pins."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Pinned blocks")
        self.setToolTip(
            "Pinned blocks: click to go there, Delete to remove. In the heatmap Ctrl+click pins "
            "another; a pin in italics gives way to the next click"
        )
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._pins: list[Pin] = []
        self._loose: Pin | None = None
        self._current: Pin | None = None
        self.itemClicked.connect(self._clicked)
        self._list()

    @property
    def pins(self) -> tuple[Pin, ...]:
        return tuple(self._pins)

    @property
    def current(self) -> Pin | None:
        """The one that is looked at."""
        return self._current

    @property
    def kept(self) -> bool:
        """Whether the present pin stays when another block is clicked."""
        return self._current is not None and self._current != self._loose

    @Slot(object, bool)
    def pick(self, pin: Pin, beside: bool = False) -> None:
        """A block was clicked; ``beside`` keeps the pin there is."""
        if beside:
            self._loose = None
        if pin not in self._pins:
            if self._loose is None:
                self._pins.append(pin)
            else:
                self._pins[self._pins.index(self._loose)] = pin
            self._loose = pin
        self._current = pin
        self._list()

    @Slot()
    def keep(self) -> None:
        """Let the present pin stay when another block is clicked."""
        if self._current == self._loose:
            self._loose = None
            self._list()

    @Slot()
    def remove(self) -> None:
        """Take the present pin away and go to the one before it."""
        if self._current is None:
            return
        place = self._pins.index(self._current)
        self._drop([self._current])
        self._current = self._pins[max(place - 1, 0)] if self._pins else None
        self._list()
        self.chosen.emit(self._current)

    @Slot()
    def leave(self) -> None:
        """Look at none of them."""
        self._current = None
        self._list()

    def show_layers(self, layers: Iterable[LayerInfo]) -> None:
        """Another run: what is not in it is no longer pinned."""
        blocks = {info.name: info.blocks for info in layers}
        self._drop([pin for pin in self._pins if pin.block >= blocks.get(pin.layer, 0)])
        if self._current not in self._pins:
            self._current = None
        self._list()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.remove()
            return
        super().keyPressEvent(event)
        row = self.currentRow()
        if 0 <= row < len(self._pins) and self._pins[row] != self._current:
            self._go(row)

    @Slot(QListWidgetItem)
    def _clicked(self, item: QListWidgetItem) -> None:
        self._go(self.row(item))

    def _go(self, row: int) -> None:
        self._current = self._pins[row]
        self.chosen.emit(self._current)

    def _drop(self, pins: list[Pin]) -> None:
        self._pins = [pin for pin in self._pins if pin not in pins]
        if self._loose in pins:
            self._loose = None

    def _list(self) -> None:
        self.clear()
        for pin in self._pins:
            item = QListWidgetItem(pin.text)
            item.setToolTip(pin.text)
            font = QFont(self.font())
            font.setItalic(pin == self._loose)
            item.setFont(font)
            self.addItem(item)
        if self._current is not None:
            self.setCurrentRow(self._pins.index(self._current))
        self.setVisible(len(self._pins) > 1)
        rows = min(len(self._pins), MOST_ROWS)
        self.setFixedHeight(max(rows, 1) * self.sizeHintForRow(0) + 2 * self.frameWidth() + 4)
        self.changed.emit(self.pins)
