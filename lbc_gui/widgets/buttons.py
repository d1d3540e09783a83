"""Buttons and combo boxes with a tooltip, and editors that the wheel does not change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from PySide6.QtCore import QEvent, QObject, QSize, Qt, SignalInstance, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QPushButton,
    QStyle,
    QStyleOptionComboBox,
    QToolButton,
    QWidget,
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


class ComboBox(QComboBox):
    """Ends with an ellipsis what its width cuts, or cuts its end where it is edited; in the list
    every choice is whole."""

    def __init__(self) -> None:
        super().__init__()
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

    def initStyleOption(self, option: QStyleOptionComboBox) -> None:
        super().initStyleOption(option)
        style, part = self.style(), QStyle.SubControl.SC_ComboBoxEditField
        room = style.subControlRect(QStyle.ComplexControl.CC_ComboBox, option, part, self)
        option.currentText = self.fontMetrics().elidedText(
            self.currentText(), Qt.TextElideMode.ElideRight, room.width()
        )

    def showPopup(self) -> None:
        self.view().setMinimumWidth(self.view().sizeHintForColumn(0) + 2 * GAP)
        super().showPopup()


def combo_box(choices: Iterable[str], tip: str) -> QComboBox:
    box = ComboBox()
    box.addItems(list(choices))
    box.setMaxVisibleItems(MOST_VISIBLE)
    box.setToolTip(plain(tip))
    box.setAccessibleName(tip.partition(":")[0])
    ignore_wheel(box)
    return box


def ignore_wheel(editor: QWidget) -> None:
    """Let the wheel over ``editor`` scroll what is around it, and never change its value."""
    editor.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    editor.installEventFilter(_WheelFilter(editor))


class _WheelFilter(QObject):
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() != QEvent.Type.Wheel:
            return False
        event.ignore()
        return True


def _prepared(button: B, text: str, tip: str, clicked: Any) -> B:
    button.setText(text)
    button.setToolTip(plain(tip))
    if clicked is not None:
        button.clicked.connect(clicked)
    return button
