"""What a user acts on, and whether it has a name for those who cannot see it."""

from __future__ import annotations

from collections.abc import Iterator

from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QGraphicsView,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QScrollBar,
    QTabBar,
    QWidget,
)

INTERACTIVE = (
    *(QAbstractButton, QLineEdit, QComboBox, QAbstractSpinBox, QAbstractSlider),
    *(QAbstractItemView, QPlainTextEdit, QGraphicsView),
)
EDITORS = (QLineEdit, QComboBox, QAbstractSpinBox)
"""Qt takes their values for their names."""
COMPOUND = (QComboBox, QAbstractSpinBox, QLineEdit, QTabBar)
"""The parts of these are not reached by themselves."""


def parents(widget: QWidget) -> Iterator[QWidget]:
    at = widget.parentWidget()
    while at is not None:
        yield at
        at = at.parentWidget()


def interactive(within: QWidget) -> Iterator[QWidget]:
    """The widgets that a user acts on, and the pictures; no part of another one."""
    for widget in within.findChildren(QWidget):
        own = type(widget).__module__.startswith("lbc_gui")
        by_tab = widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        # The text of a label is its name, and tab widgets leave the focus to their tabs.
        takes_keys = own and by_tab and not (isinstance(widget, QLabel) or widget.focusProxy())
        internal = isinstance(widget, QScrollArea | QScrollBar | QHeaderView) or (
            widget.objectName().startswith("qt_")
            or any(isinstance(at, COMPOUND) for at in list(parents(widget))[:2])
        )
        if not internal and (isinstance(widget, INTERACTIVE) or takes_keys):
            yield widget


def described(widget: QWidget) -> str:
    at = [widget, *parents(widget)][:4]
    return " in ".join(f"{type(one).__name__} {one.objectName()}".strip() for one in at)


def unnamed(within: QWidget) -> list[str]:
    """The widgets without a name, and the pictures that do not say what they show."""
    bad = []
    for widget in interactive(within):
        face = QAccessible.queryAccessibleInterface(widget)
        labels = [related for related, kind in face.relations() if kind & QAccessible.Label]  # type: ignore[attr-defined]
        named = widget.accessibleName() or labels
        if not isinstance(widget, EDITORS):
            named = named or face.text(QAccessible.Text.Name)
        says = face.text(QAccessible.Text.Description)
        if not named or (isinstance(widget, QGraphicsView) and not says):
            bad.append(described(widget))
    return bad
