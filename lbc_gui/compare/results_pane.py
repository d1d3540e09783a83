"""The final results of the compared runs: seeds folded, and tested against the baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import isnan
from typing import IO

from PySide6.QtCore import QModelIndex, Slot
from PySide6.QtGui import QAction, QGuiApplication, QShowEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QToolButton, QWidget

from lbc.files.printable import printable
from lbc.library.formats import TextTable, format_booktabs, format_markdown, format_table
from lbc.library.result_groups import RESULTS, ResultGroup, explain_test, group_results
from lbc_gui.captions import with_minus
from lbc_gui.compare.run_selection import RunSelection, Selection
from lbc_gui.export.view_export import Data
from lbc_gui.export.view_renderer import Picture
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.buttons import combo_box, tool_button
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.table import Column, TableModel, TableView, faint
from lbc_gui.widgets.text import Label

CHOOSE = "Choose finished runs in the table to compare their results."
CHOOSE_BASELINE = "Double-click a row to compare the others with it."


def _number(value: float, signed: bool = False) -> str:
    if isnan(value):
        return ""
    return with_minus(f"{value:{'+' if signed else ''}.2f}")


def _runs(group: ResultGroup) -> str:
    return f"{group.runs} (+{group.unfinished})" if group.unfinished else str(group.runs)


COLUMNS: tuple[Column[ResultGroup], ...] = (
    Column(
        "settings", lambda group: printable(group.label) or "the same settings",
        "What distinguishes the settings of this row from the others",
    ),
    Column("mean", lambda group: _number(group.mean), "Over the seeds", number=True),
    Column(
        "±", lambda group: _number(group.deviation), "Sample standard deviation over the seeds",
        number=True,
    ),
    Column(
        "n", _runs, "Seeds that count; in brackets, runs that are not finished, which do not",
        number=True,
    ),
    Column(
        "minus baseline", lambda group: _number(group.difference, True) if group.pairs else "",
        "Mean difference over the seeds that both have", number=True,
    ),
    Column(
        "p", lambda group: "" if isnan(group.p) else f"{group.p:.3f}",
        "Two-sided exact sign-flip test of the differences", number=True,
    ),
    Column(
        "p (Holm)", lambda group: "" if isnan(group.holm) else f"{group.holm:.3f}",
        "p corrected for all tests of this table", number=True,
    ),
    Column(
        "steps/s", lambda group: "" if isnan(group.speed) else f"{group.speed:.1f}",
        "Steps per second of training, with its removals and tests: the mean over the runs",
        number=True,
    ),
    Column(
        "memory MB", lambda group: "" if isnan(group.memory) else f"{group.memory:.0f}",
        "Peak memory of the process that trained a run, or of its GPU: the mean over the runs",
        number=True,
    ),
)  # fmt: skip
WIDTHS = (240, 72, 64, 64, 108, 60, 72, 68, 88)
WIDEST = 420
TESTED = (4, 5, 6)
"""The columns that need a baseline."""

COSTS = (7, 8)
"""Those that runs of older versions lack."""

MOST_RUNS = 1000
"""More than the other panes compare: of runs that are folded, a few rows are left."""

FORMATS: Mapping[str, Callable[[TextTable], str]] = {
    "Markdown": format_markdown, "LaTeX": format_booktabs, "CSV": format_table,
}  # fmt: skip


class ResultsPane(QWidget):
    """A row for every experiment, the best mean first; the baseline is in bold type."""

    def __init__(self, selection: RunSelection) -> None:
        super().__init__()
        self._selection = selection
        self.results = combo_box(RESULTS, "What the finished runs are compared by")
        self.results.activated.connect(self._show_results)
        model: TableModel[ResultGroup] = TableModel(
            COLUMNS,
            tip=lambda group: "\n".join(printable(run.title) for run in group.members),
            colour=lambda group: None if group.runs else faint(),
            bold=lambda group: group.baseline,
            key=lambda group: group.members[0].folder,
        )
        self.table = TableView(model, "Results by settings", 0, WIDTHS)
        header = self.table.horizontalHeader()
        header.setMaximumSectionSize(WIDEST)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.doubleClicked.connect(self._make_baseline)
        use = QAction("Use as &baseline", self.table)
        use.triggered.connect(lambda: self._make_baseline(self.table.currentIndex()))
        self.table.addAction(use)
        self.table.offer_in(self)
        self.note = Label(wordWrap=True)
        self.copy = tool_button(
            "Copy", "Copy the table as Markdown, LaTeX or CSV", icon_name="copy"
        )
        self.copy.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        for name, write in FORMATS.items():
            menu.addAction(f"As {name}", partial(self._copy, write))
        self.copy.setMenu(menu)
        above = row(self.results, None, self.copy)
        layout = column(above, (self.table, 1), self.note, on=self, margin=TIGHT)
        layout.addStretch(0)
        selection.changed.connect(self._show_selection)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._show_results()

    def picture_to_save(self) -> Picture | None:
        if not self.table.isVisible():
            return None
        return Picture("results", f"Results · {self.results.currentText()}", self.table)

    def data_to_save(self) -> Data | None:
        if not self.table.isVisible():
            return None
        table = self._shown
        texts = {".csv": format_table, ".md": format_markdown, ".tex": format_booktabs}
        return Data("results", {
            suffix: partial(_write, write(table)) for suffix, write in texts.items()
        })  # fmt: skip

    @property
    def _shown(self) -> TextTable:
        columns, rows = self.table.shown_cells()
        numeric = {column.title: column.number for column in COLUMNS}
        kinds = tuple(numeric[title] for title in columns)
        return TextTable(tuple(columns), kinds, tuple(map(tuple, rows)))

    def _copy(self, write: Callable[[TextTable], str]) -> None:
        QGuiApplication.clipboard().setText(write(self._shown))

    @Slot(object, object)
    def _show_selection(self, before: Selection, now: Selection) -> None:
        if not self.isVisible():
            return
        if now.runs != before.runs or now.baseline != before.baseline:
            self._show_results()

    @Slot()
    def _show_results(self) -> None:
        now = self._selection.selection
        result = RESULTS[self.results.currentText()]
        groups = group_results(now.runs[:MOST_RUNS], result, now.baseline)
        self.table.table.show_rows(groups)
        tested = any(group.baseline for group in groups)
        for at in TESTED:
            self.table.setColumnHidden(at, not tested)
        for at in COSTS:
            texts = (COLUMNS[at].text(group) for group in groups)
            self.table.setColumnHidden(at, not any(texts))
        self.table.setVisible(bool(groups))
        self.copy.setEnabled(bool(groups))
        said = CHOOSE if not groups else explain_test(groups) or CHOOSE_BASELINE
        problems = [printable(run.problem) for run in now.compared if run.status == "unreadable"]
        if len(now.runs) > MOST_RUNS:
            problems.append(f"Only {MOST_RUNS:,} of {len(now.runs):,} runs are in the table.")
        self.note.setText("\n".join([said, *problems]))

    @Slot(QModelIndex)
    def _make_baseline(self, index: QModelIndex) -> None:
        if index.isValid():
            members = self.table.table.rows[index.row()].members
            ended = [run for run in members if run.status == "finished"]
            self._selection.set_baseline((ended or members)[0].folder)


def _write(text: str, file: IO[bytes]) -> None:
    file.write(text.encode())
