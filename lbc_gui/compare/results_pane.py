"""The final results of the compared runs: seeds folded, and tested against the baseline."""

from __future__ import annotations

from math import isnan

from PySide6.QtCore import QModelIndex, Slot
from PySide6.QtGui import QAction, QShowEvent
from PySide6.QtWidgets import QAbstractItemView, QWidget

from lbc.files.printable import printable
from lbc.library.result_groups import RESULTS, ResultGroup, explain_test, group_results
from lbc_gui.compare.run_selection import RunSelection, Selection
from lbc_gui.export.view_export import Data, as_csv
from lbc_gui.export.view_renderer import Picture
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.buttons import combo_box
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.table import Column, TableModel, TableView, faint
from lbc_gui.widgets.text import Label

CHOOSE = "Choose finished runs in the table to compare their results."
CHOOSE_BASELINE = "Double-click a row to compare the others with it."


def _number(value: float, signed: bool = False) -> str:
    if isnan(value):
        return ""
    return f"{value:{'+' if signed else ''}.2f}".replace("-", "−")


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
)  # fmt: skip
WIDTHS = (240, 84, 76, 72, 110, 70)
TESTED = (4, 5)
"""The columns that need a baseline."""


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
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.doubleClicked.connect(self._make_baseline)
        use = QAction("Use as &baseline", self.table)
        use.triggered.connect(lambda: self._make_baseline(self.table.currentIndex()))
        self.table.addAction(use)
        self.table.offer_in(self)
        self.note = Label(wordWrap=True)
        layout = column(row(self.results, None), (self.table, 1), self.note, on=self, margin=TIGHT)
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
        columns, rows = self.table.shown_cells()
        return Data("results", {".csv": as_csv(columns, len(rows), rows)})

    @Slot(object, object)
    def _show_selection(self, before: Selection, now: Selection) -> None:
        if not self.isVisible():
            return
        if now.compared != before.compared or now.baseline != before.baseline:
            self._show_results()

    @Slot()
    def _show_results(self) -> None:
        now = self._selection.selection
        result = RESULTS[self.results.currentText()]
        groups = group_results(now.compared, result, now.baseline)
        self.table.table.show_rows(groups)
        tested = any(group.baseline for group in groups)
        for at in TESTED:
            self.table.setColumnHidden(at, not tested)
        self.table.setVisible(bool(groups))
        said = CHOOSE if not groups else explain_test(groups) or CHOOSE_BASELINE
        problems = [printable(run.problem) for run in now.compared if run.status == "unreadable"]
        self.note.setText("\n".join([said, *problems]))

    @Slot(QModelIndex)
    def _make_baseline(self, index: QModelIndex) -> None:
        if index.isValid():
            members = self.table.table.rows[index.row()].members
            ended = [run for run in members if run.status == "finished"]
            self._selection.set_baseline((ended or members)[0].folder)
