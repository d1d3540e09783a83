"""A spin box that keeps what is typed: as the number that it says, or as text to be refused."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtGui import QValidator
from PySide6.QtWidgets import QAbstractSpinBox, QDoubleSpinBox

from lbc_gui.widgets.buttons import NoWheel

LARGEST, LARGEST_WHOLE = 1e300, 10**12
"""What the boxes can hold; larger ones stay text."""
DECIMALS = 30
Step = QAbstractSpinBox.StepEnabledFlag


def to_number(text: str, whole: bool = False) -> float | str:
    """The number in ``text``, whatever the desktop's language; what is none stays text."""
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if whole and number.is_integer() else number


def to_text(number: float) -> str:
    """A number the short way, 0.1, 1e-4 or 60, from which ``to_number`` reads the same one."""
    try:
        short = f"{number:g}"
    except OverflowError:  # a whole number of more than 308 digits
        return str(number)
    return short if float(short) == number else f"{number!r}"


class NumberBox(NoWheel, QDoubleSpinBox):
    """A number. Buttons and arrow keys do not go below ``least``, which is shown as ``word``.

    Qt's own boxes drop characters that they do not know, move a number into their range, and read
    it by the desktop's language: "0,25" becomes 25, and "-1" becomes 1.
    """

    def __init__(self, whole: bool = False, least: float = 0, word: str = "") -> None:
        super().__init__()
        self._whole, self._least, self._word = whole, least, word
        self._refused: str | None = None
        """The text in the box if it is not a number that the box can hold."""
        self.setDecimals(0 if whole else DECIMALS)
        largest = LARGEST_WHOLE if whole else LARGEST
        self.setRange(-largest, largest)
        if not whole:
            self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def entry(self) -> float | str:
        """The number in the box, or the text if it is none."""
        return self._number(self.lineEdit().text())

    def whole_number(self, name: str) -> int:
        """The number in the box. Raises ValueError if it holds none of ``least`` or more."""
        entry = self.entry()
        if isinstance(entry, int) and self._least <= entry <= self.maximum():
            return entry
        raise ValueError(f"{name} must be a whole number of at least {self._least}, not {entry!r}.")

    def enter(self, number: object) -> None:
        """Show a number, or the text of anything else, as ``entry`` returns it."""
        if isinstance(number, int | float) and self._fits(number):
            self._refused = None
            self.setValue(float(number))
        else:
            self._refused = to_text(number) if isinstance(number, float) else str(number)
            self.setValue(self.value())

    def on_change(self, changed: Callable[[], object]) -> None:
        """Call ``changed`` after every change, also to a text that is not a number."""
        self.valueChanged.connect(changed)
        self.lineEdit().textEdited.connect(changed)

    def textFromValue(self, value: float) -> str:
        return self._text(value) if self._refused is None else self._refused

    def valueFromText(self, text: str) -> float:
        number = self._number(text)
        if isinstance(number, str) or not self._fits(number):
            self._refused = text
            return self.value()
        self._refused = None
        return number

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        return QValidator.State.Acceptable, text, position

    def stepBy(self, steps: int) -> None:
        self._refused = None
        super().stepBy(steps)
        if self.value() < self._least:
            self.setValue(self._least)

    def stepEnabled(self) -> Step:
        down = Step.StepDownEnabled if self.value() > self._least else Step.StepNone
        return Step.StepUpEnabled | down

    def _fits(self, number: float) -> bool:
        return abs(number) <= self.maximum() and (not self._whole or float(number).is_integer())

    def _number(self, text: str) -> float | str:
        return int(self._least) if text and text == self._word else to_number(text, self._whole)

    def _text(self, number: float) -> str:
        if self._word and number == self._least:
            return self._word
        return str(int(number)) if self._whole else to_text(number)
