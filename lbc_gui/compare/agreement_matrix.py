"""The agreement of the masks of every pair of runs, as a matrix of coloured cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFont,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QRegion,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from lbc.comparison.mask_agreement import Matrix
from lbc.files.printable import printable
from lbc.pictures.colour_keys import Scale
from lbc.pictures.colour_tables import ink_on
from lbc.pictures.score_codes import BLANK, HIGHEST, LOWEST, Codes
from lbc_gui.captions import with_minus
from lbc_gui.heatmap.rgb_image import rgb_image
from lbc_gui.theme import GAP, TIGHT, colours

WIDEST, TALLEST = 110.0, 40.0
"""Pixels of a cell."""

LABELS = 0.34
"""The largest share of the width that the names take."""

SWATCH = 8
"""Pixels a side of a run's colour."""

LEAST_RANGE = 0.05
"""Of κ, between the ends of the colour scale."""

Pair = tuple[int, int]

_MOVES = {
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
}


@dataclass(frozen=True)
class _Places:
    """Where the cells are: the first one's corner, and the size of each."""

    x: float
    y: float
    width: float
    height: float

    def cell(self, pair: Pair) -> QRectF:
        row, column = pair
        x, y = self.x + column * self.width, self.y + row * self.height
        return QRectF(x, y, self.width, self.height)

    def pair_at(self, point: QPointF) -> Pair:
        row, column = (point.y() - self.y) // self.height, (point.x() - self.x) // self.width
        return int(row), int(column)


class AgreementMatrix(QWidget):
    """Rows and columns are the same runs; those of the columns are named by their numbers.

    ``colour_of`` a run's number is drawn before its name.
    """

    pair_shown = Signal(int, int)
    """Row and column of the cell under the mouse, or reached by the arrow keys."""
    pair_opened = Signal(int, int)
    """Those of the cell that was clicked, or on which Enter was pressed."""
    left = Signal()

    def __init__(self, colour_of: Callable[[int], QColor]) -> None:
        super().__init__()
        self._colour_of = colour_of
        self._labels: list[str] = []
        self._label_width = 0
        self._kappas: Matrix = np.empty((0, 0))
        self._lit: int | None = None
        self.pair: Pair | None = None
        """The cell that is framed."""
        self.setAccessibleName("Agreement of the masks of every pair of runs")
        self.setAccessibleDescription("A cell for each pair, with Cohen's kappa of their masks")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumSize(160, 90)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        small = QFont(self.font())
        small.setPointSizeF(small.pointSizeF() * 0.85)
        self.setFont(small)

    def sizeHint(self) -> QSize:
        return QSize(360, 220)

    def show_matrix(self, names: Sequence[str], kappas: Matrix) -> None:
        """κ of every pair, (R, R), NaN where there is none."""
        self._labels = [f"{at}  {printable(name)}" for at, name in enumerate(names, 1)]
        widths = map(self.fontMetrics().horizontalAdvance, self._labels)
        self._label_width = max(widths, default=0) + SWATCH + 2 * GAP
        self._kappas = kappas
        count = len(names)
        if self.pair is not None and max(self.pair) >= count:
            self.pair = None
        if self.pair is None and count:
            others = np.argwhere(np.isfinite(np.where(np.eye(count), np.nan, kappas)))
            first, second = others[0].tolist() if len(others) else (0, 0)
            self.pair = first, second
        self.update()

    def light(self, run: int | None) -> None:
        """Mark the name of a run that is under the mouse elsewhere."""
        if run != self._lit:
            for at in (self._lit, run):
                self._repaint_name(at)
            self._lit = run

    @property
    def scale(self) -> Scale:
        """What the colours mean: from 0, or the least κ of two runs, to the greatest."""
        others = self._kappas[~np.eye(len(self._kappas), dtype=bool)]
        others = others[np.isfinite(others)]
        low = min(0.0, float(others.min(initial=0.0)))
        high = max(float(others.max(initial=low)), low + LEAST_RANGE)
        return Scale("score", low, high, texts=(f"κ {_text(low)}", _text(high)), removed="")

    def cell_rect(self, row: int, column: int) -> QRectF:
        """Where a cell is drawn."""
        return self._places().cell((row, column))

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._labels:
            return
        painter = QPainter(self)
        places, shades = self._places(), self._shades()
        count = len(self._labels)
        target = QRectF(places.x, places.y, count * places.width, count * places.height)
        painter.drawImage(target, rgb_image(shades))
        self._paint_values(painter, places, shades, event.region())
        self._paint_names(painter, places, event.region())
        if event.rect().top() < places.y:
            self._paint_numbers(painter, places)
        if self.pair is not None:
            painter.setPen(QPen(QColor(*ink_on(shades[self.pair].tolist())), 2))
            painter.drawRect(places.cell(self.pair).adjusted(1, 1, -1, -1))
        if self.hasFocus():
            painter.setPen(QPen(QColor(colours().accent), 1, Qt.PenStyle.DotLine))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._move_to(self._places().pair_at(event.position()))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        pair = self._places().pair_at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and self._has(pair):
            self._move_to(pair)
            self._open()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Qt.Key(event.key())
        if key in _MOVES and self.pair is not None:
            down, right = _MOVES[key]
            self._move_to((self.pair[0] + down, self.pair[1] + right))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._open()
        else:
            super().keyPressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.left.emit()

    def _has(self, pair: Pair) -> bool:
        return all(0 <= at < len(self._labels) for at in pair)

    def _move_to(self, pair: Pair) -> None:
        if self._has(pair) and pair != self.pair:
            for one in filter(None, (self.pair, pair)):
                self.update(self._places().cell(one).toAlignedRect().adjusted(-1, -1, 1, 1))
                for run in one:
                    self._repaint_name(run)
            self.pair = pair
            self.pair_shown.emit(*pair)

    def _repaint_name(self, run: int | None) -> None:
        if run is not None:
            self.update(self._name_rect(self._places(), run).toAlignedRect())

    def _open(self) -> None:
        pair = self.pair
        if pair is not None and pair[0] != pair[1] and np.isfinite(self._kappas[pair]):
            self.pair_opened.emit(*pair)

    def _places(self) -> _Places:
        count = max(1, len(self._labels))
        x = min(self._label_width, LABELS * self.width())
        y = self.fontMetrics().height() + TIGHT
        width = min((self.width() - x - 1) / count, WIDEST)
        height = min((self.height() - y - 1) / count, TALLEST)
        return _Places(x, y, max(1.0, width), max(1.0, height))

    def _name_rect(self, places: _Places, run: int) -> QRectF:
        """Where a name is drawn, which may be higher than its cells."""
        height = self.fontMetrics().height()
        middle = places.cell((run, 0)).center().y()
        return QRectF(0, middle - height / 2, places.x - TIGHT, height)

    def _shades(self) -> Codes:
        """RGB of every cell, (R, R, 3); the diagonal and what is undefined say nothing."""
        scale, ground = self.scale, QColor(colours().hover)
        share = (self._kappas - scale.low) / (scale.high - scale.low)
        codes = LOWEST + np.clip(np.nan_to_num(share), 0, 1) * (HIGHEST - LOWEST)
        codes[~np.isfinite(self._kappas) | np.eye(len(codes), dtype=bool)] = BLANK
        table = scale.table((ground.red(), ground.green(), ground.blue()))
        return table[np.round(codes).astype(np.uint8)]

    def _paint_values(
        self, painter: QPainter, places: _Places, shades: Codes, region: QRegion
    ) -> None:
        metrics = self.fontMetrics()
        if places.width < metrics.horizontalAdvance("−0.00") or places.height < metrics.ascent():
            return
        for row, column in np.ndindex(self._kappas.shape):
            place = places.cell((row, column))
            if not region.intersects(place.toAlignedRect()):
                continue
            kappa = float(self._kappas[row, column])
            faint = row == column or not np.isfinite(kappa)
            text = _text(kappa) if np.isfinite(kappa) else "–"
            ink = QColor(colours().caption if faint else "")
            painter.setPen(ink if faint else QColor(*ink_on(shades[row, column].tolist())))
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)

    def _paint_names(self, painter: QPainter, places: _Places, region: QRegion) -> None:
        metrics, now = self.fontMetrics(), colours()
        every = max(1, int(np.ceil(metrics.height() / places.height)))
        marked = {self._lit, *(self.pair or ())}
        left = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        room = places.x - TIGHT - SWATCH - TIGHT
        for at in sorted(range(len(self._labels)), key=lambda at: at in marked):
            place = self._name_rect(places, at)
            if (at % every and at not in marked) or not region.intersects(place.toAlignedRect()):
                continue
            if at in marked:  # perhaps over its neighbours
                painter.fillRect(place, QColor(now.selection if at == self._lit else now.window))
            swatch = QRectF(0, place.center().y() - SWATCH / 2, SWATCH, SWATCH)
            painter.fillRect(swatch, self._colour_of(at))
            place.setLeft(SWATCH + TIGHT)
            painter.setPen(QColor(now.text if at in marked else now.caption))
            text = metrics.elidedText(self._labels[at], Qt.TextElideMode.ElideMiddle, int(room))
            painter.drawText(place, left, text)

    def _paint_numbers(self, painter: QPainter, places: _Places) -> None:
        """Those of the columns."""
        height, advance = self.fontMetrics().height(), self.fontMetrics().horizontalAdvance("100 ")
        painter.setPen(QColor(colours().caption))
        for at in range(0, len(self._labels), max(1, int(np.ceil(advance / places.width)))):
            place = QRectF(places.cell((0, at)).center().x() - 20, 0, 40, height)
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, str(at + 1))


def _text(kappa: float) -> str:
    """κ with two decimals; what rounds to 0 has no sign."""
    return with_minus(f"{round(kappa, 2) + 0.0:.2f}")
