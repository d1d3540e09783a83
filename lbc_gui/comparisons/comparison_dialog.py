"""Asks which methods, patterns and seeds of an experiment are compared."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QMenu,
    QToolButton,
    QWidget,
)

from lbc.comparison.trials import check_count, parse_methods, plan_trials
from lbc.config import Experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.home import expanded
from lbc.files.printable import printable
from lbc.queue.entries import MOST_JOBS
from lbc.queue.supervisor import usual_jobs
from lbc.sparsity.method_names import method_names
from lbc.sparsity.pattern import Pattern
from lbc_gui.comparisons.comparison_start import ComparisonRequest
from lbc_gui.theme import GAP, MARGIN
from lbc_gui.widgets.body_area import FittingArea
from lbc_gui.widgets.buttons import combo_box, push_button, tool_button
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.number_boxes import NumberBox
from lbc_gui.widgets.text import Label, plain

WIDTH = 620
"""Pixels, enough for a dozen methods and a folder."""

SCRATCH = "new weights"

METHODS, SEEDS = "dense, asp, sr-ste, lbc", 5


class ComparisonDialog(QDialog):
    """Says how many runs it would be, or why none; it stays open until they are being trained."""

    requested = Signal(object)
    """ComparisonRequest."""

    def __init__(self, experiment: Experiment, runs: Path, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Compare methods")
        self._experiment = experiment
        self.methods = self._line("Methods", METHODS, "Options in parentheses: maxq(tau=0.02)")
        self.patterns = self._line("N:M", str(experiment.pattern), "For example 2:4, 1:16")
        self.seeds = self._number("Seeds", SEEDS, "Every method is trained with as many seeds")
        self.begin = combo_box(
            (SCRATCH, *(f"the run of {name}" for name in method_names())),
            "With a method, its run of each seed is trained first, and all others start from it",
        )
        self.begin.setAccessibleName("Start from")
        self.then = self._line("Settings", "", "Of the runs that start from it: training.epochs=2")
        jobs = usual_jobs(experiment)
        self.jobs = self._number("At a time", jobs, "Runs that are trained at a time")
        self.folder = self._line("Folder", str(runs / f"{experiment.name}-comparison"), "")
        self.problem = Label(wordWrap=True)
        self.problem.setObjectName("problem")
        self.start = push_button("", "Train the runs that are missing", self._start)
        self.start.setDefault(True)
        self._lay_out()
        for line in (self.methods, self.patterns, self.then, self.folder):
            line.textChanged.connect(self._show)
        for box in (self.seeds, self.jobs):
            box.on_change(self._show)
        self.begin.currentIndexChanged.connect(self._show)
        self._show()

    def request(self, seeds: int | None = None) -> ComparisonRequest:
        """What is asked for, or only so many seeds of it.

        Raises ValueError or ExperimentError with the reason why not.
        """
        methods = parse_methods(self.methods.text())
        patterns = [Pattern.parse(text.strip()) for text in self.patterns.text().split(",")]
        patterns = list(dict.fromkeys(patterns))
        seeds = seeds or self.seeds.whole_number("The number of seeds")
        jobs = self.jobs.whole_number("The number of runs at a time")
        if jobs > MOST_JOBS:
            raise ValueError(f"At most {MOST_JOBS:,} runs are possible at a time.")
        folder = self.folder.text().strip()
        if not folder:
            raise ValueError("Choose a folder for the runs.")
        out, start = expanded(folder).absolute(), None
        if self.begin.currentIndex() > 0:
            (start,) = parse_methods(method_names()[self.begin.currentIndex() - 1])
        then = shlex.split(self.then.text()) if start else ()
        trials = plan_trials(self._experiment, methods, patterns, seeds, out, start, then)
        return ComparisonRequest(out, trials, jobs)

    def show_refusal(self, sentence: str) -> None:
        """Say why the runs could not be started, and let the settings be changed."""
        self.setEnabled(True)
        self._show()
        self._show_problem(sentence)

    def _show_problem(self, sentence: str) -> None:
        self.problem.setText(sentence)
        self.problem.setVisible(bool(sentence))

    @Slot()
    def _show(self, *_: object) -> None:
        """Show how many runs it makes, or why none."""
        self.then.setEnabled(self.begin.currentIndex() > 0)
        count = 0
        try:
            seeds = self.seeds.whole_number("The number of seeds")
            count = seeds * len(self.request(seeds=1).trials)
            check_count(count)
        except (ValueError, ExperimentError) as error:
            count = 0
            self._show_problem(" ".join(str(error).splitlines()))
        else:
            self._show_problem("")
        self.start.setText(f"Train {count:,} run{'s' if count != 1 else ''}")
        self.start.setEnabled(count > 0)

    @Slot()
    def _start(self) -> None:
        self.setEnabled(False)
        self.start.setText("Checking…")
        self.requested.emit(self.request())

    @Slot()
    def _choose_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of the runs", self.folder.text())
        if chosen:
            self.folder.setText(chosen)

    # -- construction ---------------------------------------------------------------------------

    def _line(self, name: str, text: str, tip: str) -> QLineEdit:
        line = QLineEdit(text)
        line.setToolTip(plain(tip))
        line.setAccessibleName(name)
        return line

    def _number(self, name: str, number: int, tip: str) -> NumberBox:
        box = NumberBox(whole=True, least=1)
        box.setToolTip(plain(tip))
        box.setAccessibleName(name)
        box.enter(number)
        return box

    def _adder(self, line: QLineEdit, texts: Iterable[str], tip: str) -> QToolButton:
        """A menu that adds a text to those of a line."""
        button = tool_button("Add", tip)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(button)
        for text in texts:
            menu.addAction(text, partial(_add, line, text))
        button.setMenu(menu)
        return button

    def _lay_out(self) -> None:
        fields = QWidget()
        form = QFormLayout(fields)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(GAP)
        add = self._adder(self.methods, method_names(), "Add a method")
        form.addRow("Methods", row((self.methods, 1), add))
        form.addRow("N:M", self.patterns)
        form.addRow("Seeds", row(self.seeds, Label("At a time"), self.jobs, None))
        form.addRow("Start from", row(self.begin, Label("with"), (self.then, 1)))
        choose = tool_button("Choose…", "Choose a folder", self._choose_folder)
        form.addRow("Folder", row((self.folder, 1), choose))
        text = (
            f"The settings of {printable(self._experiment.name)} in the form, with each of these "
            "methods and patterns. What the folder has already is not trained again."
        )
        cancel = push_button("Cancel", "Train nothing", self.reject)
        cancel.setAutoDefault(False)
        buttons = row(None, cancel, self.start)
        body = QWidget()
        column(Label(text, wordWrap=True), fields, self.problem, on=body).setSpacing(GAP)
        column((FittingArea(body), 1), buttons, on=self, margin=MARGIN).setSpacing(GAP)
        self.setMinimumWidth(WIDTH)


def _add(line: QLineEdit, text: str) -> None:
    line.setText(", ".join(filter(None, (line.text().strip().rstrip(","), text))))
