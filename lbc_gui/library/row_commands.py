"""What can be done with the selected runs: one QAction each, with keys of the table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu, QWidget

from lbc.library.run_summary import RunSummary
from lbc_gui.icons import icon
from lbc_gui.widgets.commands import allow, describe_action

SINGLE, ALIKE, SEVERAL = "single", "alike", "several"
"""What a command is for: one run, also runs that differ in their seeds alone, or any runs."""

COMMANDS: dict[str, tuple[str, str, str, str, str]] = {
    "open": (SINGLE, "Open", "Return", "run", "Show the run on the other pages, as if live"),
    "compare": (SEVERAL, "Compare", "C", "difference", "Show the comparison of the selected runs"),
    "compare_parent": (SINGLE, "Compare with its parent", "Shift+C", "difference",
                       "Compare a fork with the run it was forked from"),
    "resume": (SINGLE, "Resume", "R", "resume", "Resume the run from its last checkpoint"),
    "fork": (SINGLE, "Fork…", "W", "fork",
             "What if: train on from one of its checkpoints, with other settings"),
    "prune": (SINGLE, "Prune…", "Shift+P", "prune",
              "Prune the trained model at once, without training"),
    "again": (SEVERAL, "Queue with another seed", "Shift+R", "again",
              "Train the same settings with a seed that was not used yet"),
    "vary": (ALIKE, "Vary…", "V", "vary", "Take the settings into the form and vary one of them"),
    "form": (ALIKE, "Take settings into the form", "F", "form",
             "Fill the form with the settings of the run; Ctrl+Z in the form takes that back"),
    "form_difference": (ALIKE, "Compare the form with this run", "Shift+F", "difference",
                        "Tint the settings of the form that differ from the run"),
    "baseline": (ALIKE, "Baseline", "B", "baseline",
                 "Show the differences of the other runs from this one, or stop doing so"),
    "star": (SEVERAL, "Star", "S", "star", "Add a star to the run, or remove it"),
    "tag": (SEVERAL, "Tags", "T", "tag", "Edit the tags, with commas between them"),
    "note": (SINGLE, "Note", "N", "note", "Edit the note"),
    "title": (SINGLE, "Rename", "F2", "rename", "Edit the title; the folder keeps its name"),
    "archive": (SEVERAL, "Archive", "A", "archive",
                "Hide the run in the table, or show it again"),
    "report": (SINGLE, "Save report…", "P", "report",
               "Save the run with its pictures as one HTML file"),
    "folder": (SINGLE, "Show folder", "E", "folder", "Show the folder of the run"),
    "copy": (SEVERAL, "Copy &rows", "Ctrl+C", "copy",
             "Copy the selected rows, or all, as a Markdown table"),
    "trash": (SEVERAL, "Move to trash", "Del", "trash", "Move the run to the desktop's trash"),
}  # fmt: skip
"""What each command is for, and its text, key, icon and tip."""

MENU = (
    ("open", "compare", "compare_parent", "resume", "fork", "prune", "again", "vary"),
    ("form", "form_difference", "baseline"),
    ("star", "tag", "note", "title", "archive"),
    ("report", "folder", "copy", "trash"),
)


READING = (
    *("resume", "fork", "prune", "again", "vary"),
    *("form", "form_difference", "report"),
)
"""What needs the files of the run. *Open* says why they cannot be read."""


class RowCommands(QObject):
    """The commands of a table, in its context menu and by keys while it has the focus."""

    triggered = Signal(str)
    """The name of a command."""

    def __init__(self, table: QWidget) -> None:
        super().__init__(table)
        self.actions_: dict[str, QAction] = {}
        self.menu = QMenu(table)
        self.menu.setToolTipsVisible(True)
        for group in MENU:
            for name in group:
                _, text, key, icon_name, tip = COMMANDS[name]
                action = QAction(icon(icon_name), text, table)
                action.setShortcut(QKeySequence(key))
                action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
                describe_action(action, tip)
                action.triggered.connect(partial(self.triggered.emit, name))
                self.actions_[name] = action
                self.menu.addAction(action)
                table.addAction(action)
            self.menu.addSeparator()
        self.enable((), baseline=False, alike=False)

    def enable(self, runs: Sequence[RunSummary], baseline: bool, alike: bool) -> None:
        """Enable what is possible with these runs, and name what it would do.

        ``alike``: they are one row. ``baseline``: the baseline is one of them.
        """
        for name in COMMANDS:
            allow(self.actions_[name], _why_not(name, runs, alike))
        for name, now, text in (
            ("star", all(run.annotations.star for run in runs), "Remove star"),
            ("archive", all(run.annotations.archived for run in runs), "Unarchive"),
            ("baseline", baseline, "No baseline"),
        ):
            self.actions_[name].setText(text if now and runs else COMMANDS[name][1])


def _why_not(name: str, runs: Sequence[RunSummary], alike: bool) -> str:
    """Why a command cannot be carried out with these runs; empty if it can."""
    applies = COMMANDS[name][0]
    if name == "copy":
        return ""
    if not runs:
        return "Select a run on the page Runs first"
    if len(runs) > 1 and applies != SEVERAL and not (alike and applies == ALIKE):
        return "This is for one run: select a single row"
    if name in READING and any(run.status == "unreadable" for run in runs):
        return "The run cannot be read"
    if name == "resume" and runs[0].status not in ("stopped", "failed", "cut off"):
        return "Only a run that was stopped, failed or was cut off can be resumed"
    if name == "compare_parent" and not runs[0].parent_folder:
        return "The run is no fork"
    return ""
