"""The settings of the compared runs side by side."""

from __future__ import annotations

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QColor, QShowEvent
from PySide6.QtWidgets import QAbstractItemView, QCheckBox, QHeaderView, QLineEdit, QWidget

from lbc.files.printable import printable
from lbc.library.differences import Setting, compare_settings, value_text
from lbc.library.run_summary import RunSummary, Value
from lbc_gui.compare.run_selection import RunSelection, Selection
from lbc_gui.export.view_export import Data, as_csv
from lbc_gui.export.view_renderer import Picture
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.table import Column, TableModel, TableView, faint
from lbc_gui.widgets.text import Label, plain

ABSENT = "–"
"""Of a setting that a run does not have."""

COLUMN_WIDTH = 120

CHOOSE = "Choose two or more runs in the table to compare their settings."


class SettingsPane(QWidget):
    """A row for every setting, a column for every run; the baseline comes first.

    Values that are those of the baseline are faint.
    """

    def __init__(self, selection: RunSelection) -> None:
        super().__init__()
        self._selection = selection
        self._runs: tuple[RunSummary, ...] = ()
        self._settings: tuple[Setting, ...] = ()
        self._problems: list[str] = []
        self.differences_only = QCheckBox("Differences only")
        self.differences_only.setChecked(True)
        self.differences_only.setToolTip("Hide the settings that all these runs have in common")
        self.differences_only.toggled.connect(self._show_settings)
        self.find_box = QLineEdit(placeholderText="Find a setting", clearButtonEnabled=True)
        self.find_box.setAccessibleName("Find a setting")
        self.find_box.setMaximumWidth(220)
        self.find_box.textChanged.connect(self._show_settings)
        model: TableModel[Setting] = TableModel(
            (Column("", lambda setting: setting.key),), heading=lambda setting: setting.key
        )
        self.table = TableView(model, "Settings side by side", 0, (COLUMN_WIDTH,))
        self.table.offer_in(self)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.horizontalHeader().setDefaultSectionSize(COLUMN_WIDTH)
        # The ends of names tell runs of one experiment apart.
        self.table.horizontalHeader().setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.table.verticalHeader().show()
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        for header in (self.table.verticalHeader(), self.table.horizontalHeader()):
            header.setDefaultAlignment(left)
        self.note = Label(wordWrap=True)
        layout = column(
            row(self.differences_only, self.find_box, None),
            self.note,
            (self.table, 1),
            on=self,
            margin=TIGHT,
        )
        layout.addStretch(0)
        selection.changed.connect(self._show_selection)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._show_runs()

    def picture_to_save(self) -> Picture | None:
        if not self.table.isVisible():
            return None
        return Picture("settings", f"Settings of {len(self._runs)} runs", self.table)

    def data_to_save(self) -> Data | None:
        if not self.table.isVisible():
            return None
        columns, rows = self.table.shown_cells()
        return Data("settings", {".csv": as_csv(["setting", *columns[1:]], len(rows), rows)})

    @Slot(object, object)
    def _show_selection(self, before: Selection, now: Selection) -> None:
        if not self.isVisible():
            return
        if now.compared != before.compared or now.baseline != before.baseline:
            self._show_runs()

    def _show_runs(self) -> None:
        now = self._selection.selection
        readable = [run for run in now.compared if run.status != "unreadable"]
        self._runs = tuple(sorted(readable, key=lambda run: run.folder != now.baseline))
        self._settings = compare_settings([run.parameters for run in self._runs])
        self._problems = [
            printable(run.problem) for run in now.compared if run.status == "unreadable"
        ]
        self._show_settings()

    @Slot()
    def _show_settings(self) -> None:
        every, found = not self.differences_only.isChecked(), self.find_box.text().strip().lower()
        shown = [
            setting
            for setting in self._settings
            if (every or setting.differs) and found in setting.key.lower()
        ]
        base = self._selection.selection.baseline
        reference = 0 if self._runs and self._runs[0].folder == base else None
        columns = [_column(run, at, reference) for at, run in enumerate(self._runs)]
        self.table.table.show_table(columns, shown)
        self.table.setVisible(bool(shown))
        said = list(self._problems)
        if len(self._runs) < 2 and not every:
            said.append(CHOOSE)
        elif not shown and found:
            said.append(f"No setting that differs contains {printable(found)!r}.")
        elif not shown:
            said.append(f"These {len(self._runs)} runs have the same settings.")
        self.note.setText("\n".join(said))
        self.note.setVisible(bool(said))


def _column(run: RunSummary, at: int, reference: int | None) -> Column[Setting]:
    """The values of one run; those of the run number ``reference`` are faint in the others."""

    def colour(setting: Setting) -> QColor | None:
        same = reference not in (None, at) and setting.values[at] == setting.values[reference or 0]
        return faint() if same else None

    title = printable(run.title)
    tip = plain(
        f"{title}\n{printable(str(run.folder))}" + ("\nBaseline" if at == reference else "")
    )
    return Column(title, lambda setting: _text(setting.values[at]), tip, colour=colour)


def _text(value: Value | None) -> str:
    return ABSENT if value is None else printable(value_text(value))
