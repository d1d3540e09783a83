"""Opens what is dropped on the window or was opened lately, whatever kind of file it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QWidget

from lbc.config import load_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.home import shortened
from lbc.files.printable import is_unicode, printable
from lbc.files.resources import resource
from lbc.runs.opened_run import OpenedRun
from lbc_gui.icons import icon
from lbc_gui.inspector.entry_points import CheckpointOpener
from lbc_gui.widgets.commands import allow, describe_action
from lbc_gui.window.drop_target import DropTarget
from lbc_gui.window.file_kinds import Kind, sort_files
from lbc_gui.window.run_parts import Parts

MOST_SHOWN = "Two checkpoints, one experiment and one comparison are shown at a time"


class Opener(QObject):
    """Opens files of all kinds together, and fills the menu of recent ones."""

    failed = Signal(str, str)
    """A sentence, and details."""
    said = Signal(str)

    def __init__(self, window: Parts, inspecting: CheckpointOpener, parent: QWidget) -> None:
        super().__init__(parent)
        self._window, self._inspecting = window, inspecting
        self._menu, self._settings = window.actions_.recent, window.settings
        self._beside: tuple[Path, Path] | None = None
        """A run that is being opened, and the experiment that was dropped with it."""
        self.target = DropTarget(parent, lambda paths: sort_files(paths).sentence)
        self.target.dropped.connect(self.open)
        self._menu.aboutToShow.connect(self._fill)
        window.session.opened.connect(self._run_opened)
        for source in (window.files, window.pages.latency, inspecting):
            source.opened.connect(self._remember)
        self._fill()

    @Slot(object)
    def open(self, paths: Sequence[Path]) -> None:
        """Open everything, with the page of the last one in front.

        Several runs are compared. The settings of an experiment beside a run are put into the form.
        """
        files = sort_files(paths)
        found, pages, problems = files.found, self._window.pages, list(files.problems)
        if found[Kind.MEASUREMENT]:
            pages.setCurrentWidget(pages.latency)
            pages.latency.open_files(found[Kind.MEASUREMENT])
        if found[Kind.CHECKPOINT]:
            self._inspecting.open(found[Kind.CHECKPOINT])
        for folder in found[Kind.COMPARISON]:
            pages.comparisons.open(folder)
        self._beside = None
        runs, experiments = found[Kind.RUN], found[Kind.EXPERIMENT]
        if len(runs) == 1:
            self._beside = (runs[0], experiments[0]) if experiments else None
            self._window.files.open_run(runs[0])
        elif experiments:
            self._window.files.open_experiment(experiments[0])
        compared = self._compare(runs) if runs[1:] else pages.library
        fronts: dict[Kind | None, QWidget] = {
            Kind.RUN: compared if runs[1:] else self._run_page,
            Kind.COMPARISON: pages.comparisons,
            Kind.EXPERIMENT: self._run_page,
            Kind.MEASUREMENT: pages.latency,
            Kind.CHECKPOINT: pages.inspector,
        }
        if files.last is not None:
            pages.setCurrentWidget(fronts[files.last])
        if files.left_out:
            names = ", ".join(printable(path.name) for path in files.left_out)
            problems.append(f"{MOST_SHOWN}; not opened: {names}.")
        if problems:
            self.failed.emit("\n".join(problems), "")

    @property
    def _run_page(self) -> QWidget:
        """The page about the run that is on screen, or the first one."""
        pages = self._window.pages
        at = pages.widget(pages.currentIndex() if pages.run_page else 0)
        assert at is not None
        return at

    def _compare(self, runs: Sequence[Path]) -> QWidget:
        """Compare runs, on the page Runs where they are listed, else with all of their folder."""
        pages = self._window.pages
        folders = {run.absolute().parent for run in runs}
        below = self._window.session.runs.absolute()
        if len(folders) > 1 or all(folder.is_relative_to(below) for folder in folders):
            pages.library.compare(runs, baseline=runs[0])
            return pages.library
        pages.comparisons.open(folders.pop())
        if pages.comparisons.shown is not None:
            pages.comparisons.shown.library.compare(runs, baseline=runs[0])
        return pages.comparisons

    @Slot(object)
    def _run_opened(self, run: OpenedRun) -> None:
        self._remember(run.folder)
        beside, self._beside = self._beside, None
        if beside is not None and beside[0] == run.folder:
            try:
                experiment = load_experiment(beside[1])
            except ExperimentError as error:
                self.failed.emit(str(error), "")
            else:
                self._window.experiment_panel.form.enter_experiment(experiment)
                self._remember(beside[1])

    @Slot(object)
    def _remember(self, path: Path) -> None:
        path = path.absolute()
        if not is_unicode(str(path)):
            return
        with suppress(FileNotFoundError):
            if path.is_relative_to(resource("experiments").parent):
                return  # it comes with the program, and has a menu or a button of its own
        self._settings.add_recent_file(str(path))
        self._fill()

    @Slot()
    def _fill(self) -> None:
        """List the files; one that is gone is disabled."""
        self._menu.clear()
        for known in self._settings.recent_files:
            path = Path(known)
            action = QAction(printable(shortened(path)).replace("&", "&&"), self._menu)
            describe_action(action, f"Open {printable(known)} again")
            allow(action, "" if path.exists() else f"{printable(known)} no longer exists")
            action.triggered.connect(partial(self.open, [path]))
            self._menu.addAction(action)
        self._menu.addSeparator()
        clear = QAction(icon("close"), "&Clear", self._menu)
        describe_action(clear, "Forget which files were opened")
        allow(clear, "" if self._settings.recent_files else "Nothing was opened yet")
        clear.triggered.connect(self._clear)
        self._menu.addAction(clear)

    @Slot()
    def _clear(self) -> None:
        self._settings.clear_recent_files()
        self._fill()
