"""A tour of the window: one part after the other is lit and explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, Qt, Slot
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent, QPen, QRegion
from PySide6.QtWidgets import QFrame, QPushButton, QWidget

from lbc_gui.theme import BLACK, MARGIN, faded, plot_colours
from lbc_gui.turns import call_later
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.text import HtmlLabel, html

_WIDTH, _GAP = 320, 10


@dataclass(frozen=True)
class Step:
    """What is explained, and the widget it is about, which is brought on screen first."""

    title: str
    text: str
    target: Callable[[], QWidget]


class _Shade(QWidget):
    """Darkens the window around a part of it, and leaves mouse and keyboard to the window."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.lit = QRect()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setClipRegion(QRegion(self.rect()).subtracted(QRegion(self.lit)))
        painter.fillRect(self.rect(), faded(BLACK, 110))
        painter.setClipping(False)
        painter.setPen(QPen(plot_colours().blue, 3))
        painter.drawRect(self.lit.adjusted(-2, -2, 1, 1))  # around it, not over its text


class Tour(QFrame):
    """The text beside the lit part. Next, Skip and Escape; the window stays usable."""

    def __init__(self, window: QWidget, steps: Sequence[Step]) -> None:
        super().__init__(window)
        self._window = window
        self.setObjectName("tour")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setAutoFillBackground(True)
        self.setFixedWidth(_WIDTH)
        self._steps = steps
        self.at = 0
        """The step that is shown."""
        self._shade = _Shade(window)
        self._shade.hide()
        self._text = HtmlLabel(wordWrap=True)
        self.skip, self.next = QPushButton("Skip the tour"), QPushButton("Next")
        self.next.setDefault(True)
        self.skip.clicked.connect(self.end)
        self.next.clicked.connect(self._next)
        buttons = row(self.skip, None, self.next)
        column(self._text, buttons, on=self, margin=MARGIN)
        window.installEventFilter(self)
        self.hide()

    @property
    def text(self) -> str:
        return self._text.text()

    @property
    def lit(self) -> QRect:
        """The part of the window that is lit."""
        return self._shade.lit

    @Slot()
    def start(self) -> None:
        self._show(0)

    @Slot()
    def end(self) -> None:
        self.hide()
        self._shade.hide()

    @Slot()
    def _next(self) -> None:
        if self.at + 1 < len(self._steps):
            self._show(self.at + 1)
        else:
            self.end()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.end()
        else:
            super().keyPressEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and self.isVisible():
            call_later(self, self._place, 0)  # when the panels have their new places
        return super().eventFilter(watched, event)

    def _show(self, at: int) -> None:
        self.at = at
        step, last = self._steps[at], at + 1 == len(self._steps)
        count = f"{at + 1} of {len(self._steps)}"
        self._text.setText(html("<b>{}</b> · {}<p>{}</p>", step.title, count, step.text))
        self.next.setText("Done" if last else "Next")
        self.skip.setVisible(not last)
        self._place()
        call_later(self, self._place, 0)  # a panel that was behind another one moves
        for widget in (self._shade, self):
            widget.show()
            widget.raise_()
        self.next.setFocus()

    @Slot()
    def _place(self) -> None:
        """Light the widget, and put the text beside it, where there is room."""
        window, target = self._window, self._steps[self.at].target()
        lit = QRect(target.mapTo(window, QPoint(0, 0)), target.size()) & window.rect()
        self._shade.setGeometry(window.rect())
        self._shade.lit = lit
        self._shade.update()
        self.adjustSize()
        wide, high = self.width(), self.height()
        right, bottom = window.width() - wide - _GAP, window.height() - high - _GAP
        places = [
            QRect(min(max(x, _GAP), right), min(max(y, _GAP), bottom), wide, high)
            for x, y in (
                (lit.right() + _GAP, lit.top()),
                (lit.left() - wide - _GAP, lit.top()),
                (lit.left(), lit.bottom() + _GAP),
                (lit.left(), lit.top() - high - _GAP),
            )
        ]
        beside = (place for place in places if not place.intersects(lit))
        self.move(next(beside, places[0]).topLeft())
