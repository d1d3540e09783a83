"""The commands of the window: one QAction each, in toolbar and menus."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QMenu, QMenuBar, QToolBar, QWidget

from lbc.files.resources import resource
from lbc_gui.icons import icon
from lbc_gui.run.session import State
from lbc_gui.widgets.commands import allow, describe_action

RARE = ""
"""Instead of a shortcut: the command is used too rarely to need one."""


def _action(parent: QWidget, text: str, shortcut: str, tip: str, icon_name: str) -> QAction:
    action = QAction(icon(icon_name), text, parent)
    if shortcut:
        action.setShortcut(QKeySequence(shortcut))
    describe_action(action, tip)
    return action


def _themes(parent: QWidget) -> QActionGroup:
    themes = QActionGroup(parent)
    for name, text in (("system", "System"), ("light", "Light"), ("dark", "Dark")):
        action = QAction(text, themes)
        action.setCheckable(True)
        action.setData(name)
    return themes


def _examples(parent: QWidget) -> QActionGroup:
    examples = QActionGroup(parent)
    for path in sorted(resource("experiments").glob("*.yaml")):
        QAction(path.stem, examples).setData(str(path))
    return examples


class Actions:
    """The window's actions, not yet connected to anything."""

    def __init__(self, parent: QWidget) -> None:
        make = partial(_action, parent)
        self.run = make("Run", "F5", "Start or resume training", "play")
        tip = "Train the experiment in the background, after the runs already queued"
        self.queue = make("Queue", "Ctrl+Shift+Return", tip, "queue")
        tip = "Train the experiment with several methods, patterns and seeds, and compare them"
        self.compare = make("Co&mpare methods…", "Ctrl+Shift+M", tip, "levels")
        self.pause = make("Pause", "F6", "Pause training", "pause")
        self.step = make("Step", "F10", "Do one training step, then pause", "step")
        self.stop = make("Stop", "Shift+F5", "End the run and keep its results", "stop")
        tip = "Return to the start, with the same seed and weights"
        self.reset = make("Reset", "Ctrl+R", tip, "reset")
        self.resume = make("R&esume a run…", "Ctrl+Shift+R", "Resume an unfinished run", "resume")
        tip = "Show a run on disk, moment by moment"
        self.open_run = make("Open a &run…", "Ctrl+Shift+O", tip, "run")
        tip = "Show a run on a server as it is trained there, over ssh"
        self.open_server = make("Open a run on a ser&ver…", "Ctrl+Alt+O", tip, "run")
        self.open = make("&Open experiment…", "Ctrl+O", "Open an experiment file", "open")
        self.examples = _examples(parent)
        self.recent = QMenu("Open rec&ent", parent)
        self.recent.setToolTipsVisible(True)
        tip = "Show which N:M a saved model obeys"
        self.inspect = make("&Inspect a checkpoint…", "Ctrl+I", tip, "inspect")
        tip = "Prune the model of the finished run at once, without training"
        self.prune = make("&Prune…", RARE, tip, "prune")
        self.prune.setEnabled(False)
        tip = "Save the form as a YAML file"
        self.save = make("&Save experiment as…", "Ctrl+S", tip, "save")
        tip = "Save the run with its pictures as one HTML file"
        self.save_report = make("Save repor&t of the run…", "Ctrl+Shift+S", tip, "report")
        tip = "Save the view that has the focus as PNG or SVG"
        self.save_picture = make("Save &picture…", "Ctrl+Alt+P", tip, "picture")
        tip = "Copy the view that has the focus"
        self.copy_picture = make("&Copy picture", "Ctrl+Alt+C", tip, "copy")
        tip = "Save the numbers behind the view that has the focus"
        self.save_data = make("Save &data…", "Ctrl+Alt+D", tip, "data")
        tip = "Open the folder of all runs"
        self.open_runs = make("Show runs &folder", RARE, tip, "folder")
        self.quit = make("&Quit", "Ctrl+Q", "Close the window", "quit")
        tip = "Move every panel back to its place"
        self.reset_layout = make("Reset la&yout", RARE, tip, "layout")
        self.themes = _themes(parent)
        tip = "Read the documentation in the browser, without the network"
        self.documentation = make("&Documentation", "Ctrl+F1", tip, "open")
        tip = "Find a command by a few letters of its name, and run it"
        self.palette = make("&Command palette…", "Ctrl+K", tip, "search")
        self.shortcuts = make("&Keyboard shortcuts", "F1", "List every shortcut", "keyboard")
        tip = "Show the parts of the window, in five steps"
        self.tour = make("&Tour", RARE, tip, "help")
        tip = "Save versions, log and settings as a zip that does not name you, for a bug report"
        self.diagnostics = make("Save dia&gnostics…", RARE, tip, "report")
        tip = "Open the folder with the log of unexpected errors"
        self.open_log = make("Open &log folder", RARE, tip, "folder")
        self.about = make("&About", RARE, "About this program", "info")

    def fill_toolbar(self, bar: QToolBar) -> None:
        bar.addActions([self.run, self.queue, self.pause, self.step, self.stop, self.reset])
        bar.addSeparator()

    def fill_menus(
        self,
        bar: QMenuBar,
        edits: Sequence[QAction],
        panels: Sequence[QAction],
        interventions: Sequence[QAction],
    ) -> QMenu:
        """Fill the menu bar, and return the menu Go, which ``Navigation`` fills."""
        file = bar.addMenu("&File")
        file.addAction(self.open)
        file.addMenu(self.recent)
        examples = file.addMenu("Open e&xample")
        examples.addActions(self.examples.actions())
        file.addActions([self.save, self.open_run, self.open_server, self.save_report])
        file.addActions([self.inspect, self.open_runs])
        file.addSeparator()
        file.addActions([self.save_picture, self.copy_picture, self.save_data])
        file.addSeparator()
        file.addAction(self.quit)
        bar.addMenu("&Edit").addActions(edits)
        run = bar.addMenu("&Run")
        run.addActions([self.run, self.queue, self.pause, self.step, self.stop, self.reset])
        run.addSeparator()
        run.addActions(interventions)
        run.addSeparator()
        run.addActions([self.resume, self.prune, self.compare])
        view = bar.addMenu("&View")
        view.addActions(panels)
        view.addAction(self.reset_layout)
        theme = view.addMenu("&Theme")
        theme.addActions(self.themes.actions())
        go = bar.addMenu("&Go")
        bar.addMenu("&Help").addActions(
            [
                *(self.documentation, self.palette, self.shortcuts, self.tour),
                *(self.diagnostics, self.open_log, self.about),
            ]
        )
        return go

    def enable(self, state: State, valid: bool, no_report: str) -> None:
        """Enable what is possible. ``valid``: the form holds a valid experiment; ``no_report``:
        why no report of the run can be written, if so."""
        fresh = state in (State.READY, State.WAITING) or state.over
        of_run = f"Not possible while the run is {state.value}"
        of_form = "" if valid else "The experiment in the form is not valid"
        for action, possible in (
            (self.run, (fresh and valid) or state is State.PAUSED),
            (self.pause, state is State.RUNNING),
            (self.step, (state is State.READY and valid) or state is State.PAUSED),
            (self.stop, state in (State.RUNNING, State.PAUSED)),
            (self.reset, valid and state not in (State.LOADING, State.STOPPING)),
        ):
            in_form = action in (self.run, self.step, self.reset) and of_form
            allow(action, "" if possible else in_form or of_run)
        allow(self.save_report, no_report)
        for action in (self.save, self.queue, self.compare):
            allow(action, of_form)
