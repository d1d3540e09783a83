"""One slider for everything on screen: the moments of a run, its removals, and live."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from lbc.runs.history_reader import MomentInfo
from lbc_gui.theme import plot_colours

SPEEDS = (1.0, 2.0, 5.0, 10.0)
"""Moments a second while playing."""

_MARGIN = 8.0


class MomentTrack(QWidget):
    """Moments as ticks on a line of epochs, removals as marks, the present one as a handle."""

    moved = Signal(int)
    """Index of the moment that was chosen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Time")
        self.setToolTip(
            "Drag to any moment of the run; triangles mark removals. Left and right go one moment, "
            "Home and End to the first and the last"
        )
        self._moments: Sequence[MomentInfo] = ()
        self._at: int | None = None
        self._end = 1.0

    def show_moments(self, moments: Sequence[MomentInfo], epochs: float) -> None:
        """The moments there are, and how many epochs the run will have."""
        self._moments = moments
        self._end = max(epochs, moments[-1].epoch if moments else 0.0, 1e-9)
        self.update()

    def show_place(self, at: int | None) -> None:
        """Put the handle on a moment; None follows the run."""
        self._at = at
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(240, 26)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colours = plot_colours()
        middle = self.height() / 2 + 3
        painter.setPen(QPen(colours.grid, 2))
        painter.drawLine(QPointF(_MARGIN, middle), QPointF(self.width() - _MARGIN, middle))
        painter.setPen(QPen(colours.text, 1))
        for moment in self._moments:
            x = self._x(moment.epoch)
            painter.drawLine(QPointF(x, middle - 2), QPointF(x, middle + 2))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours.orange)
        for moment in self._moments:
            if moment.removal:
                x, top = self._x(moment.epoch), middle - 11
                triangle = [QPointF(x - 4, top), QPointF(x + 4, top), QPointF(x, top + 7)]
                painter.drawPolygon(QPolygonF(triangle))
        if self._moments:
            at = len(self._moments) - 1 if self._at is None else self._at
            painter.setBrush(colours.blue)
            x = self._x(self._moments[min(at, len(self._moments) - 1)].epoch)
            painter.drawEllipse(QPointF(x, middle), 6, 6)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(colours.blue, 1, Qt.PenStyle.DotLine))
            painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._go_to(event.position().x())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._go_to(event.position().x())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        last = len(self._moments) - 1
        at = last if self._at is None else self._at
        steps = {
            Qt.Key.Key_Left: at - 1,
            Qt.Key.Key_Right: at + 1,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: last,
        }
        key = Qt.Key(event.key())
        if key in steps and self._moments:
            self.moved.emit(min(max(steps[key], 0), last))
        else:
            super().keyPressEvent(event)

    def x_of(self, at: int) -> float:
        """Where a moment stands, in this widget's pixels."""
        return self._x(self._moments[at].epoch)

    def _x(self, epoch: float) -> float:
        return _MARGIN + (self.width() - 2 * _MARGIN) * min(epoch / self._end, 1.0)

    def _go_to(self, x: float) -> None:
        if not self._moments:
            return
        epoch = (x - _MARGIN) / max(self.width() - 2 * _MARGIN, 1.0) * self._end
        epochs = [moment.epoch for moment in self._moments]
        right = min(bisect_left(epochs, epoch), len(epochs) - 1)
        left = max(right - 1, 0)
        nearest = left if epoch - epochs[left] < epochs[right] - epoch else right
        if nearest != self._at:
            self.moved.emit(nearest)


class Timeline(QWidget):
    """The track, play, speed, and the way back to the run as it is now."""

    travelled = Signal(object)
    """Index of the moment to show, or None for live."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._moments: Sequence[MomentInfo] = ()
        self._at: int | None = None
        self._live = True
        self.track = MomentTrack()
        self.track.moved.connect(self.go)
        self.play = _button("▶", "Play the run from here (again: stop)", checkable=True)
        self.play.toggled.connect(self._play)
        self.speed = QComboBox()
        self.speed.addItems([f"{speed:g}/s" for speed in SPEEDS])
        self.speed.setCurrentIndex(1)
        self.speed.setToolTip("Moments a second while playing")
        self.speed.currentIndexChanged.connect(self._set_speed)
        self.live = _button("", "")
        self.live.clicked.connect(self.follow)
        self._where = QLabel()
        self._where.setMinimumWidth(
            self._where.fontMetrics().horizontalAdvance("epoch 000.00 · 000 of 000")
        )
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._next)
        self._set_speed()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 0)
        for widget in (self.play, self.speed, self.track, self._where, self.live):
            layout.addWidget(widget)
        self._show()

    @property
    def at(self) -> int | None:
        """The moment on screen; None while the run is followed."""
        return self._at

    def show_moments(self, moments: Sequence[MomentInfo], epochs: float) -> None:
        """What can be travelled to by now."""
        self._moments = moments
        self.track.show_moments(moments, epochs)
        if self._at is not None and self._at >= len(moments):
            self.follow()
        self._show()

    def show_epoch(self, epoch: float) -> None:
        """How far the run that is followed has come."""
        if self._at is None:
            self._where.setText(f"epoch {epoch:.2f} · live" if self._live else f"epoch {epoch:.2f}")

    def clear(self, live: bool = True) -> None:
        """Another run; ``live`` where a trainer feeds it."""
        self._stop()
        self._moments, self._at, self._live = (), None, live
        self.track.show_moments((), 1.0)
        self.track.show_place(None)
        self._where.clear()
        self._show()

    @Slot(int)
    def go(self, at: int) -> None:
        """Show a moment."""
        if not 0 <= at < len(self._moments):
            return
        self._at = at
        self.track.show_place(at)
        self._show()
        self.travelled.emit(at)

    @Slot()
    def follow(self) -> None:
        """Back to the run as it is now; of a run that is over, to its last moment."""
        self._stop()
        if not self._live and self._moments:
            self.go(len(self._moments) - 1)
            return
        self._at = None
        self.track.show_place(None)
        self._show()
        self.travelled.emit(None)

    @Slot(bool)
    def _play(self, on: bool) -> None:
        self.play.setText("⏸" if on else "▶")
        if not on:
            self._timer.stop()
            return
        if self._at is None or self._at + 1 >= len(self._moments):
            self.go(0)
        self._timer.start()

    @Slot()
    def _next(self) -> None:
        if self._at is None or self._at + 1 >= len(self._moments):
            self._stop()
        else:
            self.go(self._at + 1)

    @Slot()
    def _set_speed(self, _index: int = 0) -> None:
        self._timer.setInterval(int(1000 / SPEEDS[self.speed.currentIndex()]))

    def _stop(self) -> None:
        self._timer.stop()
        self.play.setChecked(False)

    def _show(self) -> None:
        for widget in (self.play, self.speed, self.track):
            widget.setEnabled(bool(self._moments))
        self.live.setText("Live" if self._live else "Last")
        self.live.setToolTip("Follow the run again" if self._live else "To the run's last moment")
        end = None if self._live else len(self._moments) - 1
        self.live.setEnabled(self._at not in (None, end))
        if self._at is not None:
            moment = self._moments[self._at]
            self._where.setText(
                f"epoch {moment.epoch:.2f} · {self._at + 1} of {len(self._moments)}"
            )


def _button(text: str, tip: str, checkable: bool = False) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setCheckable(checkable)
    return button
