"""Buttons and combo boxes with a tooltip, and editors that the wheel does not change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from PySide6.QtCore import QSize, Qt, SignalInstance, Slot
from PySide6.QtGui import QPaintEvent, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QPushButton,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolButton,
)

from lbc_gui.icons import icon
from lbc_gui.theme import GAP
from lbc_gui.widgets.text import plain

Clicked = Callable[..., object] | SignalInstance | None
"""The slot to call, or the signal to emit, when the button is clicked."""

MOST_VISIBLE = 20
"""Choices that a list shows without scrolling."""

LEAST_WIDTH = 56
"""Pixels of a combo box that may be narrower than its choices."""

B = TypeVar("B", bound=QAbstractButton)


def push_button(text: str, tip: str, clicked: Clicked = None) -> QPushButton:
    return _prepared(QPushButton(), text, tip, clicked)


def tool_button(text: str, tip: str, clicked: Clicked = None, icon_name: str = "") -> QToolButton:
    """With an icon the text is not shown, but read to those who cannot see it."""
    button = _prepared(QToolButton(), text, tip, clicked)
    if icon_name:
        button.setIcon(icon(icon_name))
    return button


class NoWheel:
    """An editor that the wheel does not change: it scrolls what is around the editor.

    An override, not an event filter, which would be called for every event of every editor.
    """

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class ComboBox(NoWheel, QComboBox):
    """Ends with an ellipsis what its width cuts, or cuts its end where it is edited; in the list
    every choice is whole."""

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.currentIndexChanged.connect(self._show_start)

    def minimumSizeHint(self) -> QSize:
        return QSize(LEAST_WIDTH, self.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._show_start()

    @Slot()
    def _show_start(self, _index: int = 0) -> None:
        line = self.lineEdit()
        if line is not None and not line.hasFocus():
            line.setCursorPosition(0)

    def shown_text(self, option: QStyleOptionComboBox) -> str:
        """The text with an ellipsis where the room of ``option`` cuts it."""
        control, part = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
        room = self.style().subControlRect(control, option, part, self).width()
        return self.fontMetrics().elidedText(self.currentText(), Qt.TextElideMode.ElideRight, room)

    def paintEvent(self, event: QPaintEvent) -> None:
        option, painter = QStyleOptionComboBox(), QStylePainter(self)
        self.initStyleOption(option)
        option.currentText = self.shown_text(option)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def showPopup(self) -> None:
        self.view().setMinimumWidth(self.view().sizeHintForColumn(0) + 2 * GAP)
        super().showPopup()


def combo_box(choices: Iterable[str], tip: str) -> ComboBox:
    box = ComboBox()
    box.addItems(list(choices))
    box.setMaxVisibleItems(MOST_VISIBLE)
    box.setToolTip(plain(tip))
    box.setAccessibleName(tip.partition(": ")[0])
    return box


def make_editable(box: QComboBox) -> None:
    """Let the user type a choice that is not listed.

    Qt would complete it to the first one listed that begins so: 1:1 became 1:16.
    """
    box.setEditable(True)
    box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
    box.setCompleter(None)  # type: ignore[arg-type]  # which Qt allows


def _prepared(button: B, text: str, tip: str, clicked: Any) -> B:
    button.setText(text)
    button.setToolTip(plain(tip))
    if clicked is not None:
        button.clicked.connect(clicked)
    return button
