"""The entries of the queue, a row each, to be chosen and dragged."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QItemSelection, QItemSelectionModel, Qt, Signal, Slot
from PySide6.QtGui import QColor, QDropEvent, QShowEvent
from PySide6.QtWidgets import QAbstractItemView

from lbc.queue.entries import Entry
from lbc.queue.progress import Progress
from lbc_gui.queue.follower import QueueMoment
from lbc_gui.theme import colours
from lbc_gui.turns import call_later
from lbc_gui.widgets.table import Column, Index, TableModel, TableView, faint


@dataclass(frozen=True)
class Line:
    """An entry, how far it is, and the title of its group if it is the first of it."""

    entry: Entry
    progress: Progress
    title: str


def lines_of(moment: QueueMoment) -> list[Line]:
    """One line for each entry, in their order."""
    entries = moment.queue.entries
    done: dict[str, list[bool]] = {}
    for entry in entries:
        done.setdefault(entry.group, []).append(entry.state == "finished")
    lines, before = [], ""
    for entry in entries:
        states = done[entry.group]
        title = f"{entry.group} · {sum(states)} of {len(states)}"
        first = bool(entry.group) and entry.group != before
        lines.append(Line(entry, moment.progress.get(entry.id, Progress()), title if first else ""))
        before = entry.group
    return lines


def _epoch(line: Line) -> str:
    begun = line.progress.epoch or line.entry.state == "running"
    return f"{line.progress.epoch} of {line.entry.epochs}" if begun else ""


def _accuracy(line: Line) -> str:
    return "" if line.progress.accuracy is None else f"{line.progress.accuracy:.2%}"


COLUMNS: tuple[Column[Line], ...] = (
    Column("Group", lambda line: line.title, "Variations, and how many of them are finished"),
    Column("Run", lambda line: line.entry.varied or line.entry.name),
    Column("State", lambda line: line.entry.state),
    Column("Epoch", _epoch, number=True),
    Column("Accuracy", _accuracy, "On the test images, after the last whole epoch", number=True),
    Column("Reason", lambda line: line.entry.reason, "Why it failed or stopped"),
)
WIDTHS = (210, 260, 70, 74, 66, 200)

AUTO_SCROLL = 5
"""Pixels from an edge within which a dragged row scrolls the table: it may be three rows high."""

LOWEST = 90
"""Pixels of height that show three rows."""


def _tip(line: Line) -> str:
    entry = line.entry
    return "\n".join(filter(None, (f"{entry.id}: {entry.folder}", entry.varied, entry.reason)))


def _colour(line: Line) -> QColor | None:
    if line.entry.state == "failed":
        return QColor(colours().error)
    return faint() if line.entry.state in ("finished", "cancelled") else None


class _Model(TableModel[Line]):
    def flags(self, index: Index) -> Qt.ItemFlag:
        return super().flags(index) | Qt.ItemFlag.ItemIsDragEnabled | Qt.ItemFlag.ItemIsDropEnabled

    def supportedDropActions(self) -> Qt.DropAction:
        return Qt.DropAction.MoveAction


class QueueTable(TableView[Line]):
    """Several rows can be chosen; ``dropped`` ones are to be moved."""

    dropped = Signal(object, object)
    """The ids of the dragged entries, and that of the one before which they are to be, or None."""

    def __init__(self) -> None:
        model = _Model(
            COLUMNS,
            _tip,
            colour=_colour,
            bold=lambda line: line.entry.state == "running",
            key=lambda line: line.entry.id,
        )
        super().__init__(model, "Queue", stretch=-1, widths=WIDTHS)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setDragDropOverwriteMode(False)
        self.setAutoScrollMargin(AUTO_SCROLL)
        self.setMinimumHeight(LOWEST)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    @property
    def chosen_ids(self) -> list[int]:
        """The ids of the chosen entries, in their order."""
        rows = sorted(index.row() for index in self.selectionModel().selectedRows())
        return [self.table.rows[row].entry.id for row in rows]

    def show_lines(self, lines: Sequence[Line], reveal: bool = False) -> None:
        """Show entries; those that were chosen still are.

        ``reveal``: scroll to what is left. While that is in view, it is followed.
        """
        ids, before = self.chosen_ids, self._first_left()
        seen = before is not None and self._shows(before)
        self.table.show_rows(lines)
        if self.chosen_ids != ids:
            self.choose(ids)
        first = self._first_left()
        if first is not None and (reveal or (seen and not ids and not self._shows(first))):
            self._reveal_left()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self.chosen_ids:
            call_later(self, self._reveal_left, 0)  # the table has its height then

    @Slot()
    def _reveal_left(self) -> None:
        if (first := self._first_left()) is not None:
            self.scrollTo(self.table.index(first, 0), self.ScrollHint.PositionAtTop)

    def _first_left(self) -> int | None:
        """The first row that is not over."""
        states = (line.entry.state for line in self.table.rows)
        return next(
            (at for at, state in enumerate(states) if state in ("running", "waiting")), None
        )

    def _shows(self, row: int) -> bool:
        place = self.visualRect(self.table.index(row, 0))
        return self.viewport().rect().contains(place.center())

    def choose(self, ids: Collection[int]) -> None:
        """Choose the entries with these ids, as far as there are any."""
        selection, model = QItemSelection(), self.table
        rows = [row for row in map(model.row_of, ids) if row is not None]
        for row in rows:
            selection.select(model.index(row, 0), model.index(row, len(COLUMNS) - 1))
        command = QItemSelectionModel.SelectionFlag.ClearAndSelect
        self.selectionModel().select(selection, command)
        if rows:
            index = model.index(rows[0], 0)
            self.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.NoUpdate)

    def dropEvent(self, event: QDropEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        row = index.row() if index.isValid() else len(self.table.rows)
        below = self.dropIndicatorPosition() == QAbstractItemView.DropIndicatorPosition.BelowItem
        row += below
        # Not a move of the view's own, which would take the rows out of the model.
        event.setDropAction(Qt.DropAction.IgnoreAction)
        event.accept()
        before = self.table.rows[row].entry.id if row < len(self.table.rows) else None
        self.dropped.emit(self.chosen_ids, before)
