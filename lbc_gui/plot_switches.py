"""The settings of pyqtgraph's plots, which it keeps in the widgets of a context menu.

No plot of the window shows that menu. Its 41 widgets take half of the time in which a plot is
built, and every change of the theme would restyle them.
"""

from __future__ import annotations

from collections.abc import Callable

from pyqtgraph.graphicsItems.PlotItem import plotConfigTemplate_generic
from PySide6.QtWidgets import QWidget

MAXIMUM = 255
"""Of the numbers that are opacities."""

DEFAULTS = {
    "alphaSlider": MAXIMUM, "gridAlphaSlider": 128, "downsampleSpin": 1, "peakRadio": 1,
    "autoDownsampleCheck": 1, "autoPointsCheck": 1,
}  # fmt: skip
"""What is not 0 or unchecked."""


class Switch:
    """A check box, slider or list, and its signals."""

    def __init__(self, value: int = 0) -> None:
        self._value = value
        self._slots: list[Callable[[], object]] = []
        self.toggled = self.valueChanged = self.itemClicked = self

    def connect(self, slot: Callable[[], object]) -> None:
        self._slots.append(slot)

    def value(self) -> int:
        return self._value

    def maximum(self) -> int:
        return MAXIMUM

    def setValue(self, value: int) -> None:
        if value != self._value:
            self._value = value
            for slot in self._slots:
                slot()

    isChecked, setChecked = value, setValue  # noqa: N815

    def clear(self) -> None:
        """The list of what curves are averaged over is always empty."""


class Group(QWidget):
    """What the menu would open. It is checked or not for good."""

    def __init__(self, checked: bool) -> None:
        super().__init__()
        self._checked, self.toggled = checked, Switch()

    def isChecked(self) -> bool:
        return self._checked


class Switches:
    """All of one plot, instead of pyqtgraph's form."""

    def setupUi(self, form: QWidget) -> None:
        self.averageGroup, others = Group(False), Group(True)
        self.transformGroup = self.decimateGroup = self.alphaGroup = others
        self.gridGroup = self.pointsGroup = others

    def __getattr__(self, name: str) -> Switch:
        switch = Switch(DEFAULTS.get(name, 0))
        setattr(self, name, switch)
        return switch


def use_switches() -> None:
    """Build every plot from now on with ``Switches``."""
    plotConfigTemplate_generic.Ui_Form = Switches
