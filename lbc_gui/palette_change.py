"""New colours for widgets that exist: a change of the palette under a style sheet."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from PySide6.QtCore import QCoreApplication, QEvent, QObject, QTimer, Slot
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

LONGEST_PIECE = 0.02
"""Seconds after which the event loop has its turn."""


def restyle(application: QApplication) -> None:
    """Give widgets the palette of the application: those on screen now, all others soon.

    Under a style sheet Qt passes a palette on to no child, and keeps the brushes that it has found
    for roles of the palette. Setting the sheet again would cure both, but takes three times as
    long, because it also measures everything anew, and all of it in one piece.
    """
    for earlier in application.findChildren(HiddenWidgets):
        earlier.deleteLater()
    roots, hidden = application.topLevelWidgets(), list[QWidget]()
    shown = [widget for root in roots for widget in _shown(root, hidden)]
    _restyle(shown, [root for root in roots if root.isVisible()])
    HiddenWidgets(hidden, application)


class HiddenWidgets(QObject):
    """Restyles widgets and what is in them, a few in each turn of the event loop."""

    def __init__(self, roots: Sequence[QWidget], parent: QObject) -> None:
        super().__init__(parent)
        self._roots = iter(roots)
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._restyle_some)
        self._timer.start()

    @Slot()
    def _restyle_some(self) -> None:
        end = time.monotonic() + LONGEST_PIECE
        for root in self._roots:
            if isValid(root):
                _restyle([root, *root.findChildren(QWidget)], [root])
            if time.monotonic() > end:
                self._timer.start()  # now, so that all timers that are due come before it
                return
        self.deleteLater()


def _shown(widget: QWidget, hidden: list[QWidget]) -> Iterator[QWidget]:
    """A widget and all in it that are on screen; others, with all in them, go to ``hidden``."""
    if not widget.isVisible():
        hidden.append(widget)
        return
    yield widget
    for child in widget.children():
        if isinstance(child, QWidget):
            yield from _shown(child, hidden)


def _restyle(widgets: Sequence[QWidget], roots: Iterable[QWidget]) -> None:
    """Restyle ``widgets``, which are all in ``roots``."""
    for widget in widgets:
        widget.style().unpolish(widget)
    for root in roots:
        QCoreApplication.sendEvent(root, QEvent(QEvent.Type.ApplicationPaletteChange))
    for widget in widgets:
        widget.style().polish(widget)
        widget.update()
