"""Areas that scroll a body where there is no room for it, instead of asking for more room."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QApplication, QFrame, QScrollArea, QWidget

AROUND_DIALOG = QSize(40, 100)
"""Pixels of the screen that the frame, the margins and the buttons of a dialog need."""

AROUND_PAGES = QSize(344, 190)
"""Pixels of the screen that panels, bars and the frame of the main window need."""


class PlainArea(QScrollArea):
    """Has the ground of the window and no frame to show the focus: Tab moves it into the body."""

    def __init__(self, body: QWidget) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._body = body
        self.setWidget(body)
        self.viewport().setAutoFillBackground(False)
        body.setAutoFillBackground(False)
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        application.focusChanged.connect(self._show_focus)

    @Slot(QWidget, QWidget)
    def _show_focus(self, _before: QWidget | None, now: QWidget | None) -> None:
        """Scroll to what Tab has reached from outside; Qt does so only from inside."""
        body = self.widget()  # None while it is deleted
        if body and now and body.isAncestorOf(now) and now.visibleRegion().isEmpty():
            self.ensureWidgetVisible(now)


def scrolled(body: QWidget) -> PlainArea:
    """An area that scrolls what it has no room for below its preferred size."""
    area = PlainArea(body)
    area.setWidgetResizable(True)
    return area


class BodyArea(PlainArea):
    """Scrolls a body below its least size; Qt's own would below its preferred one."""

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        done = super().eventFilter(watched, event)
        if event.type() == QEvent.Type.LayoutRequest:
            self._fit()
        return done

    def _fit(self) -> None:
        self._body.resize(self.viewport().size().expandedTo(self._least()))

    def _least(self) -> QSize:
        """The least size of the body at the width that it has here."""
        raise NotImplementedError


class FittingArea(BodyArea):
    """Needs as much room as its body, or as the screen has: 1280 x 800 at 200 % is 640 x 400.

    ``around`` is what the rest of the window needs of the screen.
    """

    def __init__(self, body: QWidget, around: QSize = AROUND_DIALOG) -> None:
        super().__init__(body)
        self._around = around

    def minimumSizeHint(self) -> QSize:
        return self._least().boundedTo(self._room)

    def sizeHint(self) -> QSize:
        return self._body.sizeHint().expandedTo(self._least()).boundedTo(self._room)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        done = super().eventFilter(watched, event)
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return done

    @property
    def _room(self) -> QSize:
        return self.screen().availableSize() - self._around

    def _least(self) -> QSize:
        # Labels that wrap need less height if they are wide.
        least, layout = self._body.minimumSizeHint(), self._body.layout()
        if layout is not None and layout.hasHeightForWidth():
            width = max(self.viewport().width(), least.width())
            least.setHeight(max(least.height(), layout.minimumHeightForWidth(width)))
        return least
