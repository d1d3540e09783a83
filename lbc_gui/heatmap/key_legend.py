"""What the colours of a picture mean: a bar of levels, or a field for each kind."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPoint, QRect, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from lbc.pictures.colour_keys import Key, Scale, Swatches, winner_key
from lbc.pictures.colour_tables import REMOVED_COLOUR, RGB, ink_on
from lbc.pictures.score_codes import HIGHEST, LOWEST, NOTHING, REMOVED, SYMMETRIC, Codes
from lbc.sparsity.pattern import Pattern
from lbc_gui.captions import with_minus
from lbc_gui.heatmap.rgb_image import rgb_image
from lbc_gui.widgets.text import plain

MOST_NAMED = 6
"""Kinds that all have room for their names; of more the first and the last are named."""

_BAR_WIDTH = 96
_SIDE = 12
_GAP = 6
_NEAR = 8
"""Levels on either side of the one under the mouse that are lit with it."""


@dataclass(frozen=True)
class Kind:
    """One colour with its name, which is written if it is ``named``, and its code."""

    name: str
    colour: RGB
    code: int
    named: bool = True


class KeyLegend(QWidget):
    """A horizontal bar between two texts, or none, then coloured fields with a word in each.

    Kinds that do not fit side by side continue below.
    """

    lit = Signal(object)
    """The colour codes of what is under the mouse, a range, or None."""

    def __init__(self) -> None:
        super().__init__()
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setMouseTracking(True)
        self._ends: tuple[str, str] | None = None
        self._kinds: tuple[Kind, ...] = ()
        self._table: Codes | None = None
        self._levels = range(0)
        self._bar = QImage()
        self._lit: range | None = None
        self._hinted = self.sizeHint()

    @Slot(object)
    def show_key(self, key: Key) -> None:
        removed = (Kind(key.removed, REMOVED_COLOUR, REMOVED),) if key.removed else ()
        if isinstance(key, Scale):
            won = () if key.decided is None else _winners(key.decided, key.highest + 1)
            levels = range(LOWEST, key.highest + 1)
            self.show_kinds((*won, *removed), _ends(key), key.table((0, 0, 0)), levels)
        else:
            self.show_kinds((*_kinds(key, LOWEST), *removed))

    def show_kinds(
        self,
        kinds: tuple[Kind, ...],
        ends: tuple[str, str] | None = None,
        table: Codes | None = None,
        levels: range = range(0),
    ) -> None:
        """Show ``kinds``, after a bar of the ``levels`` of ``table`` between the texts ``ends``."""
        # Levels are new with every picture, their few digits seldom, and to write them costs more.
        same = table is self._table and levels == self._levels  # tables are shared by all users
        same_table = table is None or same
        if (ends, kinds) == (self._ends, self._kinds) and same_table:
            return
        if table is not None and not same_table:
            self._table, self._levels = table, levels
            self._bar = rgb_image(table[levels.start : levels.stop][None])
        if kinds != self._kinds:
            self._light(None)
        self._ends, self._kinds = ends, kinds
        if self.sizeHint() != self._hinted:
            self._hinted = self.sizeHint()
            self.updateGeometry()  # lays out the whole page
            self._fit()
        self.update()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """A height that is fixed is else that of the hint, of one line."""
        self.setMaximumHeight(self.heightForWidth(self.width()))

    def sizeHint(self) -> QSize:
        return self._size(10_000)

    def minimumSizeHint(self) -> QSize:
        """That of two lines of kinds."""
        start, full = self._high_place().right(), self.sizeHint().width()
        widest = max((place.width() for _, place in self._places(10_000)), default=0)
        return QSize(min(full, (start + full + widest) // 2 + _GAP), 20)

    def heightForWidth(self, width: int) -> int:
        return self._size(width).height()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(self.palette().text().color())
        centre = Qt.AlignmentFlag.AlignCenter
        if self._ends is not None:
            bar = self._bar_place()
            low, high = QRect(0, 0, bar.left(), bar.height()), self._high_place()
            painter.drawText(low, centre, self._ends[0])
            painter.drawImage(bar.adjusted(0, 4, 0, -4), self._bar)
            painter.drawText(high, centre, self._ends[1])
        for kind, place in self._places(self.width()):
            painter.fillRect(place, QColor(*kind.colour))
            if kind.named:
                painter.setPen(QColor(*ink_on(kind.colour)))
                painter.drawText(place, centre, kind.name)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        at = event.position().toPoint()
        kind = self._kind_at(at)
        self.setToolTip(plain("" if kind is None else kind.name))
        if kind is not None:
            self._light(range(kind.code, kind.code + 1))
        elif self._ends is not None and self._bar_place().contains(at):
            share = (at.x() - self._bar_place().left()) / _BAR_WIDTH
            code = round(share * (len(self._levels) - 1))
            self._light(self._levels[max(0, code - _NEAR) : code + _NEAR + 1])
        else:
            self._light(None)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._light(None)

    def _light(self, codes: range | None) -> None:
        if codes != self._lit:
            self._lit = codes
            self.lit.emit(codes)

    def _kind_at(self, at: QPoint) -> Kind | None:
        found = (kind for kind, place in self._places(self.width()) if place.contains(at))
        return next(found, None)

    def _line_height(self) -> int:
        return max(20, self.fontMetrics().height() + 4)

    def _size(self, width: int) -> QSize:
        """The room that the legend takes if it may be ``width`` pixels wide."""
        places = [place for _, place in self._places(width)]
        right = max([self._high_place().right(), *(place.right() for place in places)])
        bottom = max((place.bottom() for place in places), default=0) + 2
        return QSize(right + 2, max(self._line_height(), bottom))

    def _bar_place(self) -> QRect:
        low = self._ends[0] if self._ends else ""
        left = self.fontMetrics().horizontalAdvance(low) + _GAP if low else 2
        return QRect(left, 0, _BAR_WIDTH, self._line_height())

    def _high_place(self) -> QRect:
        """Where the text after the bar is; without a bar an empty place at the left."""
        if self._ends is None:
            return QRect(0, 0, 0, 0)
        left = self._bar_place().right() + _GAP
        width = self.fontMetrics().horizontalAdvance(self._ends[1]) + 2
        return QRect(left, 0, width, self._line_height())

    def _places(self, width: int) -> list[tuple[Kind, QRect]]:
        """Each kind and its field, in as many lines as it takes."""
        metrics, height = self.fontMetrics(), self._line_height()
        start = x = 0 if self._ends is None else self._high_place().right() + 2 * _GAP
        y, places = 0, []
        for kind in self._kinds:
            size = metrics.horizontalAdvance(kind.name) + 2 * _GAP if kind.named else _SIDE
            if x > start and x + size > width:
                x, y = start, y + height
            places.append((kind, QRect(x, y + 1, size, height - 2)))
            x += size + 3
        return places


def _winners(pattern: Pattern, start: int) -> list[Kind]:
    """The winners of decided blocks beside levels; of many the first and the last."""
    key = winner_key(pattern)
    if isinstance(key, Swatches):
        return _kinds(key, start)
    assert key.texts is not None
    first, *_, last = key.table((0, 0, 0))[LOWEST:].tolist()
    ends = ((key.texts[0], first, start), (key.texts[1], last, HIGHEST))
    return [Kind(name, tuple(colour), code) for name, colour, code in ends]


def _kinds(key: Swatches, start: int) -> list[Kind]:
    last = len(key.names) - 1
    return [
        Kind(name, colour, start + at, last < MOST_NAMED or at in (0, last))
        for at, (name, colour) in enumerate(zip(key.names, key.colours, strict=True))
    ]


def _ends(scale: Scale) -> tuple[str, str]:
    """The texts before and after the bar."""
    low, high = scale.low, scale.high
    if scale.texts is not None:
        first, last = scale.texts
    elif scale.colour in SYMMETRIC and high <= NOTHING:
        first, last = "", "all equal"
    elif scale.colour == "rank":
        first, last = f"{-low:.0f}th", "1st"
    elif scale.colour in SYMMETRIC:
        first, last = f"−{-low:.2g}", f"+{high:.2g}"
    else:
        first, last = with_minus(f"{low:.4g}"), with_minus(f"{high:.4g}")
    return first, f"{last} log" if scale.log else last
