"""Mouse and keys of the monkey.

``QTest.mouseClick``, ``mouseDClick`` and ``keyClick`` end the process if what is pressed opens a
menu or a dialog, and is deleted before that is closed: they release a widget that is no more. What
a user releases goes to the window.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

NONE = Qt.KeyboardModifier.NoModifier


def click(
    widget: QWidget,
    at: QPoint,
    modifier: Qt.KeyboardModifier = NONE,
    button: Qt.MouseButton = Qt.MouseButton.LeftButton,
) -> None:
    QTest.mousePress(widget, button, modifier, at)
    if isValid(widget):
        QTest.mouseRelease(widget, button, modifier, at)


def double_click(widget: QWidget, at: QPoint) -> None:
    click(widget, at)
    if isValid(widget):
        left, place = Qt.MouseButton.LeftButton, QPointF(at)
        kind, where = QEvent.Type.MouseButtonDblClick, widget.mapToGlobal(place)
        QApplication.sendEvent(widget, QMouseEvent(kind, place, where, left, left, NONE))
    if isValid(widget):
        QTest.mouseRelease(widget, Qt.MouseButton.LeftButton, NONE, at)


def drag(widget: QWidget, points: list[QPoint]) -> None:
    left = Qt.MouseButton.LeftButton
    QTest.mousePress(widget, left, NONE, points[0])
    for at in points[1:-1]:
        if isValid(widget):
            QTest.mouseMove(widget, at)
    if isValid(widget):
        QTest.mouseRelease(widget, left, NONE, points[-1])


def press_key(widget: QWidget, key: Qt.Key, modifier: Qt.KeyboardModifier = NONE) -> None:
    QTest.keyPress(widget, key, modifier)
    if isValid(widget):
        QTest.keyRelease(widget, key, modifier)


def enter(widget: QWidget, text: str) -> None:
    """Type a text in ASCII."""
    for letter in text:
        for action in (QTest.KeyAction.Press, QTest.KeyAction.Release):
            if isValid(widget):
                QTest.sendKeyEvent(action, widget, Qt.Key(ord(letter.upper())), letter, NONE)
