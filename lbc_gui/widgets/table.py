"""A table over rows of frozen values, whose columns say how a row is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSize,
    QSortFilterProxyModel,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import QAction, QColor, QFont, QGuiApplication, QIcon, QKeySequence, QPixmap
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from lbc_gui.theme import colours
from lbc_gui.widgets.share_bar import SHARE, ShareBars
from lbc_gui.widgets.text import plain

Index = QModelIndex | QPersistentModelIndex
R = TypeVar("R")

LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter

SWATCH = 64
"""Pixels of a square of colour, which is drawn smaller on every screen."""


def faint() -> QColor:
    """The colour of what takes no part, under the present palette."""
    return QColor(colours().caption)


def small_font() -> QFont:
    """The type of tables."""
    font = QFont()
    font.setPointSizeF(font.pointSizeF() * 0.9)
    return font


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column: the text of a row in it, and by what rows are sorted where that is not the text.

    ``tip`` explains the header; ``swatch`` is a colour shown before the text, ``ground`` one
    behind it, ``share``, 0 to 1, a bar below it. ``edit`` returns the row with a text typed into
    this column; a column without it is read-only.
    """

    title: str
    text: Callable[[R], str]
    tip: str = ""
    number: bool = False
    sort_key: Callable[[R], Any] | None = None
    colour: Callable[[R], QColor | None] | None = None
    swatch: Callable[[R], QColor] | None = None
    ground: Callable[[R], QColor | None] | None = None
    share: Callable[[R], float | None] | None = None
    edit: Callable[[R, str], R] | None = None


class TableModel(QAbstractTableModel, Generic[R]):
    """Shows ``rows`` in ``columns``; the sort keys have the role Qt.UserRole.

    ``tip``, ``colour`` and ``bold`` apply to whole rows; a column's own colour goes first. ``key``
    names a row: new rows with the keys of the old ones leave selection and scroll position as they
    are. Without it both are lost. ``heading`` is the text before a row, which never scrolls away.
    """

    edited = Signal(object)
    """The row as the user has edited it."""

    def __init__(
        self,
        columns: Sequence[Column[R]],
        tip: Callable[[R], str] | None = None,
        colour: Callable[[R], QColor | None] | None = None,
        bold: Callable[[R], bool] | None = None,
        key: Callable[[R], object] | None = None,
        heading: Callable[[R], str] | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.columns, self.heading = columns, heading
        self._tip, self._colour, self._bold, self._key = tip, colour, bold, key
        self.rows: Sequence[R] = ()
        self._numbers: dict[object, int] = {}
        self._swatches: dict[int, QIcon] = {}

    def show_rows(self, rows: Sequence[R]) -> None:
        key = self._key
        numbers = {} if key is None else {key(row): at for at, row in enumerate(rows)}
        same, self._numbers = numbers and list(numbers) == list(self._numbers), numbers
        if same:
            self.rows = rows
            self.refresh()
            return
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def show_table(self, columns: Sequence[Column[R]], rows: Sequence[R]) -> None:
        """Show rows in other columns; selection and scroll position are lost."""
        self.beginResetModel()
        self.columns, self.rows, self._numbers = columns, rows, {}
        self.endResetModel()

    def replace_row(self, at: int, row: R) -> None:
        rows = list(self.rows)
        rows[at] = row
        self.rows = rows
        self.dataChanged.emit(self.index(at, 0), self.index(at, len(self.columns) - 1))

    def refresh(self) -> None:
        """Show every row again: what its columns depend on has changed."""
        if len(self.rows):
            last = self.index(len(self.rows) - 1, len(self.columns) - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def row_of(self, key: object) -> int | None:
        """The number of the row with this key; None if there is none."""
        return self._numbers.get(key)

    def text(self, row: int, column: int) -> str:
        return self.columns[column].text(self.rows[row])

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        if role == Qt.ItemDataRole.FontRole:  # a header loses its own with every style sheet
            return small_font()
        if orientation != Qt.Orientation.Horizontal:
            shown = self.heading is not None and role == Qt.ItemDataRole.DisplayRole
            return self.heading(self.rows[section]) if shown and self.heading else None
        column = self.columns[section]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return column.title
            case Qt.ItemDataRole.ToolTipRole:
                return column.tip or None
            case Qt.ItemDataRole.TextAlignmentRole:
                return RIGHT if column.number else LEFT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row, column = self.rows[index.row()], self.columns[index.column()]
        match role:
            case Qt.ItemDataRole.DisplayRole | Qt.ItemDataRole.EditRole:
                return column.text(row)
            case Qt.ItemDataRole.UserRole:
                return (column.sort_key or column.text)(row)
            case Qt.ItemDataRole.ToolTipRole if self._tip is not None:
                return plain(self._tip(row))
            case Qt.ItemDataRole.DecorationRole if column.swatch is not None:
                return self._filled(column.swatch(row))
            case Qt.ItemDataRole.BackgroundRole if column.ground is not None:
                return column.ground(row)
            case _ if role == SHARE and column.share is not None:
                return column.share(row)
            case Qt.ItemDataRole.TextAlignmentRole if column.number:
                return RIGHT
            case Qt.ItemDataRole.ForegroundRole:
                colour = column.colour or self._colour
                return None if colour is None else colour(row)
            case Qt.ItemDataRole.FontRole if self._bold is not None and self._bold(row):
                font = QFont()  # all but its weight is taken from the view's
                font.setBold(True)
                return font
        return None

    def _filled(self, colour: QColor) -> QIcon:
        """The same icon each time: Qt would make a new one of a colour whenever a cell is painted,
        and keep thousands of them."""
        if colour.rgba() not in self._swatches:
            square = QPixmap(SWATCH, SWATCH)
            square.fill(colour)
            self._swatches[colour.rgba()] = QIcon(square)
        return self._swatches[colour.rgba()]

    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = super().flags(index)
        if index.isValid() and self.columns[index.column()].edit is not None:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        edit = self.columns[index.column()].edit
        if edit is None or role != Qt.ItemDataRole.EditRole:
            return False
        row = edit(self.rows[index.row()], str(value))
        self.replace_row(index.row(), row)
        self.edited.emit(row)
        return True


class TableView(QTableView, Generic[R]):
    """Chooses a row at a time, and copies rows; in small type, without a grid.

    Columns have ``widths`` in pixels or, without them, those of their contents; the column
    ``stretch`` takes the room that is left. ``order`` sorts and filters the rows.
    """

    chosen = Signal(object)
    """The row that has become the current one; None if there is none any more."""

    def __init__(
        self,
        model: TableModel[R],
        name: str,
        stretch: int,
        widths: Sequence[int] = (),
        row_height: int = 21,
        order: QSortFilterProxyModel | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.table, self._order = model, order
        if model.parent() is None:
            model.setParent(self)
        if order is not None:
            order.setSourceModel(model)
            order.setSortRole(Qt.ItemDataRole.UserRole)
        self.setModel(order or model)
        self.setTabKeyNavigation(False)  # Tab leaves the table, arrow keys move in it
        self.setAccessibleName(name)
        self.setShowGrid(False)
        self.setIconSize(QSize(12, 12))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setFont(small_font())
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(row_height)
        for at, shown in enumerate(model.columns):
            if shown.share is not None:
                self.setItemDelegateForColumn(at, ShareBars(self))
        header, mode = self.horizontalHeader(), QHeaderView.ResizeMode
        header.setMinimumSectionSize(30)
        header.setHighlightSections(False)  # in bold type, for which there is no room
        for column, width in enumerate(widths):
            header.resizeSection(column, width)
        if not widths:
            header.setSectionResizeMode(mode.ResizeToContents)
        header.setSectionResizeMode(stretch % len(model.columns), mode.Stretch)
        self.selectionModel().currentRowChanged.connect(self._current_changed)
        model.modelReset.connect(self._current_changed)
        copy = QAction("Copy &rows", self)
        copy.setShortcut(QKeySequence.StandardKey.Copy)
        copy.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        copy.triggered.connect(self.copy_rows)
        self.addAction(copy)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    @property
    def current(self) -> R | None:
        index = self.currentIndex()
        at = (index if self._order is None else self._order.mapToSource(index)).row()
        return self.table.rows[at] if 0 <= at < len(self.table.rows) else None

    @Slot()
    def copy_rows(self) -> None:
        """Put the selected rows, or all, on the clipboard with tabs between the columns."""
        chosen = sorted(index.row() for index in self.selectionModel().selectedRows())
        columns, rows = self.shown_cells(chosen)
        lines = ("\t".join(cells).rstrip("\t") for cells in (columns, *rows))
        QGuiApplication.clipboard().setText("\n".join(lines) + "\n")

    def offer_in(self, pane: QWidget) -> None:
        """Let the menu of ``pane``, where it can be saved, have the commands of the table too."""
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        pane.addActions(self.actions())
        pane.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    def shown_cells(self, chosen: Sequence[int] = ()) -> tuple[list[str], list[list[str]]]:
        """Titles of the columns that are not hidden, and the texts of the ``chosen`` rows or all.

        A row's heading comes first.
        """
        model, table = self.model(), self.table
        columns = [at for at in range(len(table.columns)) if not self.isColumnHidden(at)]
        rows = [
            [model.index(at, column).data() for column in columns]
            for at in chosen or range(model.rowCount())
        ]
        titles = [table.columns[column].title for column in columns]
        if table.heading is None:
            return titles, rows
        vertical = Qt.Orientation.Vertical
        heads = [model.headerData(at, vertical) for at in chosen or range(model.rowCount())]
        return ["", *titles], [[head, *row] for head, row in zip(heads, rows, strict=True)]

    @Slot()
    def _current_changed(self, *_: object) -> None:
        self.chosen.emit(self.current)
