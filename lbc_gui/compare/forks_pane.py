"""The tree of forks: every run over its epochs, branching off where it was forked."""

from __future__ import annotations

from math import ceil
from pathlib import Path

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import (
    QColor,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QShowEvent,
)
from PySide6.QtWidgets import QWidget

from lbc.files.printable import printable
from lbc.library.fork_tree import Branch, Families, describe_changes
from lbc.library.formats import number_text
from lbc.library.run_summary import RunSummary
from lbc_gui.compare.pointer import RunPointer
from lbc_gui.compare.run_selection import RunSelection, Selection
from lbc_gui.export.view_export import Data, as_csv
from lbc_gui.export.view_renderer import Picture
from lbc_gui.icons import icon
from lbc_gui.theme import GAP, MARGIN, TIGHT, colours
from lbc_gui.widgets.body_area import scrolled
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.text import Label

ROW, SIGN, DOT = 24, 16, 3.5
"""Pixels of a row, of the sign that compares, and of the dot where a run has got to."""

NUMBERS = 140
"""Pixels of the accuracy and its difference from the parent's."""

NONE = (
    "No run that is shown is a fork. Fork a run at one of its moments: on the time slider, in the "
    "history of a block, or with the menu of its row."
)


class ForkTree(QWidget):
    """A row for each run: its line over the epochs, its title, what it changes, its accuracy.

    The line of a fork begins on its parent's; that of a parent that is not in the list is dashed.
    """

    compare_requested = Signal(object)
    """RunSummary: a fork that the user wants to compare with its parent."""

    def __init__(self, selection: RunSelection) -> None:
        super().__init__()
        self._selection = selection
        self._pointer = RunPointer(selection, self)
        self.families = Families(())
        self.rows: tuple[Branch, ...] = ()
        self._end = 1.0
        self._leaving: dict[int, dict[float, int]] = {}
        """By row, the epochs at which forks leave it, each with the row of one of them."""
        self._compared: set[Path] = set()
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Tree of forks")
        self.setAccessibleDescription("Runs as lines over the epochs, from which forks branch off")

    def show_runs(self, runs: tuple[RunSummary, ...]) -> None:
        self.families = Families(runs)
        self.rows = self.families.rows()
        self._leaving = {}
        for row, branch in enumerate(self.rows):
            if branch.parent is not None:
                self._leaving.setdefault(branch.parent, {})[branch.start] = row
        ends = [max(row.run.epochs, row.run.epoch) if row.run else row.start for row in self.rows]
        self._end = float(max([1, *ends]))
        self.setMinimumHeight(ROW * (len(self.rows) + 1))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(600, ROW * (len(self.rows) + 1))

    # -- where things are -----------------------------------------------------------------------

    @property
    def _graph(self) -> QRectF:
        """The part that the lines are in; the first row has the numbers of the epochs."""
        width = min(max(160.0, 0.36 * self.width()), 420.0)
        return QRectF(MARGIN, ROW, width, ROW * len(self.rows))

    def place(self, row: int, epoch: float) -> QPointF:
        """Where an epoch of a row is drawn."""
        graph = self._graph
        return QPointF(graph.left() + epoch / self._end * graph.width(), ROW * (row + 1.5))

    def sign(self, row: int) -> QRect:
        """Where the sign is that compares a fork with its parent."""
        top = ROW * (row + 1) + (ROW - SIGN) // 2
        return QRect(self.width() - MARGIN - SIGN, top, SIGN, SIGN)

    def _row_at(self, y: float) -> int | None:
        row = int(y // ROW) - 1
        return row if 0 <= row < len(self.rows) else None

    def _parent(self, row: int) -> RunSummary | None:
        run = self.rows[row].run
        return None if run is None else self.families.parent(run)

    # -- painting -------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(event.rect(), QColor(colours().base))
        first = max(0, event.rect().top() // ROW - 1)
        last = min(len(self.rows), event.rect().bottom() // ROW)
        for row in range(first, last):
            self._paint_ground(painter, row)
        self._paint_epochs(painter)
        self._compared = {run.folder for run in self._selection.selection.compared}
        for row in self._crossing(first, last):
            self._paint_connector(painter, row, self.rows[row])
        for row in range(first, last):
            self._paint_line(painter, row, self.rows[row])
            self._paint_text(painter, row, self.rows[row])
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(colours().accent), 1, Qt.PenStyle.DotLine))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def _crossing(self, first: int, last: int) -> list[int]:
        """The rows whose connectors are seen between two rows, each place once."""
        found = {
            (branch.parent, branch.start): row
            for row, branch in enumerate(self.rows[first:], first)
            if branch.parent is not None and branch.parent < last
        }
        return [*found.values()]

    def _paint_ground(self, painter: QPainter, row: int) -> None:
        run, now, shown = self.rows[row].run, colours(), self._selection.selection
        if run is not None and run.folder in {shown.hovered, *shown.selected}:
            ground = now.selection if run.folder in shown.selected else now.hover
            painter.fillRect(0, ROW * (row + 1), self.width(), ROW, QColor(ground))

    def _paint_epochs(self, painter: QPainter) -> None:
        now, steps = colours(), (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000)
        apart = next((step for step in steps if self._end / step <= 6), ceil(self._end / 6))
        for epoch in range(0, int(self._end) + 1, apart):
            at = self.place(-1, epoch)
            painter.setPen(QColor(now.border))
            painter.drawLine(QPointF(at.x(), ROW), QPointF(at.x(), ROW * (len(self.rows) + 1)))
            painter.setPen(QColor(now.caption))
            painter.drawText(
                QRectF(at.x() - 30, 0, 60, ROW), Qt.AlignmentFlag.AlignCenter, f"{epoch}"
            )
        painter.drawText(QPointF(self._graph.right() + 2 * GAP, 0.7 * ROW), "epoch")

    def _paint_connector(self, painter: QPainter, row: int, branch: Branch) -> None:
        painter.setPen(QPen(self._ink(branch), 1.5))
        painter.drawLine(
            self.place(branch.parent or 0, branch.start), self.place(row, branch.start)
        )

    def _paint_line(self, painter: QPainter, row: int, branch: Branch) -> None:
        run, ink = branch.run, self._ink(branch)
        begin = self.place(row, branch.start)
        if run is None:
            painter.setPen(QPen(ink, 1.5, Qt.PenStyle.DashLine))
            painter.drawLine(begin, self.place(row, max(self._leaving[row])))
        else:
            self._paint_course(painter, row, branch, run)
        painter.setBrush(QColor(colours().base))
        for start, fork in self._leaving.get(row, {}).items():
            painter.setPen(QPen(self._ink(self.rows[fork]), 1.5))
            painter.drawEllipse(self.place(row, start), DOT, DOT)

    def _paint_course(self, painter: QPainter, row: int, branch: Branch, run: RunSummary) -> None:
        """The line of a run, as far as it has come, and what is still to come."""
        ink, begin = self._ink(branch), self.place(row, branch.start)
        reached = self.place(row, max(run.epoch, branch.start))
        if run.epoch < run.epochs and run.status == "running":
            painter.setPen(QPen(ink, 1, Qt.PenStyle.DotLine))
            painter.drawLine(reached, self.place(row, run.epochs))
        painter.setPen(QPen(ink, 2))
        painter.drawLine(begin, reached)
        painter.setBrush(ink)
        painter.drawEllipse(reached, DOT - 1, DOT - 1)

    def _ink(self, branch: Branch) -> QColor:
        if branch.run is not None and branch.run.folder in self._compared:
            return self._selection.colours.of(branch.run.folder)
        return QColor(colours().caption)

    def _paint_text(self, painter: QPainter, row: int, branch: Branch) -> None:
        now, top = colours(), ROW * (row + 1)
        left = round(self._graph.right()) + GAP + MARGIN * branch.depth
        right = self.width() - MARGIN - SIGN - GAP
        middle = Qt.AlignmentFlag.AlignVCenter
        title, rest = printable(branch.name), self._rest(row)
        width = max(0, right - NUMBERS - left)
        cut = painter.fontMetrics().elidedText(title, Qt.TextElideMode.ElideMiddle, width)
        painter.setPen(QColor(now.text if branch.run else now.caption))
        painter.drawText(left, top, width, ROW, middle, cut)
        used = painter.fontMetrics().horizontalAdvance(cut) + GAP
        cut = painter.fontMetrics().elidedText(rest, Qt.TextElideMode.ElideRight, width - used)
        painter.setPen(QColor(now.caption))
        painter.drawText(left + used, top, max(0, width - used), ROW, middle, cut)
        painter.setPen(QColor(now.text))
        flags = middle | Qt.AlignmentFlag.AlignRight
        painter.drawText(right - NUMBERS, top, NUMBERS, ROW, flags, self._accuracy(row))
        if self._parent(row) is not None:
            icon("difference").paint(painter, self.sign(row))

    def _rest(self, row: int) -> str:
        """What a fork changes, or that a parent is missing."""
        run, parent = self.rows[row].run, self._parent(row)
        if run is None:
            return "is not in this list: moved, deleted, or hidden by the filter"
        return "" if parent is None else describe_changes(parent, run) or "unchanged"

    def _accuracy(self, row: int) -> str:
        run, parent = self.rows[row].run, self._parent(row)
        if run is None or run.accuracy is None:
            return ""
        text = f"{100 * run.accuracy:.2f} %"
        if parent is None or parent.accuracy is None:
            return text
        change = number_text(100 * (run.accuracy - parent.accuracy), "percent", signed=True)
        return f"{text}  {change}"

    # -- mouse and keyboard ---------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        row = self._row_at(event.position().y())
        lines = () if row is None else self._describe(row)
        self._pointer.move(self._folders(row), lines, event.globalPosition().toPoint())
        hand, arrow = Qt.CursorShape.PointingHandCursor, Qt.CursorShape.ArrowCursor
        self.setCursor(hand if self._on_sign(row, event) else arrow)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._pointer.move((), (), QPoint())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        row = self._row_at(event.position().y())
        if event.button() != Qt.MouseButton.LeftButton or row is None:
            return
        if self._on_sign(row, event):
            self.compare_requested.emit(self.rows[row].run)
        else:
            self._pointer.click(self._folders(row), event.modifiers())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        there = [row for row, branch in enumerate(self.rows) if branch.run is not None]
        selected, key = self._selection.selection.selected, Qt.Key(event.key())
        at = next((k for k, row in enumerate(there) if selected & self._folders(row)), None)
        if key in (Qt.Key.Key_Up, Qt.Key.Key_Down) and there:
            by = 1 if key == Qt.Key.Key_Down else -1
            to = 0 if at is None else min(max(at + by, 0), len(there) - 1)
            self._pointer.click(self._folders(there[to]), event.modifiers())
        elif key == Qt.Key.Key_Return and at is not None and self._parent(there[at]) is not None:
            self.compare_requested.emit(self.rows[there[at]].run)
        else:
            super().keyPressEvent(event)

    def _on_sign(self, row: int | None, event: QMouseEvent) -> bool:
        """Whether the mouse is on the sign of a fork whose parent is in the list."""
        if row is None or self._parent(row) is None:
            return False
        return self.sign(row).contains(event.position().toPoint())

    def _folders(self, row: int | None) -> frozenset[Path]:
        run = None if row is None else self.rows[row].run
        return frozenset() if run is None else frozenset({run.folder})

    def _describe(self, row: int) -> list[str]:
        branch, run = self.rows[row], self.rows[row].run
        where = f"forked from {run.parent}" if run is not None and run.parent else ""
        return [branch.name, where, self._rest(row)]


class ForksPane(QWidget):
    """The tree of the forks among the runs that the table shows."""

    compare_requested = Signal(object)
    """RunSummary: a fork that the user wants to compare with its parent."""

    def __init__(self, selection: RunSelection) -> None:
        super().__init__()
        self._selection = selection
        self.tree = ForkTree(selection)
        self.tree.compare_requested.connect(self.compare_requested)
        self.none = Label(NONE, wordWrap=True)
        self.area = scrolled(self.tree)
        column(self.none, (self.area, 1), on=self, margin=TIGHT).addStretch(0)
        selection.changed.connect(self._show_selection)

    def picture_to_save(self) -> Picture | None:
        """The rows that are on screen."""
        return Picture("forks", "Forks over their epochs", self) if self.tree.rows else None

    def data_to_save(self) -> Data | None:
        """One row per run; ``epoch`` is where it leaves its parent."""
        runs = [row.run for row in self.tree.rows if row.run is not None]
        rows = [
            (
                one.title,
                str(one.folder),
                one.parent,
                one.parent_epoch,
                "" if one.accuracy is None else one.accuracy,
            )
            for one in runs
        ]
        columns = ("run", "folder", "parent", "epoch", "accuracy")
        return Data("forks", {".csv": as_csv(columns, len(rows), rows)}) if rows else None

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._show_runs()

    @Slot(object, object)
    def _show_selection(self, before: Selection, now: Selection) -> None:
        if self.isVisible():
            if now.shown != before.shown:
                self._show_runs()
            self.tree.update()

    def _show_runs(self) -> None:
        self.tree.show_runs(self._selection.selection.shown)
        self.none.setVisible(not self.tree.rows)
        self.area.setVisible(bool(self.tree.rows))
