"""The table of cases: one row each, filled as results come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    Qt,
    Slot,
)
from PySide6.QtGui import QAction, QColor, QGuiApplication, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from lbc.latency.anchors import find_peak
from lbc.latency.explanation import explain
from lbc.latency.measurement import Measurement, Mode, Result
from lbc.latency.table import detail_lines, speed_up

Index = QModelIndex | QPersistentModelIndex

HEADERS = (
    "case", "m×n×k", "dense µs", "sparse µs", "speed-up (95 %)", "eager", "way", "TFLOP/s",
    "baseline",
)  # fmt: skip
TIPS = (
    "Layer or shape",
    "Outputs × tokens or pixels × inputs",
    "Median of the fastest dense way",
    "Median of the fastest sparse way whose result was right",
    "Dense over sparse time, with its bootstrap interval",
    "The same without a CUDA graph, as eager code feels it",
    "What was fastest, with its algorithm",
    "Operations of the dense product over the sparse time, and their share of the sparse peak on "
    "the data sheet",
    "Sparse time of the pinned baseline over this one",
)
SAMPLES = (
    "", "11008×4096×4096", "88,888.8", "88,888.8", "0.88 (0.88–0.88)", "0.88",
    "cuSPARSELt best (8)", "1,888 (88%)", "0.88",
)  # fmt: skip
"""Texts that a column must have room for; the first takes what is left."""

TEXT = Qt.TextFlag.TextWordWrap | Qt.AlignmentFlag.AlignVCenter
MARGINS = 8
"""Of a cell, in pixels, left and right together."""

MEASURING, WAITING = "being measured", "waiting"

MOST_WAITING = 20
"""Cases to come that are named, one by one."""
GREY = QColor(128, 128, 128)


@dataclass(frozen=True)
class Line:
    """A row of the table: a case with its figures, or a sentence below it."""

    result: Result | None
    text: str

    @property
    def sentence(self) -> str | None:
        """What is written over the whole row; None where it is a case."""
        return self.text if self.result is None else None


class CasesModel(QAbstractTableModel):
    """One measurement's cases, each with a line below it where it gains little."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.lines: list[Line] = []
        self._measurement: Measurement | None = None
        self._baseline: dict[tuple[int, int, int], float] = {}
        self._reasons: dict[int, tuple[Result, str]] = {}

    @property
    def unused(self) -> tuple[int, ...]:
        """Columns that nothing is known for: no CUDA graphs, no baseline."""
        results = self._measurement.results if self._measurement else ()
        graphs = any(result.mode("graph") == "graph" for result in results if result.times)
        names = (*(() if graphs or not results else ("eager",)),
                 *(() if self._baseline else ("baseline",)))  # fmt: skip
        return tuple(HEADERS.index(name) for name in names)

    def show_measurement(
        self, measurement: Measurement | None, waiting: Sequence[str] = ()
    ) -> None:
        """Show results; ``waiting`` names cases still to come, the one being measured first."""
        lines = []
        for result in measurement.results if measurement else ():
            lines.append(Line(result, result.name))
            why = self._why(result, measurement) if measurement else ""
            lines += [Line(None, why)] if why else []
        states = (MEASURING, *(WAITING for _ in waiting))
        named = list(zip(waiting[:MOST_WAITING], states, strict=False))
        lines += [Line(None, f"{name}: {state}") for name, state in named]
        if len(waiting) > MOST_WAITING:
            lines.append(Line(None, f"{len(waiting) - MOST_WAITING:,} more: {WAITING}"))
        self._measurement = measurement
        self._replace(lines)
        self._all_changed()

    def _replace(self, lines: list[Line]) -> None:
        """Put new lines in the place of the old, leaving alone what begins alike."""
        old = self.lines
        pairs = enumerate(zip(old, lines, strict=False))
        differs = (at for at, (a, b) in pairs if a.sentence != b.sentence)
        alike = next(differs, min(len(old), len(lines)))
        if alike < len(old):
            self.beginRemoveRows(QModelIndex(), alike, len(old) - 1)
            self.lines = old[:alike]
            self.endRemoveRows()
        if alike < len(lines):
            self.beginInsertRows(QModelIndex(), alike, len(lines) - 1)
            self.lines = lines
            self.endInsertRows()
        self.lines = lines

    def show_baseline(self, baseline: Measurement | None) -> None:
        """Compare sparse times with those of another measurement, case by case of equal shape."""
        self._baseline = {}
        for result in baseline.results if baseline else ():
            sparse = result.sparse()
            if sparse is not None:
                self._baseline[result.m, result.n, result.k] = sparse.median_us
        self._all_changed()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.lines)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(HEADERS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return HEADERS[section]
        return TIPS[section] if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        line, column = self.lines[index.row()], index.column()
        if line.result is None:
            if role == Qt.ItemDataRole.ForegroundRole:
                return GREY
            return line.text if column == 0 and role == Qt.ItemDataRole.DisplayRole else None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(line.result, HEADERS[column])
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join(detail_lines(line.result))
        if role == Qt.ItemDataRole.TextAlignmentRole and column not in (0, 1, 6):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ForegroundRole and line.result.status != "measured":
            return GREY
        return None

    def _why(self, result: Result, measurement: Measurement) -> str:
        """What was found once for a result, which a growing measurement keeps as it is."""
        known, why = self._reasons.get(result.index, (None, ""))
        if known is not result:
            why = explain(result, measurement)
            self._reasons[result.index] = result, why
        return why

    def _all_changed(self) -> None:
        if self.lines:
            last = self.index(len(self.lines) - 1, len(HEADERS) - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def _text(self, result: Result, header: str) -> str:
        assert self._measurement is not None
        dense, sparse = result.dense(), result.sparse()
        match header:
            case "case":
                return result.name
            case "dense µs":
                return f"{dense.median_us:,.1f}" if dense else ""
            case "sparse µs":
                return f"{sparse.median_us:,.1f}" if sparse else ""
            case "speed-up (95 %)":
                return speed_up(result)
            case "eager":
                return _ratio(result, "eager") if result.mode("graph") == "graph" else ""
            case "way":
                return _way(result)
            case "TFLOP/s":
                return _rate(result, self._measurement)
            case "baseline":
                before = self._baseline.get((result.m, result.n, result.k))
                return f"{before / sparse.median_us:.2f}" if before and sparse else ""
        return f"{result.m}×{result.n}×{result.k}"


class CasesTable(QTableView):
    """The model's rows; a sentence takes the whole width, and as many lines as it needs."""

    def __init__(self, model: CasesModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cases = model
        self._heights: dict[tuple[str, int], int] = {}
        self.setModel(model)
        self.setAccessibleName("Cases")
        self.setShowGrid(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(21)
        small = self.font()
        small.setPointSizeF(small.pointSizeF() * 0.9)
        self.setFont(small)
        header, room = self.horizontalHeader(), self.fontMetrics().horizontalAdvance
        header.setFont(small)
        for column, texts in enumerate(zip(HEADERS, SAMPLES, strict=True)):
            header.resizeSection(column, max(room(text) for text in texts) + 10)
        header.setMinimumSectionSize(40)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        copy = QAction("Copy rows", self)
        copy.setShortcut(QKeySequence.StandardKey.Copy)
        copy.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        copy.triggered.connect(self.copy_rows)
        self.addAction(copy)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        model.rowsInserted.connect(self._span)
        model.dataChanged.connect(self._hide_unused)
        self._hide_unused()

    @Slot()
    def copy_rows(self) -> None:
        """Put the selected rows, or all, on the clipboard with tabs between the columns."""
        model, hidden = self._cases, self._cases.unused
        columns = [column for column in range(len(HEADERS)) if column not in hidden]
        chosen = sorted(index.row() for index in self.selectionModel().selectedRows())
        lines = ["\t".join(HEADERS[column] for column in columns)]
        for row in chosen or range(model.rowCount()):
            cells = (model.data(model.index(row, column)) or "" for column in columns)
            lines.append("\t".join(cells).rstrip("\t"))
        QGuiApplication.clipboard().setText("\n".join(lines) + "\n")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_sentences(range(len(self._cases.lines)))

    @Slot()
    def _span(self, _parent: Index, first: int, last: int) -> None:
        rows = range(first, last + 1)
        for row in rows:
            if self._cases.lines[row].result is None:
                self.setSpan(row, 0, 1, len(HEADERS))
        self._hide_unused()
        self._fit_sentences(rows)

    @Slot()
    def _hide_unused(self) -> None:
        unused = self._cases.unused
        for column in range(len(HEADERS)):
            if self.isColumnHidden(column) != (column in unused):
                self.setColumnHidden(column, column in unused)

    def _fit_sentences(self, rows: Iterable[int]) -> None:
        """Qt gives a spanned cell the height that its first column alone would need."""
        width, usual = self.viewport().width() - MARGINS, self.verticalHeader().defaultSectionSize()
        for row in rows:
            line = self._cases.lines[row]
            height = usual if line.result is not None else self._height(line.text, width)
            if self.rowHeight(row) != height:
                self.setRowHeight(row, height)

    def _height(self, text: str, width: int) -> int:
        known = self._heights.get((text, width))
        if known is None:
            needed = self.fontMetrics().boundingRect(QRect(0, 0, width, 10_000), TEXT, text)
            known = self._heights[text, width] = max(21, needed.height() + 5)
        return known


def _ratio(result: Result, mode: Mode) -> str:
    ratio = result.ratio_of(result.sparse(mode))
    return f"{ratio.ratio:.2f}" if ratio else ""


def _way(result: Result) -> str:
    sparse = result.sparse()
    if sparse is None:
        return result.status
    algorithm = (sparse.algorithm or {}).get("alg_id")
    return sparse.way if algorithm is None else f"{sparse.way} ({algorithm})"


def _operations(result: Result) -> float:
    sparse = result.sparse()
    return result.operations / (sparse.median_us * 1e-6) if sparse else 0.0


def _rate(result: Result, measurement: Measurement) -> str:
    """TFLOP/s and, where there is a data sheet, the share of its peak."""
    if result.sparse() is None:
        return ""
    reached, peak = _operations(result), find_peak(measurement.device)
    text = f"{reached / 1e12:,.3g}" if reached < 1e15 else f"{reached / 1e12:,.0f}"
    if peak is None:
        return text
    return f"{text} ({reached / peak.operations(measurement.dtype, sparse=True):.0%})"
