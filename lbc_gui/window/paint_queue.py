"""A window is painted at most once in a turn of the event loop."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QEvent, QObject, QTimer, Slot
from PySide6.QtWidgets import QWidget


class PaintQueue(QObject):
    """Has a window painted when all that was posted is handled, and timers have had their turn.

    Each graphics scene that has changed makes Qt paint its window at once
    (``QGraphicsScenePrivate::_q_processDirtyItems``): a page of plots that is laid out anew would
    be painted as often as it has plots, with no other event handled in between.
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window, self._due = window, False
        self._timer = QTimer(self, singleShot=True, interval=0)
        self._timer.timeout.connect(self._post)
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Put off what Qt asks for, until it is due."""
        if event.type() is not QEvent.Type.UpdateRequest:
            return super().eventFilter(watched, event)
        if self._due:
            self._due = False
            return False
        if not self._timer.isActive():
            self._timer.start()
        return True

    @Slot()
    def _post(self) -> None:
        # Not sent from here: an error that a paintEvent raises would end this function.
        self._due = True
        QCoreApplication.postEvent(self._window, QEvent(QEvent.Type.UpdateRequest))
