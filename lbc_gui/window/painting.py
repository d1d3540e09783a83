"""Painting of the window at most once in a turn of the event loop."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QEvent, QObject, QTimer, Slot
from PySide6.QtWidgets import QWidget


class Painting(QObject):
    """Paints a window when all that was posted is handled, and timers have had their turn.

    Each graphics scene that has changed makes Qt paint its window at once
    (``QGraphicsScenePrivate::_q_processDirtyItems``): a page of plots that is laid out anew would
    be painted as often as it has plots, with no other event handled in between.
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window, self._now = window, False
        self._timer = QTimer(self, singleShot=True, interval=0)
        self._timer.timeout.connect(self._paint)
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Put off what Qt asks for."""
        if event.type() is not QEvent.Type.UpdateRequest or self._now:
            return super().eventFilter(watched, event)
        if not self._timer.isActive():
            self._timer.start()
        return True

    @Slot()
    def _paint(self) -> None:
        self._now = True
        QCoreApplication.sendEvent(self._window, QEvent(QEvent.Type.UpdateRequest))
        self._now = False
