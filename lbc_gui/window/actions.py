"""The commands of the window: one QAction each, in toolbar and menus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtGui import QAction, QActionGroup, QIcon, QKeySequence
from PySide6.QtWidgets import QApplication, QMenuBar, QStyle, QToolBar, QWidget

from lbc.files.resources import resource
from lbc_gui.run.session import State

Pixmap = QStyle.StandardPixmap


def _action(
    parent: QWidget, text: str, shortcut: str, tip: str, icon: Pixmap | None = None
) -> QAction:
    action = QAction(text, parent)
    if shortcut:
        action.setShortcut(QKeySequence(shortcut))
    if icon is not None:
        action.setIcon(QIcon(QApplication.style().standardIcon(icon)))
    action.setToolTip(f"{tip} ({shortcut})" if shortcut else tip)
    action.setStatusTip(tip)
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


@dataclass(frozen=True)
class Actions:
    """The window's actions, not yet connected to anything."""

    run: QAction
    pause: QAction
    step: QAction
    stop: QAction
    reset: QAction
    resume: QAction
    open_run: QAction
    open: QAction
    examples: QActionGroup
    inspect: QAction
    save: QAction
    save_report: QAction
    save_picture: QAction
    copy_picture: QAction
    save_data: QAction
    open_runs: QAction
    quit: QAction
    fit: QAction
    reset_layout: QAction
    themes: QActionGroup
    about: QAction

    @classmethod
    def create(cls, parent: QWidget) -> Actions:
        """Build every action with its text, shortcut, tooltip and icon."""
        return cls(
            run=_action(parent, "Run", "F5", "Start or resume training", Pixmap.SP_MediaPlay),
            pause=_action(
                parent, "Pause", "F6", "Pause training", Pixmap.SP_MediaPause
            ),
            step=_action(
                parent, "Step", "F10", "Do one training step, then pause",
                Pixmap.SP_MediaSkipForward,
            ),
            stop=_action(
                parent, "Stop", "Shift+F5", "End the run and keep its results",
                Pixmap.SP_MediaStop,
            ),
            reset=_action(
                parent, "Reset", "Ctrl+R", "Return to the start, with the same seed and weights",
                Pixmap.SP_BrowserReload,
            ),
            resume=_action(
                parent, "R&esume a run…", "Ctrl+Shift+R", "Resume an unfinished run"
            ),
            open_run=_action(
                parent, "Open a &run…", "Ctrl+Shift+O", "Show a run on disk, moment by moment"
            ),
            open=_action(parent, "&Open experiment…", "Ctrl+O", "Open an experiment file"),
            examples=_examples(parent),
            inspect=_action(
                parent, "&Inspect a checkpoint…", "Ctrl+I", "Show which N:M a saved model obeys"
            ),
            save=_action(parent, "&Save experiment as…", "Ctrl+S", "Save the form as a YAML file"),
            save_report=_action(
                parent, "Save re&port of the run…", "Ctrl+Shift+S",
                "Save the run with its pictures as one HTML file",
            ),
            save_picture=_action(
                parent, "Save &picture…", "Ctrl+Alt+P",
                "Save the view that has the focus as PNG or SVG",
            ),
            copy_picture=_action(
                parent, "&Copy picture", "Ctrl+Alt+C", "Copy the view that has the focus"
            ),
            save_data=_action(
                parent, "Save &data…", "Ctrl+Alt+D",
                "Save the numbers behind the view that has the focus",
            ),
            open_runs=_action(parent, "Show &runs folder", "", "Open the folder of all runs"),
            quit=_action(parent, "&Quit", "Ctrl+Q", "Close the window"),
            fit=_action(parent, "&Fit heatmap", "Ctrl+0", "Show the whole layer"),
            reset_layout=_action(parent, "Reset la&yout", "", "Move every panel back to its place"),
            themes=_themes(parent),
            about=_action(parent, "&About", "", "About this program"),
        )  # fmt: skip

    def fill_toolbar(self, bar: QToolBar) -> None:
        bar.addActions([self.run, self.pause, self.step, self.stop, self.reset])
        bar.addSeparator()

    def fill_menus(
        self, bar: QMenuBar, panels: Sequence[QAction], interventions: Sequence[QAction]
    ) -> None:
        file = bar.addMenu("&File")
        file.addAction(self.open)
        examples = file.addMenu("Open e&xample")
        examples.addActions(self.examples.actions())
        file.addActions([self.save, self.open_run, self.save_report, self.inspect, self.open_runs])
        file.addSeparator()
        file.addActions([self.save_picture, self.copy_picture, self.save_data])
        file.addSeparator()
        file.addAction(self.quit)
        run = bar.addMenu("&Run")
        run.addActions([self.run, self.pause, self.step, self.stop, self.reset])
        run.addSeparator()
        run.addActions(interventions)
        run.addSeparator()
        run.addAction(self.resume)
        view = bar.addMenu("&View")
        view.addAction(self.fit)
        view.addSeparator()
        view.addActions(panels)
        view.addAction(self.reset_layout)
        theme = view.addMenu("&Theme")
        theme.addActions(self.themes.actions())
        bar.addMenu("&Help").addAction(self.about)

    def enable(self, state: State, valid: bool) -> None:
        """Enable what is possible; ``valid``: the form holds a valid experiment."""
        fresh = state in (State.READY, State.WAITING) or state.over
        self.run.setEnabled((fresh and valid) or state is State.PAUSED)
        self.pause.setEnabled(state is State.RUNNING)
        self.step.setEnabled((state is State.READY and valid) or state is State.PAUSED)
        self.stop.setEnabled(state in (State.RUNNING, State.PAUSED))
        self.reset.setEnabled(valid and state not in (State.LOADING, State.STOPPING))
        self.save.setEnabled(valid)
