"""The table of cases: one row each, filled as results come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    Slot,
)
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QAbstractItemView, QTableView, QWidget

from lbc.latency.anchors import peak_of
from lbc.latency.measurement import Measurement, Mode, Result
from lbc.latency.table import speed_up
from lbc.latency.why import why_slow

Index = QModelIndex | QPersistentModelIndex

HEADERS = (
    "case", "m×n×k", "dense µs", "sparse µs", "speed-up (95 %)", "eager", "way", "TFLOP/s",
    "% peak", "baseline",
)  # fmt: skip
TIPS = (
    "Layer or shape",
    "Outputs × tokens or pixels × inputs",
    "Median of the fastest dense way",
    "Median of the fastest sparse way whose result was right",
    "Dense over sparse time, with its bootstrap interval",
    "The same without a CUDA graph, as eager code feels it",
    "What was fastest, with its algorithm",
    "Operations of the dense product over the sparse time",
    "Of the sparse peak on the data sheet",
    "Sparse time of the pinned baseline over this one",
)
WIDTHS = (142, 122, 68, 68, 112, 46, 124, 58, 52)
WAITING = "waiting"
GREY = QColor(128, 128, 128)


@dataclass(frozen=True)
class Line:
    """A row of the table: a case with its figures, or a sentence below it."""

    result: Result | None
    text: str


class CasesModel(QAbstractTableModel):
    """One measurement's cases, each with a line below it where it gains little."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.lines: list[Line] = []
        self._measurement: Measurement | None = None
        self._baseline: dict[tuple[int, int, int], float] = {}

    def show_measurement(
        self, measurement: Measurement | None, waiting: Sequence[str] = ()
    ) -> None:
        """Show results; ``waiting`` names cases still to come."""
        lines = []
        for result in measurement.results if measurement else ():
            lines.append(Line(result, result.name))
            why = why_slow(result, measurement) if measurement else ""
            lines += [Line(None, why)] if why else []
        lines += [Line(None, f"{name}: {WAITING}") for name in waiting]
        same = [line.result is None for line in lines] == [at.result is None for at in self.lines]
        if not same:
            self.beginResetModel()
        self.lines, self._measurement = lines, measurement
        if not same:
            self.endResetModel()
        else:
            self._all_changed()

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
            shown = column == 0 and role in (
                Qt.ItemDataRole.DisplayRole,
                Qt.ItemDataRole.ToolTipRole,
            )
            return f"    {line.text}" if shown else None
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self._text(line.result, HEADERS[column])
        if role == Qt.ItemDataRole.TextAlignmentRole and column not in (0, 1, 6):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ForegroundRole and line.result.status != "measured":
            return GREY
        return None

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
                return f"{_operations(result) / 1e12:.3g}" if sparse else ""
            case "% peak":
                return _share_of_peak(result, self._measurement)
            case "baseline":
                before = self._baseline.get((result.m, result.n, result.k))
                return f"{before / sparse.median_us:.2f}" if before and sparse else ""
        return f"{result.m}×{result.n}×{result.k}"


class CasesTable(QTableView):
    """The model's rows; a sentence takes the whole width."""

    def __init__(self, model: CasesModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cases = model
        self.setModel(model)
        self.setAccessibleName("Cases")
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(21)
        small = self.font()
        small.setPointSizeF(small.pointSizeF() * 0.9)
        self.setFont(small)
        self.horizontalHeader().setFont(small)
        for column, width in enumerate(WIDTHS):
            self.horizontalHeader().resizeSection(column, width)
        self.horizontalHeader().setStretchLastSection(True)
        model.modelReset.connect(self._span)

    @Slot()
    def _span(self) -> None:
        self.clearSpans()
        for row, line in enumerate(self._cases.lines):
            if line.result is None:
                self.setSpan(row, 0, 1, len(HEADERS))


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


def _share_of_peak(result: Result, measurement: Measurement) -> str:
    peak = peak_of(measurement.device)
    if peak is None or result.sparse() is None:
        return ""
    return f"{_operations(result) / peak.operations(measurement.dtype, sparse=True):.0%}"
