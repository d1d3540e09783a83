"""The table of runs: chosen by mouse and keyboard, edited in place, mirrored by the selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import (
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QRect,
    QSignalBlocker,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QLineEdit, QTableView

from lbc.library.run_summary import RunSummary
from lbc_gui.compare.run_selection import RunSelection, Selection
from lbc_gui.library.arrangement import Arrangement, Line
from lbc_gui.library.column_widths import fitting_widths
from lbc_gui.library.row_commands import RowCommands
from lbc_gui.library.row_painter import Place, RowPainter
from lbc_gui.library.runs_model import RunsModel
from lbc_gui.theme import colours

ROW_HEIGHT = 22

FOLD_WIDTH = 30
"""Pixels of the mark before the title of a group."""


class RunsTable(QTableView):
    """Shows the runs of an arrangement; what is chosen in it is chosen in ``selection``.

    ``widths`` are those of columns that the user has resized before.
    """

    sort_wanted = Signal(str)
    edit_ended = Signal()
    """The editor of a cell was closed."""
    columns_wanted = Signal(object)
    """Where the user asks for the list of columns: a global position."""

    _typed: str | None = None
    """What has been typed for an editor to come; None while letters are commands."""

    def __init__(self, selection: RunSelection, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.runs = RunsModel(self)
        self._selection, self._mirroring = selection, False
        self.chosen_widths = dict(widths)
        """Of the columns that the user has resized, by their keys."""
        self._swatches = True
        self.setModel(self.runs)
        self.setAccessibleName("Runs")
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)  # Tab leaves the table, arrow keys move in it
        self.setWordWrap(False)
        self.setMouseTracking(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        small = self.font()
        small.setPointSizeF(small.pointSizeF() * 0.9)
        self.setFont(small)
        rows, header = self.verticalHeader(), self.horizontalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(ROW_HEIGHT)
        header.setFont(small)
        header.setMinimumSectionSize(24)
        header.setHighlightSections(False)
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        # With that of the rows, it would ask for every cell whether a whole column is selected.
        header.setSelectionModel(QItemSelectionModel(self.runs, header))
        header.sectionClicked.connect(self._header_clicked)
        header.sectionResized.connect(self._resized)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(
            lambda at: self.columns_wanted.emit(header.mapToGlobal(at))
        )
        self._make_painter()
        for changed in (self.runs.dataChanged, self.runs.modelReset):
            changed.connect(self._forget_texts)
        self.commands = RowCommands(self)
        self.selectionModel().selectionChanged.connect(self._chosen)
        ended = Qt.ConnectionType.QueuedConnection  # when the view knows it, too
        self.itemDelegate().closeEditor.connect(self.edit_ended, ended)
        self.doubleClicked.connect(self._double_clicked)
        selection.changed.connect(self._selection_changed)

    # -- what is shown --------------------------------------------------------------------------

    def show_arrangement(self, arrangement: Arrangement, baseline: int | None) -> None:
        """Show rows and columns; what is chosen, and the place scrolled to, stay."""
        before = self.runs.arrangement.columns
        current = self.currentIndex().row()
        key = self.runs.lines[current].key if 0 <= current < len(self.runs.lines) else None
        top, left = self.verticalScrollBar().value(), self.horizontalScrollBar().value()
        self._mirroring = True
        compared = self.runs.baseline
        if self.runs.show(arrangement, baseline) or compared != baseline:
            self._fit_columns(grow=before == arrangement.columns)
            self._mirror()
            at = None if key is None else self.runs.row_of(key)
            if at is not None:
                index = self.runs.index(at, arrangement.title_column)
                flag = QItemSelectionModel.SelectionFlag.NoUpdate
                self.selectionModel().setCurrentIndex(index, flag)
            self.verticalScrollBar().setValue(top)
            self.horizontalScrollBar().setValue(left)
        else:
            self._fit_columns(grow=True)
        self._mirroring = False

    def show_order(self, key: str, descending: bool) -> None:
        """Mark the column by which rows are sorted."""
        keys = [column.key for column in self.runs.arrangement.columns]
        order = Qt.SortOrder.DescendingOrder if descending else Qt.SortOrder.AscendingOrder
        self.horizontalHeader().setSortIndicator(keys.index(key) if key in keys else -1, order)

    def _fit_columns(self, grow: bool) -> None:
        """Make columns as wide as their texts; ``grow``: none narrower than it is."""
        header, columns = self.horizontalHeader(), range(len(self.runs.arrangement.columns))
        least = [header.sectionSize(at) if grow else 0 for at in columns]
        room = self.viewport().width()
        widths = fitting_widths(self.runs, self.font(), self.chosen_widths, least, room)
        with QSignalBlocker(header):
            for at, width in enumerate(widths):
                header.resizeSection(at, width)
        self.updateGeometries()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_columns(grow=True)

    @Slot(int, int, int)
    def _resized(self, at: int, _before: int, width: int) -> None:
        self.chosen_widths[self.runs.arrangement.columns[at].key] = width

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "commands"):
            self._make_painter()

    def _make_painter(self) -> None:
        runs, now = self._selection.colours, colours()
        self._painter = RowPainter(self.runs, self.font(), ROW_HEIGHT, now, runs)
        self._painter.swatches = self._swatches

    @Slot(bool)
    def hide_swatches(self, hidden: bool) -> None:
        """Show before each title the colour that the run has in the panes, or no longer."""
        self._swatches = not hidden
        self._make_painter()
        self.viewport().update()

    @Slot()
    def _forget_texts(self) -> None:
        self._painter.forget()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the rows that need it, which may be far apart; an editor draws itself above them."""
        with QPainter(self.viewport()) as painter:
            for area in event.region():  # type: ignore[attr-defined]
                self._paint_rows(painter, area)

    def _paint_rows(self, painter: QPainter, area: QRect) -> None:
        first, last = self.rowAt(area.top()), self.rowAt(area.bottom())
        if first < 0:
            return
        last = last if last >= 0 else len(self.runs.lines) - 1
        places = []
        for column in range(len(self.runs.arrangement.columns)):
            left, width = self.columnViewportPosition(column), self.columnWidth(column)
            if left <= area.right() and left + width >= area.left():
                places.append(Place(column, left, width))
        current = self.currentIndex().row() if self.hasFocus() else -1
        top, selection = self.rowViewportPosition(first), self._selection.selection
        self._painter.paint(painter, range(first, last + 1), top, places, selection, current)

    # -- what is chosen -------------------------------------------------------------------------

    @property
    def chosen_runs(self) -> tuple[RunSummary, ...]:
        """The selected runs, in the order shown; those of a group with it."""
        selection = self._selection.selection
        if not selection.selected:
            return ()
        return tuple(run for run in selection.shown if run.folder in selection.selected)

    @Slot()
    def _chosen(self, *_: QItemSelection) -> None:
        if self._mirroring:
            return
        parts, lines = self.selectionModel().selection().toList(), self.runs.lines
        chosen = (line for part in parts for line in lines[part.top() : part.bottom() + 1])
        folders = {run.folder for line in chosen for run in line.runs}
        self._mirroring = True
        self._selection.select(folders)
        self._mirroring = False

    @Slot(object, object)
    def _selection_changed(self, before: Selection, now: Selection) -> None:
        if replace(before, hovered=now.hovered) == now:
            self._repaint_rows({before.hovered, now.hovered})
            return
        self.viewport().update()
        if now.selected != before.selected and not self._mirroring:
            self._mirroring = True
            self._mirror()
            self._mirroring = False
        runs, line = self.chosen_runs, self.current_line
        alike = line is not None and len(line.runs) == len(runs) and line.runs[0] in runs
        self.commands.enable(runs, now.baseline in now.selected, alike)

    def _repaint_rows(self, folders: set[Path | None]) -> None:
        """Paint the visible rows of runs anew; the others have not changed."""
        area = self.viewport().rect()
        first, last = max(self.rowAt(0), 0), self.rowAt(area.bottom())
        for at, line in enumerate(self.runs.lines[first : last + 1 or None], first):
            if not folders.isdisjoint(run.folder for run in line.runs):
                top, height = self.rowViewportPosition(at), self.rowHeight(at)
                self.viewport().update(area.x(), top, area.width(), height)

    def _mirror(self) -> None:
        """Select the rows of the selected runs, and bring the first into view."""
        selected, lines = self._selection.selection.selected, self.runs.lines
        rows = []
        if selected:
            rows = [
                at
                for at, line in enumerate(lines)
                if all(run.folder in selected for run in line.runs)
            ]
        last, chosen = max(0, len(self.runs.arrangement.columns) - 1), QItemSelection()
        for first, end in _stretches(rows):
            chosen.select(self.runs.index(first, 0), self.runs.index(end, last))
        flag = QItemSelectionModel.SelectionFlag.ClearAndSelect
        self.selectionModel().select(chosen, flag)
        if rows and self.currentIndex().row() not in rows:
            index = self.runs.index(rows[0], self.runs.arrangement.title_column)
            no_change = QItemSelectionModel.SelectionFlag.NoUpdate
            self.selectionModel().setCurrentIndex(index, no_change)

    # -- mouse and keyboard ---------------------------------------------------------------------

    @property
    def current_line(self) -> Line | None:
        at = self.currentIndex().row()
        return self.runs.lines[at] if 0 <= at < len(self.runs.lines) else None

    @property
    def editing(self) -> bool:
        """Whether the user edits a cell."""
        return self.state() is QAbstractItemView.State.EditingState

    def edit_column(self, key: str) -> bool:
        """Edit a column of the current row in its cell; False if the column is not there yet.

        Then what is typed goes to the editor, once there is one, instead of being commands.
        """
        keys = [column.key for column in self.runs.arrangement.columns]
        if key not in keys:
            self._typed = self._typed or ""
            return False
        typed, self._typed = self._typed, None
        if self.currentIndex().isValid():
            index = self.runs.index(self.currentIndex().row(), keys.index(key))
            self.scrollTo(index)
            self.edit(index)
            editor = self.viewport().focusWidget()
            if typed and isinstance(editor, QLineEdit):
                editor.insert(typed)
        return True

    def event(self, event: QEvent) -> bool:
        if self._typed is not None and event.type() is QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        return super().event(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._typed = None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        left = event.button() == Qt.MouseButton.LeftButton
        if left and index.isValid() and self._pressed(index, event):
            return
        super().mousePressEvent(event)

    def _pressed(self, index: QModelIndex, event: QMouseEvent) -> bool:
        """Fold a group whose mark is pressed, or star a run; whether it was one of these."""
        key, line = self.runs.arrangement.columns[index.column()].key, self.runs.lines[index.row()]
        within = event.position().x() - self.visualRect(index).left()
        if key == "title" and line.members and within < FOLD_WIDTH:
            self._toggle(index.row())
            return True
        if key == "star" and not event.modifiers():
            self.selectRow(index.row())
            self.commands.triggered.emit("star")
            return True
        return False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        at = self.indexAt(event.position().toPoint()).row()
        runs = self.runs.lines[at].runs if at >= 0 else ()
        self._selection.hover(runs[0].folder if len(runs) == 1 else None)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._selection.hover(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if self._typed is not None:
            self._typed += event.text() if event.text().isprintable() else ""
            return
        line, key = self.current_line, event.key()
        if line is not None and line.members:
            unfolded = self.runs.is_open(line)
            wanted = {
                Qt.Key.Key_Right: not unfolded,
                Qt.Key.Key_Left: unfolded,
                Qt.Key.Key_Return: True,
            }
            if wanted.get(Qt.Key(key)):
                self._toggle(self.currentIndex().row())
                return
        super().keyPressEvent(event)

    def keyboardSearch(self, _search: str) -> None:
        """Letters are commands."""

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        at = self.indexAt(self.viewport().mapFromGlobal(event.globalPos()))
        if at.isValid() or self.chosen_runs:
            self.commands.menu.popup(event.globalPos())

    @Slot(QModelIndex)
    def _double_clicked(self, index: QModelIndex) -> None:
        if self.runs.lines[index.row()].members:
            self._toggle(index.row())
        elif self.runs.arrangement.columns[index.column()].key in ("tag", "note"):
            self.edit(index)
        else:
            self.commands.triggered.emit("open")

    def _toggle(self, row: int) -> None:
        self._mirroring = True
        self.runs.toggle(row)
        self._forget_texts()
        self._mirror()
        self._mirroring = False

    @Slot(int)
    def _header_clicked(self, at: int) -> None:
        self.sort_wanted.emit(self.runs.arrangement.columns[at].key)


def _stretches(rows: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each stretch of rows that follow one another."""
    found: list[tuple[int, int]] = []
    for row in rows:
        if found and found[-1][1] == row - 1:
            found[-1] = (found[-1][0], row)
        else:
            found.append((row, row))
    return found
