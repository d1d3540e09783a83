"""The page Comparison: one folder of runs, as ``lbc compare`` makes it, while and after it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QFileDialog, QStackedWidget, QWidget

from lbc.config import Experiment
from lbc.files.printable import printable
from lbc_gui.comparisons.comparison_dialog import ComparisonDialog
from lbc_gui.comparisons.comparison_start import ComparisonRequest, ComparisonStart
from lbc_gui.help.explanations import help_button
from lbc_gui.library.arrangement import Arrangement
from lbc_gui.library.library_page import LibraryPage
from lbc_gui.queue.follower import QueueFollower, QueueMoment, Refused
from lbc_gui.queue.queue_panel import QueuePanel
from lbc_gui.settings import Settings
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.buttons import combo_box, push_button
from lbc_gui.widgets.layouts import column, row, splitter
from lbc_gui.widgets.panel_title import FoldingPanel
from lbc_gui.widgets.text import HtmlLabel, plain
from lbc_gui.worker import Job

TEXT = (
    "<p><b>Which method is best?</b></p>"
    "<p>Train the experiment in the form with several methods, patterns and seeds,<br>"
    "and test the differences; or open the folder of a comparison,<br>"
    "also while <b>lbc compare</b> trains it.</p>"
)

BASELINE = "lbc"
RESULTS = 2
"""The tab of what compares runs that is shown first."""

QUEUE_HEIGHT = 130

KEPT = 3
"""Comparisons that stay as they are while another is on screen; each needs a thread and 3 MB."""


class OpenedComparison(QWidget):
    """The runs below a folder, and the queue that trains them."""

    failed = Signal(str, str)

    def __init__(self, folder: Path, settings: Settings) -> None:
        super().__init__()
        self._baseline: Path | None = None
        """The run that was chosen as the baseline here."""
        self.library, self.queue = LibraryPage(folder, settings), QueuePanel(folder)
        self.following = QueueFollower(folder, self)
        self.following.arrived.connect(self._arrived)
        self.following.failed.connect(self.failed)
        self.queue.asked.connect(self.following.ask)
        self.library.reader.arranged.connect(self._choose_baseline)
        self.library.folded.setChecked(True)
        self.library.comparison.setCurrentIndex(RESULTS)
        self._below = FoldingPanel("Queue", self.queue, QUEUE_HEIGHT)
        self._below.hide()  # until it is known whether there is a queue
        sizes = [600, QUEUE_HEIGHT]
        split = splitter(Qt.Orientation.Vertical, self.library, self._below, sizes=sizes)
        split.setStretchFactor(0, 1)
        column((split, 1), on=self)

    def end(self) -> None:
        """End its threads; after the last one, it is deleted."""
        for job in self.findChildren(Job):
            job.running_changed.connect(self._delete_when_over)
        self._delete_when_over()

    @Slot()
    def _delete_when_over(self) -> None:
        running = [job for job in self.findChildren(Job) if job.running]
        for job in running:
            job.cancel()
        if not running:
            self.deleteLater()

    @Slot(object)
    def _arrived(self, events: Sequence[object]) -> None:
        for event in events:
            match event:
                case QueueMoment():
                    self.queue.show_moment(event)
                    if self._below.isHidden() and event.queue.entries:
                        self._below.show()
                        over = event.queue.count("finished") == len(event.queue.entries)
                        self._below.title.fold(over)
                    self.library.refresh()
                case Refused():
                    self.failed.emit(event.message, "")

    @Slot(object)
    def _choose_baseline(self, arrangement: Arrangement) -> None:
        """Compare with LBC, or with the first run, unless the user has chosen another."""
        selection = self.library.selection
        if arrangement.runs and selection.selection.baseline == self._baseline:
            ordered = sorted(arrangement.runs, key=lambda run: run.started)
            base = next((run for run in ordered if run.method == BASELINE), ordered[0])
            self._baseline = base.folder
            selection.set_baseline(base.folder)


class ComparisonPage(QWidget):
    """Opens comparisons and starts new ones; those opened before stay in a list."""

    opened = Signal(object)
    """OpenedComparison: one that was not open before."""
    failed = Signal(str, str)

    def __init__(
        self, runs: Path, settings: Settings, experiment: Callable[[], Experiment | None]
    ) -> None:
        super().__init__()
        self._runs, self._settings, self._experiment = runs, settings, experiment
        self._opened: dict[Path, OpenedComparison] = {}
        """By folder, in the order in which they were shown last."""
        self._listed: list[Path] = []
        self._dialog: ComparisonDialog | None = None
        self.starting = ComparisonStart(self)
        self.starting.arrived.connect(self._started)
        self.starting.failed.connect(self._not_started)
        self.folders = combo_box((), "The comparisons that are open")
        self.folders.setAccessibleName("Comparison")
        self.folders.activated.connect(self._show)
        tip = "Train the experiment in the form with several methods, patterns and seeds"
        self.new = push_button("Compare methods…", tip, self.ask)
        self.open_button = push_button(
            "Open a comparison…", "Choose the folder of a comparison", self.choose
        )
        self._empty = HtmlLabel(TEXT)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._empty)
        bar = row((self.folders, 1), None, self.new, self.open_button, help_button("Comparison"))
        column(bar, (self._stack, 1), on=self, margin=TIGHT)
        self.folders.hide()

    @property
    def shown(self) -> OpenedComparison | None:
        """The comparison on screen."""
        widget = self._stack.currentWidget()
        return widget if isinstance(widget, OpenedComparison) else None

    @property
    def table(self) -> QWidget | None:
        """The table of the runs on screen."""
        return None if self.shown is None else self.shown.library.table

    @property
    def folder(self) -> Path | None:
        """The folder of the comparison on screen."""
        return None if self.shown is None else self._listed[self.folders.currentIndex()]

    @Slot()
    def ask(self) -> None:
        """Ask what of the experiment in the form is to be compared."""
        experiment = self._experiment()
        if experiment is None:
            self.failed.emit("The form has a setting that is not valid: correct it first.", "")
        elif self._dialog is None:
            self._dialog = ComparisonDialog(experiment, self._runs, self)
            self._dialog.requested.connect(self.starting.start)
            self._dialog.finished.connect(self._forget_dialog)
            self._dialog.open()

    @Slot()
    def choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self, "Open a comparison", str(self._runs) if self._runs.is_dir() else ""
        )
        if folder:
            self.open(Path(folder))

    def open(self, folder: Path) -> None:
        """Show the comparison in a folder."""
        if not folder.is_dir():
            self.failed.emit(f"{folder} is not a folder: choose that of a comparison.", "")
            return
        if folder not in self._opened:
            self._open_anew(folder)
        if folder not in self._listed:
            self._listed.append(folder)
            self.folders.addItem(printable(folder.name), folder)
            tip = plain(printable(str(folder)))
            self.folders.setItemData(self.folders.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.folders.show()
        self.folders.setCurrentIndex(self._listed.index(folder))
        shown = self._opened[folder] = self._opened.pop(folder)
        self._stack.setCurrentWidget(shown)

    def _open_anew(self, folder: Path) -> None:
        while len(self._opened) > KEPT:
            oldest = self._opened.pop(next(iter(self._opened)))
            self._stack.removeWidget(oldest)
            oldest.setParent(self)  # else Python would delete it here, with its threads
            oldest.end()
        comparison = OpenedComparison(folder, self._settings)
        comparison.failed.connect(self.failed)
        self._opened[folder] = comparison
        self._stack.addWidget(comparison)
        self.opened.emit(comparison)

    @Slot()
    def _show(self) -> None:
        self.open(self._listed[self.folders.currentIndex()])

    @Slot(object)
    def _started(self, events: Sequence[ComparisonRequest]) -> None:
        if self._dialog is not None:
            self._dialog.accept()
        self.open(events[-1].out)

    @Slot(str, str)
    def _not_started(self, sentence: str, details: str) -> None:
        if self._dialog is None or details:
            self.failed.emit(sentence, details)
        if self._dialog is not None:
            self._dialog.show_refusal(sentence)

    @Slot()
    def _forget_dialog(self) -> None:
        if self._dialog is not None:
            self._dialog.deleteLater()
            self._dialog = None
