"""The page Runs: a filter, the table of runs, and below it what compares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from PySide6.QtCore import QPoint, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QStackedWidget, QToolButton, QWidget

from lbc.library.completion import complete
from lbc.library.differences import identify_experiment
from lbc.library.filter_syntax import FilterError
from lbc.library.index import Library
from lbc.library.run_summary import RunSummary
from lbc_gui.compare.run_selection import MOST_COMPARED, RunSelection, Selection
from lbc_gui.help.explanations import help_button
from lbc_gui.library.arrangement import CURVE, Arrangement, Line, Request
from lbc_gui.library.column_list import ColumnList
from lbc_gui.library.comparison import Comparison
from lbc_gui.library.copy_menu import CopyMenu
from lbc_gui.library.empty_page import EmptyPage
from lbc_gui.library.filter_box import FilterBox
from lbc_gui.library.reader import LibraryReader, Progress
from lbc_gui.library.requested_comparison import RequestedComparison
from lbc_gui.library.run_changes import (
    archive,
    parse_tags,
    rename,
    star,
    tag,
    trash,
    write_note,
)
from lbc_gui.library.runs_table import RunsTable
from lbc_gui.settings import Settings, TableColumns
from lbc_gui.theme import TIGHT
from lbc_gui.turns import call_later
from lbc_gui.widgets.buttons import tool_button
from lbc_gui.widgets.layouts import column, row, splitter
from lbc_gui.widgets.panel_title import FoldingPanel
from lbc_gui.widgets.progress_bar import ProgressBar
from lbc_gui.widgets.text import Label

REFRESH_MILLISECONDS = 1000
"""Between two looks at the folders while the page is on screen."""

REST = 8
"""Times the duration of a look that follow it without another, where that is longer."""

WIDE = 800
"""Pixels of the page from which on its buttons have texts."""

TABLE_HEIGHT, PANES_HEIGHT = 300, 320


class LibraryPage(QWidget):
    """Reads the runs below a folder while it is visible; ``settings`` keeps the chosen columns."""

    said = Signal(str)
    failed = Signal(str, str)
    changed = Signal(object)
    """Done: runs were changed, which may be undone."""
    commanded = Signal(str, object)
    """The name of a command that concerns other parts of the window, and its runs."""

    def __init__(self, runs: Path, settings: Settings) -> None:
        super().__init__()
        self.selection = RunSelection(self)
        self.reader = LibraryReader(Library(runs), self)
        self._settings, chosen = settings, settings.columns
        self.request = Request(shown=chosen.shown, hidden=chosen.hidden)
        self.filter = FilterBox()
        self.table = RunsTable(self.selection, chosen.widths)
        self.empty = EmptyPage(runs)
        self.columns = ColumnList(self)
        self.copy_menu = CopyMenu(self._to_copy, self)
        self.comparison = Comparison(self.selection)
        self.below = FoldingPanel("Compare", self.comparison, PANES_HEIGHT)
        self._count = Label()
        self._progress = ProgressBar(textVisible=False)
        self._progress.setFixedHeight(TIGHT)
        self._failure = self._to_edit = ""
        self.requested = RequestedComparison(self.selection)
        self._held: Arrangement | None = None
        """What has arrived while a cell was edited."""
        self._timer = QTimer(self, singleShot=True)
        self._lay_out()
        self._connect()
        self.ask()

    def seeds_of(self, run: RunSummary) -> set[int]:
        """The seeds of the runs that have its settings."""
        settings, frame = identify_experiment(run.parameters), self.reader.frame
        alike = (
            one
            for one in (frame.runs if frame else ())
            if (one.pattern, one.method) == (run.pattern, run.method)
            and identify_experiment(one.parameters) == settings
        )
        return {one.seed for one in alike if one.seed is not None}

    def compare(self, runs: Sequence[Path], baseline: Path) -> None:
        """Compare some runs once they are listed, also if the filter hides them now."""
        self.requested.ask(runs, baseline)
        self.below.title.fold(False)
        self.comparison.setCurrentIndex(0)
        if not self.requested.select():
            self.filter.line.clear()
            self.archived.setChecked(True)
            self.reader.refresh()

    @Slot()
    def refresh(self) -> None:
        """Read what has changed, if the page is on screen."""
        if self.isVisible():
            self.reader.refresh()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._take_columns()
        self.reader.refresh()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave room for the filter: in a narrow page, buttons have no text."""
        super().resizeEvent(event)
        styles, wide = Qt.ToolButtonStyle, self.width() >= WIDE
        for button in self._buttons:
            button.setToolButtonStyle(
                styles.ToolButtonTextBesideIcon if wide else styles.ToolButtonIconOnly
            )

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._timer.stop()
        self._keep_columns()

    @Slot(float)
    def _wait(self, seconds: float) -> None:
        """Look again in a while."""
        frame, folder = self.reader.frame, self.reader.library.folder
        missing = self.requested.missing(frame.runs) if frame else None
        if missing is not None:
            sentence = f"{missing} is not below {folder}: only runs there are compared."
            self.failed.emit(sentence, "")
        if self.isVisible():
            self._timer.start(max(REFRESH_MILLISECONDS, round(1000 * REST * seconds)))

    @Slot()
    def _wait_for_scrolling(self) -> None:
        """Look again once the user has scrolled: the thread that looks takes time from frames."""
        if self._timer.isActive():
            self._timer.start(max(REFRESH_MILLISECONDS, self._timer.remainingTime()))

    # -- what the user wants to see -------------------------------------------------------------

    def ask(self, **changes: object) -> None:
        """Arrange the rows in another way."""
        self.request = replace(self.request, **changes)  # type: ignore[arg-type]
        self.reader.arrange(self.request)

    @Slot(str, int)
    def _complete(self, text: str, cursor: int) -> None:
        if self.reader.frame is not None:
            found = complete(text, cursor, self.reader.frame)
            self.filter.offer(found.start, found.end, found.candidates)

    @Slot(str)
    def _filter_changed(self, text: str) -> None:
        self.ask(filter=text)

    @Slot(str)
    def _sort(self, key: str) -> None:
        """Sort by a column; the second click reverses."""
        falling = not self.request.falling if key == self.request.sort else key != "title"
        if key != CURVE:
            self.ask(sort=key, falling=falling)

    @Slot()
    def _choose_rows(self) -> None:
        self.ask(folded=self.folded.isChecked(), archived=self.archived.isChecked())

    @Slot(str, bool)
    def _show_column(self, key: str, wanted: bool) -> None:
        shown, hidden = self.request.shown - {key}, self.request.hidden - {key}
        self.ask(
            shown=shown | {key} if wanted else shown, hidden=hidden if wanted else hidden | {key}
        )
        self._keep_columns()

    @Slot()
    def _reset_columns(self) -> None:
        self.ask(shown=frozenset(), hidden=frozenset())
        self._keep_columns()

    def _take_columns(self) -> None:
        """Show what was chosen in another table of runs, too."""
        kept = self._settings.columns
        self.table.chosen_widths = dict(kept.widths)
        if (kept.shown, kept.hidden) != (self.request.shown, self.request.hidden):
            self.ask(shown=kept.shown, hidden=kept.hidden)

    def _keep_columns(self) -> None:
        shown, hidden = self.request.shown, self.request.hidden
        widths = self.table.chosen_widths
        self._settings.columns = TableColumns(shown=shown, hidden=hidden, widths=widths)

    @Slot()
    def _list_columns(self) -> None:
        self._open_columns(self._columns.mapToGlobal(self._columns.rect().bottomLeft()))

    @Slot(object)
    def _open_columns(self, at: QPoint) -> None:
        self.columns.open_at(at, self.table.runs.arrangement)

    def _to_copy(self) -> tuple[Arrangement, frozenset[Path], Path | None]:
        now = self.selection.selection
        return self.table.runs.arrangement, now.selected, now.baseline

    # -- what the user does with runs -----------------------------------------------------------

    @Slot(str)
    def _command(self, name: str) -> None:
        runs = self.table.chosen_runs
        match name:
            case "star":
                self.reader.change(partial(star, runs, not all(r.annotations.star for r in runs)))
            case "archive":
                on = not all(run.annotations.archived for run in runs)
                self.reader.change(partial(archive, runs, on))
            case "trash":
                self.reader.change(partial(trash, runs))
            case "title" | "tag" | "note":
                self._to_edit = name
                if name not in [one.key for one in self.table.runs.arrangement.columns]:
                    self._show_column(name, wanted=True)
                self._edit()
            case "baseline":
                now = self.selection.selection.baseline
                chosen = runs[0].folder
                self.selection.set_baseline(None if chosen == now else chosen)
            case "compare":
                self.below.title.fold(False)
                self.comparison.tabBar().setFocus()  # Left and Right go from view to view
            case "copy":
                self.copy_menu.copy_markdown()
            case _:
                self.commanded.emit(name, runs)

    @Slot(object)
    def _compare_fork(self, fork: RunSummary) -> None:
        self.commanded.emit("compare_parent", (fork,))

    @Slot(object, str, str)
    def _edited(self, line: Line, key: str, text: str) -> None:
        """Write what was typed into a cell; tags into those of every selected run."""
        if key == "title":
            self.reader.change(partial(rename, line.runs, text))
        elif key == "note":
            self.reader.change(partial(write_note, line.runs, text))
        else:
            runs = self.table.chosen_runs
            runs = runs if line.runs[0] in runs else line.runs
            old, new = set(line.runs[0].annotations.tags), parse_tags(text)
            self.reader.change(partial(tag, runs, frozenset(new - old), frozenset(old - new)))

    # -- what arrives ---------------------------------------------------------------------------

    @Slot()
    def _show_count(self) -> None:
        """Say how many runs there are, how many are shown, and if not all of them are compared."""
        total = len(self.reader.frame.runs) if self.reader.frame else 0
        now = self.selection.selection
        shown, compared = len(now.shown), len(now.compared)
        of = "" if shown == total else f"{shown:,} of "
        some = f", {compared} compared" if compared == MOST_COMPARED < shown else ""
        self._count.setText(f"{of}{total:,} {'run' if total == 1 else 'runs'}{some}")

    @Slot(object)
    def _show(self, arrangement: Arrangement) -> None:
        if self.table.editing:
            self._held = arrangement
            return
        self.filter.show_problem()
        self._failure = ""
        total = len(arrangement.frame.runs)
        self.selection.show_runs(arrangement.runs)
        self._show_table(arrangement)
        self.table.show_order(arrangement.request.sort, arrangement.request.falling)
        self._show_count()
        self.empty.show_reason(total)
        self.archived.setVisible(bool(arrangement.archived))
        self._stack.setCurrentWidget(self.table if arrangement.runs else self.empty)
        self._edit()
        self.requested.select()
        call_later(self.comparison, self.comparison.start)  # the rows first

    @Slot()
    def _edit(self) -> None:
        """Edit the cell that the user has asked for, if its column is there."""
        if self._to_edit and self.table.edit_column(self._to_edit):
            self._to_edit = ""

    @Slot()
    def _show_held(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._show(held)

    def _show_table(self, arrangement: Arrangement) -> None:
        baseline = arrangement.row_of(self.selection.selection.baseline)
        self.table.show_arrangement(arrangement, baseline)

    @Slot(object)
    def _show_misunderstood(self, error: FilterError) -> None:
        self.filter.show_problem(str(error), error.start, error.length)

    @Slot(object, object)
    def _selection_changed(self, before: Selection, now: Selection) -> None:
        if now.baseline != before.baseline:
            self._show_table(self.table.runs.arrangement)
        if now.compared != before.compared:
            self._show_count()

    @Slot(object)
    def _show_progress(self, progress: Progress | None) -> None:
        self._progress.setVisible(progress is not None)
        if progress is not None:
            self._progress.show_done(progress.done, progress.total)

    @Slot(str, str)
    def _fail(self, sentence: str, details: str) -> None:
        if sentence != self._failure:  # what is tried again every second is said once
            self._failure = sentence
            self.failed.emit(sentence, details)

    # -- construction ---------------------------------------------------------------------------

    def _connect(self) -> None:
        table, reader = self.table, self.reader
        for signal, slot in (
            (self._timer.timeout, reader.refresh),
            (reader.arranged, self._show),
            (reader.misunderstood, self._show_misunderstood),
            (reader.progressed, self._show_progress),
            (reader.refreshed, self._wait),
            (reader.changed, self.changed),
            (reader.failed, self._fail),
            (self.filter.changed, self._filter_changed),
            (self.filter.candidates_wanted, self._complete),
            (self.empty.clear_wanted, self.filter.line.clear),
            (table.verticalScrollBar().valueChanged, self._wait_for_scrolling),
            (table.sort_wanted, self._sort),
            (table.columns_wanted, self._open_columns),
            (table.runs.edited, self._edited),
            (table.edit_ended, self._show_held),
            (table.commands.triggered, self._command),
            (self.copy_menu.copied, self.said),
            (self.comparison.fork_requested, self._compare_fork),
            (self.columns.chosen, self._show_column),
            (self.columns.reset_wanted, self._reset_columns),
            (self.folded.toggled, self._choose_rows),
            (self.archived.toggled, self._choose_rows),
            (self.below.title.folded_changed, table.hide_swatches),
            (self.selection.changed, self._selection_changed),
        ):
            signal.connect(slot)
        table.addAction(self.filter.action)

    def _lay_out(self) -> None:
        tip = "Fold the seeds of equal settings into one row: mean ± standard deviation"
        self.folded = tool_button("Fold seeds", tip, icon_name="fold")
        self.folded.setCheckable(True)
        tip = "List archived runs too"
        self.archived = tool_button("Archived", tip, icon_name="archive")
        self.archived.setCheckable(True)
        tip = "Choose the columns; by default the settings that differ between the runs"
        self._columns = tool_button("Columns", tip, self._list_columns, "columns")
        copy = tool_button("Copy", "Copy the selected rows, or all", icon_name="copy")
        copy.setMenu(self.copy_menu)
        copy.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._buttons = buttons = (self.archived, self.folded, self._columns, copy)
        self.filter.line.setMinimumWidth(160)
        bar = row((self.filter, 1), self._count, *buttons, help_button("Runs"))
        self._stack = QStackedWidget()
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.table)
        above = QWidget()
        column(bar, self.filter.problem, self._progress, (self._stack, 1), on=above)
        sizes = [TABLE_HEIGHT, PANES_HEIGHT]
        split = splitter(Qt.Orientation.Vertical, above, self.below, sizes=sizes)
        for part in range(2):  # a higher window has more room for both
            split.setStretchFactor(part, 1)
        column((split, 1), on=self, margin=TIGHT)
        self._progress.hide()
        self.archived.hide()
