"""Buttons and combo boxes with a tooltip."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from PySide6.QtCore import SignalInstance
from PySide6.QtWidgets import QAbstractButton, QComboBox, QPushButton, QToolButton

from lbc_gui.widgets.text import plain

Clicked = Callable[..., object] | SignalInstance | None
"""The slot to call, or the signal to emit, when the button is clicked."""

B = TypeVar("B", bound=QAbstractButton)


def push_button(text: str, tip: str, clicked: Clicked = None) -> QPushButton:
    return _prepared(QPushButton(), text, tip, clicked)


def tool_button(text: str, tip: str, clicked: Clicked = None) -> QToolButton:
    return _prepared(QToolButton(), text, tip, clicked)


def combo_box(choices: Iterable[str], tip: str) -> QComboBox:
    box = QComboBox()
    box.addItems(list(choices))
    box.setToolTip(plain(tip))
    return box


def _prepared(button: B, text: str, tip: str, clicked: Any) -> B:
    button.setText(text)
    button.setToolTip(plain(tip))
    if clicked is not None:
        button.clicked.connect(clicked)
    return button
