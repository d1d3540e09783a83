"""Lines over the curves: the moment on screen, and a crosshair at the mouse."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

import pyqtgraph as pg
from PySide6.QtCore import QObject, QPointF, Qt, Signal, Slot

from lbc_gui.run.view_state import View, ViewState, nearest_moment
from lbc_gui.theme import PlotColours

SNAP = 0.03
"""The share of the visible epochs within which the crosshair snaps to the end of an epoch."""


class Cursors(QObject):
    """In several plots over the same epochs. The line at the moment on screen can be dragged.

    It is hidden while the run is followed. The crosshair is at ``epoch``.
    """

    moved = Signal()
    """The crosshair moved or was hidden."""

    def __init__(self, plots: Iterable[pg.PlotItem], state: ViewState, parent: QObject) -> None:
        super().__init__(parent)
        self._plots, self._state = tuple(plots), state
        self.epoch: float | None = None
        """Where the mouse is; None outside the plots."""
        self.moments = [_line(plot, 90, movable=True) for plot in self._plots]
        self.across = [_line(plot, 90) for plot in self._plots]
        self._levels = {plot: _line(plot, 0) for plot in self._plots}
        for line in self.moments:
            line.sigDragged.connect(self._dragged)
        state.changed.connect(self._show_view)

    def restyle(self, colours: PlotColours) -> None:
        for line in self.moments:
            line.setPen(pg.mkPen(colours.text, width=1.5))
            line.setHoverPen(pg.mkPen(colours.blue, width=3))
        for line in (*self.across, *self._levels.values()):
            line.setPen(pg.mkPen(colours.text, width=0.8, style=Qt.PenStyle.DotLine))

    def show_level(self, plot: pg.PlotItem, value: float | None) -> None:
        """Put the crosshair of a plot on a value, in the coordinates of its axis."""
        line = self._levels[plot]
        if self.epoch is not None and value is not None and isfinite(value):
            line.setValue(value)
            line.show()
        else:
            line.hide()

    @Slot(object)
    def follow(self, position: QPointF) -> None:
        """The mouse is at a position of the scene."""
        shown = (plot for plot in self._plots if plot.scene() is not None)
        plot = next((p for p in shown if p.vb.sceneBoundingRect().contains(position)), None)
        if plot is None:
            self.leave()
            return
        low, high = plot.viewRange()[0]
        epoch = plot.vb.mapSceneToView(position).x()
        if abs(epoch - round(epoch)) < SNAP * (high - low):
            epoch = round(epoch)
        self._put(max(0.0, epoch))

    def leave(self) -> None:
        """The mouse has left the plots."""
        self._put(None)

    def _put(self, epoch: float | None) -> None:
        if epoch == self.epoch:
            return
        self.epoch = epoch
        for line in self.across:
            if epoch is not None:
                line.setValue(epoch)
            line.setVisible(epoch is not None)
        self.moved.emit()

    @Slot(object)
    def _dragged(self, line: pg.InfiniteLine) -> None:
        moments = self._state.view.moments
        if moments:
            self._state.go_to(nearest_moment(moments, line.value()))
        self._show_view(None, self._state.view)

    @Slot(object, object)
    def _show_view(self, _before: View | None, view: View) -> None:
        for line in self.moments:
            if view.moment is not None:
                line.setValue(view.moments[view.moment].epoch)
            line.setVisible(view.moment is not None)


def _line(plot: pg.PlotItem, angle: int, movable: bool = False) -> pg.InfiniteLine:
    line = pg.InfiniteLine(angle=angle, movable=movable)
    line.setZValue(20)
    line.hide()
    plot.addItem(line, ignoreBounds=True)
    return line
