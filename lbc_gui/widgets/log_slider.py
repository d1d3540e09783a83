"""A slider with a box beside it, for whole numbers over several orders of magnitude."""

from __future__ import annotations

from bisect import bisect_left

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QSlider, QWidget

from lbc_gui.widgets.buttons import NoWheel
from lbc_gui.widgets.layouts import row
from lbc_gui.widgets.number_boxes import NumberBox
from lbc_gui.widgets.text import plain

STEPS = 8
"""Steps of the slider for a factor of two, where there are as many whole numbers."""

BOX_WIDTH = 92


class _Slider(NoWheel, QSlider):
    pass


class LogSlider(QWidget):
    """A whole number from 1 to ``most``: the slider in equal ratios, the box any.

    ``value`` is None while the box holds something else.
    """

    changed = Signal()

    def __init__(self, name: str, most: int, tip: str) -> None:
        super().__init__()
        self._most = most
        self._last: float | str = 0
        octaves = most.bit_length() - 1
        self._values = sorted({round(2 ** (at / STEPS)) for at in range(octaves * STEPS + 1)})
        self.slider = _Slider(Qt.Orientation.Horizontal)
        self.slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.slider.setRange(0, len(self._values) - 1)
        self.slider.setPageStep(STEPS)
        self.box = NumberBox(whole=True, least=1)
        self.box.setFixedWidth(BOX_WIDTH)
        for editor in (self.slider, self.box):
            editor.setToolTip(plain(tip))
        self.name(name)
        self.slider.valueChanged.connect(self._slid)
        self.box.on_change(self._typed)
        row((self.slider, 1), self.box, on=self)
        self.setFocusProxy(self.slider)

    @property
    def value(self) -> int | None:
        number = self.box.entry()
        fits = isinstance(number, int) and 1 <= number <= self._most
        return int(number) if fits else None

    def name(self, name: str) -> None:
        """Name the number for those who cannot see its label."""
        self.slider.setAccessibleName(name)
        self.box.setAccessibleName(name)

    def enter(self, value: int) -> None:
        self.box.enter(value)

    @Slot(int)
    def _slid(self, at: int) -> None:
        self.box.enter(self._values[at])

    @Slot()
    def _typed(self, *_: object) -> None:
        entry, value = self.box.entry(), self.value
        if entry == self._last:
            return
        self._last = entry
        if value is not None:
            self.slider.blockSignals(True)  # it cannot show every number, and must not round it
            self.slider.setValue(min(bisect_left(self._values, value), len(self._values) - 1))
            self.slider.blockSignals(False)
        self.changed.emit()
