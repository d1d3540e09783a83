"""One slider for every view of a run: its moments, its removals, and live."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import (
    QAction,
    QContextMenuEvent,
    QHelpEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QMenu, QSizePolicy, QToolButton, QWidget

from lbc.runs.history_reader import MomentInfo
from lbc.runs.kept_checkpoints import ForkPoint
from lbc_gui.help.explanations import help_button
from lbc_gui.icons import icon
from lbc_gui.run.view_state import DELETED, View, ViewState, nearest_fork_point, nearest_moment
from lbc_gui.theme import TIGHT, plot_colours
from lbc_gui.widgets.buttons import combo_box, tool_button
from lbc_gui.widgets.layouts import row
from lbc_gui.widgets.text import Label, plain

SPEEDS = (1.0, 2.0, 5.0, 10.0)
"""Moments per second while playing."""

_MARGIN = 8.0
_NEAR = 5.0
"""Pixels within which a mark is explained."""
_RING = 3.0
"""Pixels from the middle to the edge of the mark of a checkpoint."""
_MOST_LINES = 12
_HOW_TO = (
    "Drag to any moment of the run; triangles mark removals, diamonds pins, crosses bans, and "
    "squares changed settings; at the rings, checkpoints, a fork can begin (right-click). Left and "
    "Right go one moment, Home and End to the first and the last"
)


class MomentTrack(QWidget):
    """A slider over the moments of a run: ticks on a line of epochs, and marks for what changed.

    Triangles above the line are removals; below it diamonds are pins, crosses bans, and squares
    changed settings. Rings on the line are checkpoints.
    """

    moved = Signal(int)
    """Index of the moment that was chosen."""
    fork_requested = Signal(float)
    """The epoch of a checkpoint at which a fork is to begin."""

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Time")
        self.moments: Sequence[MomentInfo] = ()
        self.fork_points: tuple[ForkPoint, ...] = ()
        self.at: int | None = None
        """The moment under the handle; None for the end."""
        self._end = 1.0

    def show_moments(
        self, moments: Sequence[MomentInfo], epochs: float, at: int | None = None
    ) -> None:
        """Show the moments of a run of ``epochs`` epochs, with the handle on one of them."""
        self.moments, self.at = moments, at
        self._end = max(epochs, moments[-1].epoch if moments else 0.0, 1e-9)
        self.update()

    def show_fork_points(self, points: tuple[ForkPoint, ...]) -> None:
        """Show where forks can begin."""
        self.fork_points = points
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(240, 30)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colours = plot_colours()
        middle = self.height() / 2
        painter.setPen(QPen(colours.grid, 2))
        painter.drawLine(QPointF(_MARGIN, middle), QPointF(self.width() - _MARGIN, middle))
        painter.setPen(QPen(colours.text, 1))
        for moment in self.moments:
            x = self._x(moment.epoch)
            painter.drawLine(QPointF(x, middle - 2), QPointF(x, middle + 2))
        painter.setPen(QPen(colours.text, 1.2))
        painter.setBrush(colours.background)
        drawn = -2 * _NEAR
        for point in self.fork_points:
            if (x := self._x(point.epoch)) - drawn >= 2 * _RING + 1:
                painter.drawEllipse(QPointF(x, middle), _RING, _RING)
                drawn = x
        for moment in self.moments:
            x = self._x(moment.epoch)
            for action in {one.action for one in moment.interventions}:
                _draw_intervention(painter, action, QPointF(x, middle + 10))
            if moment.removal and not moment.interventions:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(colours.orange)
                top = middle - 11
                triangle = [QPointF(x - 4, top), QPointF(x + 4, top), QPointF(x, top + 7)]
                painter.drawPolygon(QPolygonF(triangle))
        painter.setPen(Qt.PenStyle.NoPen)
        if self.moments:
            at = len(self.moments) - 1 if self.at is None else self.at
            painter.setBrush(colours.blue)
            x = self._x(self.moments[min(at, len(self.moments) - 1)].epoch)
            painter.drawEllipse(QPointF(x, middle), 6, 6)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(colours.blue, 1, Qt.PenStyle.DotLine))
            painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent):
            self.setToolTip(plain(self.described(event.pos().x())))
        return super().event(event)

    def described(self, x: float) -> str:
        """What happened at ``x``, a line each, or how the slider is used."""
        lines = []
        for moment in self.moments:
            if abs(self._x(moment.epoch) - x) <= _NEAR:
                if moment.removal and not moment.interventions:
                    lines.append(f"Epoch {moment.epoch:.2f}: combinations were removed")
                lines += [f"Epoch {moment.epoch:.2f}: {i.described}" for i in moment.interventions]
        for point in self.fork_points:
            if abs(self._x(point.epoch) - x) <= _RING:
                lines.append(f"Epoch {point.epoch:.2f}: a checkpoint; right-click to fork here")
        more = [f"… and {len(lines) - _MOST_LINES:,} more"] if len(lines) > _MOST_LINES else []
        return "\n".join([*lines[:_MOST_LINES], *more]) or _HOW_TO

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        epoch = self._epoch(event.pos().x())
        point = nearest_fork_point(self.fork_points, epoch, self._end)
        menu.addAction(fork_action(point, self.fork_requested.emit, menu))
        menu.popup(event.globalPos())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._go_to(event.position().x())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._go_to(event.position().x())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        last = len(self.moments) - 1
        at = last if self.at is None else self.at
        steps = {
            Qt.Key.Key_Left: at - 1,
            Qt.Key.Key_Right: at + 1,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: last,
        }
        key = Qt.Key(event.key())
        if key in steps and self.moments:
            self.moved.emit(min(max(steps[key], 0), last))
        else:
            super().keyPressEvent(event)

    def x_of(self, at: int) -> float:
        """Where a moment is drawn, in this widget's pixels."""
        return self._x(self.moments[at].epoch)

    def _x(self, epoch: float) -> float:
        return _MARGIN + (self.width() - 2 * _MARGIN) * min(epoch / self._end, 1.0)

    def _epoch(self, x: float) -> float:
        return (x - _MARGIN) / max(self.width() - 2 * _MARGIN, 1.0) * self._end

    def _go_to(self, x: float) -> None:
        if not self.moments:
            return
        nearest = nearest_moment(self.moments, self._epoch(x))
        if nearest != self.at:
            self.moved.emit(nearest)


def fork_action(
    point: ForkPoint | None, fork: Callable[[float], object], parent: QObject
) -> QAction:
    """A command that calls ``fork`` with the epoch of a checkpoint, or says that there is none."""
    text = "Fork here: no checkpoint" if point is None else f"Fork at epoch {point.epoch:.2f}…"
    action = QAction(icon("fork"), text, parent)
    action.setEnabled(point is not None)
    if point is not None:
        action.triggered.connect(lambda: fork(point.epoch))
    return action


def _draw_intervention(painter: QPainter, action: str, at: QPointF) -> None:
    colours = plot_colours()
    if action == "pin":
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours.green)
        corners = ((0.0, -5.0), (5.0, 0.0), (0.0, 5.0), (-5.0, 0.0))
        painter.drawPolygon(QPolygonF([at + QPointF(*corner) for corner in corners]))
    elif action == "steer":
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours.blue)
        painter.drawRect(QRectF(at - QPointF(3.5, 3.5), at + QPointF(3.5, 3.5)))
    else:
        painter.setPen(QPen(colours.red, 2))
        for end in (QPointF(3.5, 3.5), QPointF(3.5, -3.5)):
            painter.drawLine(at - end, at + end)


class Timeline(QWidget):
    """The slider, play, speed, and the way back to the run as it is now."""

    fork_requested = Signal(float)
    """The user wants to fork the run at the checkpoint of an epoch."""

    def __init__(self, state: ViewState) -> None:
        super().__init__()
        self._state = state
        self.track = MomentTrack()
        self.track.moved.connect(state.go_to)
        self.track.fork_requested.connect(self.fork_requested)
        self.fork = QAction(icon("fork"), "&Fork here…", self)
        self.fork.setIconText("Fork")
        self.fork.setShortcut(QKeySequence("Ctrl+Shift+F"))
        self.fork.triggered.connect(self._fork)
        fork = QToolButton()
        fork.setDefaultAction(self.fork)
        fork.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        tip = "Play the run from here; press again to stop"
        self.play = tool_button("Play", tip, icon_name="play")
        self.play.setCheckable(True)
        self.play.toggled.connect(self._play)
        speeds = (f"{speed:g}/s" for speed in SPEEDS)
        self.speed = combo_box(speeds, "Moments per second while playing")
        self.speed.setCurrentIndex(1)
        self.speed.currentIndexChanged.connect(self._set_speed)
        self.live = tool_button("", "", self._go_live)
        self._where = Label()
        self._where.setMinimumWidth(
            self._where.fontMetrics().horizontalAdvance("epoch 000.00 · 000 of 000")
        )
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._next)
        self._set_speed()
        parts = (
            self.play,
            self.speed,
            self.track,
            self._where,
            self.live,
            fork,
            help_button("Time"),
        )
        row(*parts, on=self).setContentsMargins(TIGHT, 0, TIGHT, 0)
        state.changed.connect(self._show_view)
        self._show_view(View(), state.view)

    def show_epoch(self, epoch: float) -> None:
        """Show the epoch of the run while it is followed."""
        view = self._state.view
        if view.moment is None:
            self._where.setText(f"epoch {epoch:.2f}" + (" · live" if view.live else ""))

    @Slot(object, object)
    def _show_view(self, before: View, view: View) -> None:
        moments, at = view.moments, view.moment
        if view.run != before.run:
            self._stop()
            self._where.clear()
        self.track.show_moments(moments, view.epochs, at)
        self.track.show_fork_points(view.fork_points)
        self._allow_fork(view)
        for widget in (self.play, self.speed, self.track):
            widget.setEnabled(bool(moments))
        self.live.setText("Live" if view.live else "Last")
        self.live.setToolTip(
            plain("Follow the run again" if view.live else "Go to the last moment")
        )
        end = None if view.live else len(moments) - 1
        self.live.setEnabled(at not in (None, end))
        if at is not None:
            self._where.setText(f"epoch {moments[at].epoch:.2f} · {at + 1} of {len(moments)}")

    def _allow_fork(self, view: View) -> None:
        points = bool(view.fork_points)
        why = "No checkpoint of this run is here, at which a fork could begin"
        if view.deleted:
            why = f"{DELETED}: there is no checkpoint at which a fork could begin"
        elif not view.moments:
            why = "Run or open a run: its checkpoints are where forks begin"
        elif points:
            why = "Train on from the checkpoint before this moment, with other settings"
        self.fork.setEnabled(points)
        self.fork.setStatusTip(why)
        self.fork.setToolTip(plain(f"{why} (Ctrl+Shift+F)"))

    @Slot()
    def _fork(self) -> None:
        view = self._state.view
        epoch = None if view.moment is None else view.moments[view.moment].epoch
        point = view.fork_point(epoch)
        if point is not None:
            self.fork_requested.emit(point.epoch)

    @Slot()
    def _go_live(self) -> None:
        self._stop()
        self._state.go_live()

    @property
    def _following(self) -> int | None:
        """The next moment to play; None at the end."""
        view = self._state.view
        at = None if view.moment is None else view.moment + 1
        return at if at is not None and at < len(view.moments) else None

    @Slot(bool)
    def _play(self, on: bool) -> None:
        self.play.setIcon(icon("pause" if on else "play"))
        if not on:
            self._timer.stop()
            return
        if self._following is None:
            self._state.go_to(0)
        self._timer.start()

    @Slot()
    def _next(self) -> None:
        if self._following is None:
            self._stop()
        else:
            self._state.go_to(self._following)

    @Slot()
    def _set_speed(self, _index: int = 0) -> None:
        self._timer.setInterval(int(1000 / SPEEDS[self.speed.currentIndex()]))

    def _stop(self) -> None:
        self._timer.stop()
        self.play.setChecked(False)
