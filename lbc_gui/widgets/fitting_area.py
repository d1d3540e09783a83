"""What scrolls on a small screen instead of making its window larger than the screen."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget

AROUND_DIALOG = QSize(40, 100)
"""Pixels of the screen that the frame, the margins and the buttons of a dialog need."""


class FittingArea(QScrollArea):
    """Needs as much room as its body, or as the screen has: 1280 x 800 at 200 % is 640 x 400.

    ``around`` is what the rest of the window needs of the screen.
    """

    def __init__(self, body: QWidget, around: QSize = AROUND_DIALOG) -> None:
        super().__init__()
        self._body, self._around = body, around
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidget(body)
        self.viewport().setAutoFillBackground(False)
        body.setAutoFillBackground(False)

    def minimumSizeHint(self) -> QSize:
        return self._least().boundedTo(self._room)

    def sizeHint(self) -> QSize:
        return self._body.sizeHint().expandedTo(self._least()).boundedTo(self._room)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        done = super().eventFilter(watched, event)
        if event.type() == QEvent.Type.LayoutRequest:
            self._fit()
            self.updateGeometry()
        return done

    @property
    def _room(self) -> QSize:
        return self.screen().availableSize() - self._around

    def _least(self) -> QSize:
        """What the body needs at its width; labels that wrap need less height if it is wide."""
        least, layout = self._body.minimumSizeHint(), self._body.layout()
        if layout is not None and layout.hasHeightForWidth():
            width = max(self.viewport().width(), least.width())
            least.setHeight(max(least.height(), layout.minimumHeightForWidth(width)))
        return least

    def _fit(self) -> None:
        # Not the preferred size of the body, as Qt would with labels that wrap.
        self._body.resize(self.viewport().size().expandedTo(self._least()))
