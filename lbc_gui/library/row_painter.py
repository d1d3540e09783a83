"""Draws the rows of the table in view.

Qt's delegates ask a model in Python eight times for every cell, which takes longer than a frame
has. Here a cell is one call, with a text that was cut to its column before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRect, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPen

from lbc_gui.compare.run_colours import RunColours
from lbc_gui.compare.run_selection import Selection
from lbc_gui.library.arrangement import Line
from lbc_gui.library.runs_model import RunsModel
from lbc_gui.library.sparkline import sparkline
from lbc_gui.theme import TIGHT, Colours, faded

PADDING = 6
"""Pixels between the edges of a cell and its text."""

BAR = 2
"""Pixels of the line below the status that says how far a run is."""

SWATCH = 8
"""Pixels of the colour before a title."""

MOST_TEXTS = 20_000
"""Texts that are kept."""


@dataclass(frozen=True)
class Place:
    """A column in view: its number, left edge and width."""

    column: int
    left: int
    width: int


@dataclass(frozen=True)
class _Text:
    """A text as it is drawn; ``x`` is from the left edge of its column."""

    x: int
    text: str
    heavy: bool
    ink: QColor


class RowPainter:
    """Draws rows of one height. Texts that were cut are kept until ``forget`` is called."""

    def __init__(
        self, model: RunsModel, font: QFont, height: int, colours: Colours, runs: RunColours
    ) -> None:
        self._model, self._height, self._runs = model, height, runs
        self.swatches = False
        """Whether the colours of the runs in the panes are shown."""
        bold = QFont(font)
        bold.setBold(True)
        self._fonts = {False: font, True: bold}
        self._metrics = {heavy: QFontMetrics(one) for heavy, one in self._fonts.items()}
        metrics = self._metrics[False]
        self._base = (height + metrics.ascent() - metrics.descent()) // 2
        self._text, self._faint = QColor(colours.text), QColor(colours.caption)
        self._star, self._line = QColor(colours.orange), QColor(colours.blue)
        self._chosen, self._hovered = QColor(colours.selection), QColor(colours.hover)
        self._accent, self._border = QColor(colours.accent), QColor(colours.border)
        self._texts: dict[tuple[int, int, int], _Text] = {}

    def forget(self) -> None:
        """The rows have changed."""
        self._texts = {}

    def paint(
        self,
        painter: QPainter,
        rows: range,
        top: int,
        places: Sequence[Place],
        selection: Selection,
        current: int,
    ) -> None:
        """Draw ``rows``, the first at ``top``; ``current`` has the focus."""
        if len(self._texts) > MOST_TEXTS:
            self._texts = {}
        right = max((place.left + place.width for place in places), default=0)
        compared = {run.folder for run in selection.compared} if self.swatches else set()
        for y, row in enumerate(rows):
            box = QRect(0, top + y * self._height, right, self._height)
            line = self._model.lines[row]
            self._paint_ground(painter, box, line, selection)
            if line.runs[0].folder in compared:
                self._paint_swatch(painter, box.top(), line, places)
            for place in places:
                self._paint_cell(painter, box.top(), row, line, place)
            if row == current:
                painter.setPen(self._accent)
                painter.drawRect(box.adjusted(0, 0, -1, -1))

    def _paint_ground(
        self, painter: QPainter, box: QRect, line: Line, selection: Selection
    ) -> None:
        folders = [run.folder for run in line.runs]
        if selection.selected.issuperset(folders):
            painter.fillRect(box, self._chosen)
        elif selection.hovered in folders:
            painter.fillRect(box, self._hovered)

    def _paint_cell(self, painter: QPainter, y: int, row: int, line: Line, place: Place) -> None:
        text = self._texts.get((row, place.column, place.width))
        if text is None:
            text = self._cut(row, line, place)
            self._texts[row, place.column, place.width] = text
        if text.text:
            painter.setFont(self._fonts[text.heavy])
            painter.setPen(text.ink)
            painter.drawText(place.left + text.x, y + self._base, text.text)
        key = self._model.arrangement.columns[place.column].key
        if key == "curve":
            self._paint_sparkline(painter, y, line, place)
        elif key == "status" and (share := line.share_done) is not None:
            left, width = place.left + PADDING, place.width - 2 * PADDING
            box = QRect(left, y + self._height - BAR - 1, width, BAR)
            painter.fillRect(box, self._border)
            box.setWidth(round(share * box.width()))
            painter.fillRect(box, self._accent)

    def _cut(self, row: int, line: Line, place: Place) -> _Text:
        """The text of a cell as far as its column has room for it."""
        column = self._model.arrangement.columns[place.column]
        heavy = self._model.is_heavy(line, column.key)
        ink = self._star if column.key == "star" else self._faint if line.faint else self._text
        metrics, left = self._metrics[heavy], PADDING
        if self.swatches and column.key == "title":
            left += SWATCH + TIGHT
        room = place.width - left - PADDING
        text = self._model.text(row, place.column)
        width = metrics.horizontalAdvance(text)
        if width > room:
            # The ends of names tell runs of one experiment apart.
            mode = Qt.TextElideMode
            cut = mode.ElideMiddle if column.key == "title" else mode.ElideRight
            text, width = metrics.elidedText(text, cut, room), room
        return _Text(left + (room - width if column.number else 0), text, heavy, ink)

    def _paint_swatch(self, painter: QPainter, y: int, line: Line, places: Sequence[Place]) -> None:
        """Draw the colour that the run has in the panes, before its title."""
        title = self._model.arrangement.title_column
        for place in places:
            if place.column == title:
                top = y + (self._height - SWATCH) // 2
                colour = self._runs.of(line.runs[0].folder)
                painter.fillRect(place.left + PADDING, top, SWATCH, SWATCH, colour)

    def _paint_sparkline(self, painter: QPainter, y: int, line: Line, place: Place) -> None:
        width, height = place.width - 2 * PADDING, self._height - 2 * TIGHT
        lines = sparkline(line.accuracies, width, height)
        ink = self._faint if line.faint else self._line
        painter.setPen(QPen(ink if len(lines) == 1 else faded(ink, 130), 1.25))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        place_ = QPointF(place.left + PADDING, y + TIGHT)
        painter.translate(place_)
        for each in lines:
            painter.drawPolyline(each)
        painter.translate(-place_)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
