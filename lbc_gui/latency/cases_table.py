"""The table of cases: one row each, filled as results come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QModelIndex, QObject, QRect, Qt, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QWidget

from lbc.latency.anchors import find_peak
from lbc.latency.explanation import explain
from lbc.latency.measurement import Measurement, Mode, Result
from lbc.latency.table import detail_lines, speed_up
from lbc_gui.theme import GAP
from lbc_gui.widgets.table import Column, Index, TableModel, TableView, faint

SAMPLES = (
    "11008×4096×4096", "88,888.8", "88,888.8", "0.88 (0.88–0.88)", "0.88",
    "cuSPARSELt best (8)", "1,888 (88%)", "0.88",
)  # fmt: skip
"""Texts that the columns after the first must have room for."""

TEXT = Qt.TextFlag.TextWordWrap | Qt.AlignmentFlag.AlignVCenter
MARGINS = 8
"""Of a cell, in pixels, left and right together."""

MEASURING, WAITING = "being measured", "waiting"

MOST_WAITING = 20
"""The most waiting cases that are listed."""


@dataclass(frozen=True)
class CaseRow:
    """A case with its figures, or a sentence over the whole width where ``result`` is None.

    ``baseline`` is the sparse time in µs of the pinned baseline for the same shape.
    """

    text: str
    result: Result | None = None
    measurement: Measurement | None = None
    baseline: float | None = None

    @property
    def sentence(self) -> str | None:
        return self.text if self.result is None else None

    @property
    def grey(self) -> bool:
        return self.result is None or self.result.status != "measured"


def _case(text: Callable[[Result], str]) -> Callable[[CaseRow], str]:
    """The text of a case; nothing for a sentence."""
    return lambda row: "" if row.result is None else text(row.result)


def _rate(row: CaseRow) -> str:
    """TFLOP/s and, where there is a data sheet, the share of its peak."""
    result, measurement = row.result, row.measurement
    sparse = None if result is None else result.sparse()
    if result is None or sparse is None or measurement is None:
        return ""
    reached = result.operations / (sparse.median_us * 1e-6)
    text = f"{reached / 1e12:,.3g}" if reached < 1e15 else f"{reached / 1e12:,.0f}"
    peak = find_peak(measurement.device)
    if peak is None:
        return text
    return f"{text} ({reached / peak.operations(measurement.dtype, sparse=True):.0%})"


def _baseline(row: CaseRow) -> str:
    sparse = None if row.result is None else row.result.sparse()
    return f"{row.baseline / sparse.median_us:.2f}" if row.baseline and sparse else ""


def _eager(result: Result) -> str:
    return _ratio(result, "eager") if result.mode("graph") == "graph" else ""


def _dense(result: Result) -> str:
    dense = result.dense()
    return f"{dense.median_us:,.1f}" if dense else ""


def _sparse(result: Result) -> str:
    sparse = result.sparse()
    return f"{sparse.median_us:,.1f}" if sparse else ""


def _ratio(result: Result, mode: Mode) -> str:
    ratio = result.ratio_of(result.sparse(mode))
    return f"{ratio.ratio:.2f}" if ratio else ""


def _way(result: Result) -> str:
    sparse = result.sparse()
    if sparse is None:
        return result.status
    algorithm = (sparse.algorithm or {}).get("alg_id")
    return sparse.way if algorithm is None else f"{sparse.way} ({algorithm})"


COLUMNS: tuple[Column[CaseRow], ...] = (
    Column("case", lambda row: row.text, "Layer or shape"),
    Column(
        "m×n×k", _case(lambda result: f"{result.m}×{result.n}×{result.k}"),
        "Outputs × tokens or pixels × inputs",
    ),
    Column("dense µs", _case(_dense), "Median of the fastest dense way", number=True),
    Column(
        "sparse µs", _case(_sparse), "Median of the fastest sparse way whose result was correct",
        number=True,
    ),
    Column(
        "speed-up (95 %)", _case(speed_up), "Dense over sparse time, with its bootstrap interval",
        number=True,
    ),
    Column(
        "eager", _case(_eager), "The same without a CUDA graph, as in eager code", number=True
    ),
    Column("way", _case(_way), "What was fastest, with its algorithm"),
    Column(
        "TFLOP/s", _rate,
        "Operations of the dense product over the sparse time, and their share of the sparse peak "
        "on the data sheet", number=True,
    ),
    Column(
        "baseline", _baseline,
        "Sparse time of the pinned baseline over this one; torch 2.12 changed the default way",
        number=True,
    ),
)  # fmt: skip
HEADERS = [column.title for column in COLUMNS]


class CasesModel(TableModel[CaseRow]):
    """One measurement's cases, each with a sentence below it where it gains little."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(
            COLUMNS,
            tip=lambda row: "\n".join(detail_lines(row.result)) if row.result else "",
            colour=lambda row: faint() if row.grey else None,
            parent=parent,
        )
        self._reasons: dict[int, tuple[Result, str]] = {}

    @property
    def unused(self) -> tuple[int, ...]:
        """Columns that nothing is known for: no CUDA graphs, no baseline."""
        results = [row.result for row in self.rows if row.result is not None]
        graphs = any(result.mode("graph") == "graph" for result in results if result.times)
        names = [] if graphs else ["eager"]
        names += [] if any(row.baseline for row in self.rows) else ["baseline"]
        return tuple(map(HEADERS.index, names))

    def show_measurement(
        self,
        measurement: Measurement | None,
        waiting: Sequence[str] = (),
        baseline: Measurement | None = None,
    ) -> None:
        """Show results, and how much slower the ``baseline`` is for cases of the same shape.

        ``waiting`` names cases still to come, the one being measured first.
        """
        before = {
            (result.m, result.n, result.k): sparse.median_us
            for result in (baseline.results if baseline else ())
            if (sparse := result.sparse()) is not None
        }
        rows = []
        for result in measurement.results if measurement else ():
            assert measurement is not None
            time = before.get((result.m, result.n, result.k))
            rows.append(CaseRow(result.name, result, measurement, time))
            why = self._why(result, measurement)
            rows += [CaseRow(why)] if why else []
        states = (MEASURING, *(WAITING for _ in waiting))
        named = zip(waiting[:MOST_WAITING], states, strict=False)
        rows += [CaseRow(f"{name}: {state}") for name, state in named]
        if len(waiting) > MOST_WAITING:
            rows.append(CaseRow(f"{len(waiting) - MOST_WAITING:,} more: {WAITING}"))
        self.show_rows(rows)

    def show_rows(self, rows: Sequence[CaseRow]) -> None:
        """Replace the rows, except for those at the beginning that are of the same kind."""
        old = self.rows
        pairs = enumerate(zip(old, rows, strict=False))
        differs = (at for at, (a, b) in pairs if a.sentence != b.sentence)
        alike = next(differs, min(len(old), len(rows)))
        if alike < len(old):
            self.beginRemoveRows(QModelIndex(), alike, len(old) - 1)
            self.rows = old[:alike]
            self.endRemoveRows()
        if alike < len(rows):
            self.beginInsertRows(QModelIndex(), alike, len(rows) - 1)
            self.rows = rows
            self.endInsertRows()
        self.rows = rows
        self.refresh()

    def _why(self, result: Result, measurement: Measurement) -> str:
        """Why a result gains little; found once, as a growing measurement keeps its results."""
        known, why = self._reasons.get(result.index, (None, ""))
        if known is not result:
            why = explain(result, measurement)
            self._reasons[result.index] = result, why
        return why


class CasesTable(TableView[CaseRow]):
    """The model's rows; a sentence takes the whole width, and as many lines as it needs."""

    def __init__(self, model: CasesModel, parent: QWidget | None = None) -> None:
        self._heights: dict[tuple[str, int], int] = {}
        super().__init__(model, "Cases", stretch=0, parent=parent)
        self._cases = model
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header, room = self.horizontalHeader(), self.fontMetrics().horizontalAdvance
        header.setMinimumSectionSize(40)
        for column, texts in enumerate(zip(HEADERS[1:], SAMPLES, strict=True), start=1):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Interactive)
            title = room(HEADERS[column]) + 2 * GAP
            header.resizeSection(column, max(title, *(room(text) + 10 for text in texts)))
        model.rowsInserted.connect(self._span)
        model.dataChanged.connect(self._hide_unused)
        self._hide_unused()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_sentences(range(len(self._cases.rows)))

    @Slot()
    def _span(self, _parent: Index, first: int, last: int) -> None:
        rows = range(first, last + 1)
        for row in rows:
            if self._cases.rows[row].sentence is not None:
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
            sentence = self._cases.rows[row].sentence
            height = usual if sentence is None else self._height(sentence, width)
            if self.rowHeight(row) != height:
                self.setRowHeight(row, height)

    def _height(self, text: str, width: int) -> int:
        known = self._heights.get((text, width))
        if known is None:
            needed = self.fontMetrics().boundingRect(QRect(0, 0, width, 10_000), TEXT, text)
            known = self._heights[text, width] = max(21, needed.height() + 5)
        return known
