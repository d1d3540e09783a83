"""The rows of the table of runs: a run each, or the seeds of one experiment folded into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, Signal

from lbc_gui.library.arrangement import Arrangement, Key, Line
from lbc_gui.library.cells import EDITABLE, edited_text, line_text, tooltip
from lbc_gui.widgets.table import RIGHT, Index
from lbc_gui.widgets.text import plain

LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter

DISPLAY, EDIT = Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole


class RunsModel(QAbstractTableModel):
    """Shows an arrangement. Texts are made for rows in view only, once."""

    edited = Signal(object, str, str)
    """The Line, the key of the column, and the text that the user has typed."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.arrangement = Arrangement()
        self.lines: list[Line] = []
        self.baseline: int | None = None
        """The row in the frame of the run that others are compared with."""
        self._open: set[Key] = set()
        self._texts: dict[int, list[str]] = {}

    def show(self, arrangement: Arrangement, baseline: int | None) -> bool:
        """Show rows and columns; return False if they are the same as before with news in them."""
        before = self.arrangement
        same = before.columns == arrangement.columns and list(before.places) == list(
            arrangement.places
        )
        lines = list(self._unfolded(arrangement))
        same = same and len(lines) == len(self.lines)
        if not same:
            self.beginResetModel()
        self.arrangement, self.baseline = arrangement, baseline
        self.lines, self._texts = lines, {}
        if not same:
            self.endResetModel()
        elif lines:
            last = self.index(len(lines) - 1, len(arrangement.columns) - 1)
            self.dataChanged.emit(self.index(0, 0), last)
        return not same

    def row_of(self, key: Key) -> int | None:
        """Where a line with this key is, None if there is none."""
        if not self._open:
            return self.arrangement.places.get(key)
        return next((at for at, line in enumerate(self.lines) if line.key == key), None)

    def toggle(self, row: int) -> None:
        """Show or hide the runs of a group below it."""
        line, nothing = self.lines[row], QModelIndex()
        count = len(line.members)
        if not count:
            return
        self._texts = {}
        if line.key in self._open:
            self._open.remove(line.key)
            self.beginRemoveRows(nothing, row + 1, row + count)
            del self.lines[row + 1 : row + 1 + count]
            self.endRemoveRows()
        else:
            self._open.add(line.key)
            self.beginInsertRows(nothing, row + 1, row + count)
            self.lines[row + 1 : row + 1] = line.members
            self.endInsertRows()

    def is_open(self, line: Line) -> bool:
        return line.key in self._open

    def is_heavy(self, line: Line, key: str) -> bool:
        """Whether a cell is emphasised: the best accuracy, and the run that others are compared
        with."""
        shown = self.arrangement
        best = shown.best == (line.group if shown.groups else line.row) and not line.inner
        compared = line.row == self.baseline and not line.members
        return compared or (key == "accuracy" and best)

    def _unfolded(self, arrangement: Arrangement) -> Sequence[Line]:
        if not self._open:
            return arrangement.lines
        found: list[Line] = []
        for line in arrangement.lines:
            found.append(line)
            if line.key in self._open:
                found += line.members
        return found

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.lines)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.arrangement.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = DISPLAY) -> Any:
        if orientation is not Qt.Orientation.Horizontal:
            return None
        column = self.arrangement.columns[section]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return column.title
            case Qt.ItemDataRole.ToolTipRole:
                return plain(column.tip)
            case Qt.ItemDataRole.TextAlignmentRole:
                return RIGHT if column.number else LEFT
        return None

    def text(self, row: int, column: int) -> str:
        """The text of a cell."""
        texts = self._texts.get(row)
        if texts is None:
            line, shown = self.lines[row], self.arrangement
            texts = [line_text(line, at.key, shown, self.baseline) for at in shown.columns]
            if line.members:
                mark, at = "▾" if self.is_open(line) else "▸", shown.title_column
                texts[at] = f"{mark} {texts[at]}"
            self._texts[row] = texts
        return texts[column]

    def data(self, index: Index, role: int = DISPLAY) -> Any:
        line, key = self.lines[index.row()], self.arrangement.columns[index.column()].key
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self.text(index.row(), index.column())
            case Qt.ItemDataRole.EditRole:
                return edited_text(line, key)
            case Qt.ItemDataRole.ToolTipRole:
                return plain(tooltip(line, self.text(index.row(), index.column())))
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = super().flags(index)
        key = self.arrangement.columns[index.column()].key
        if key in EDITABLE and not (key == "title" and self.lines[index.row()].members):
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def setData(self, index: Index, value: Any, role: int = EDIT) -> bool:
        line, key = self.lines[index.row()], self.arrangement.columns[index.column()].key
        if role != EDIT or str(value) == edited_text(line, key):
            return False
        self.edited.emit(line, key, str(value))
        return True
