"""What is between the panels; on a small screen it scrolls instead of making the window larger."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget

AROUND = QSize(344, 190)
"""Pixels of the screen that panels, bars and the frame of the window need."""


class CentralArea(QScrollArea):
    """Needs as much room as its body, or as the screen has: 1280 x 800 at 200 % is 640 x 400."""

    def __init__(self, body: QWidget) -> None:
        super().__init__()
        self._body = body
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidget(body)

    def minimumSizeHint(self) -> QSize:
        return self._body.minimumSizeHint().boundedTo(self.screen().availableSize() - AROUND)

    def sizeHint(self) -> QSize:
        return self._body.sizeHint()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        done = super().eventFilter(watched, event)
        if event.type() == QEvent.Type.LayoutRequest:
            self._fit()
            self.updateGeometry()
        return done

    def _fit(self) -> None:
        # Not the preferred size of the body, as Qt would with labels that wrap.
        self._body.resize(self.viewport().size().expandedTo(self._body.minimumSizeHint()))
