"""Opens what is dropped on the window or was opened lately, whatever kind of file it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QWidget

from lbc.files.home import shortened
from lbc.files.printable import is_unicode, printable
from lbc.files.resources import resource
from lbc.runs.opened_run import OpenedRun
from lbc_gui.icons import icon
from lbc_gui.inspector.entry_points import CheckpointOpener
from lbc_gui.run.worker import describe
from lbc_gui.widgets.commands import allow, describe_action
from lbc_gui.window.drop_target import DropTarget
from lbc_gui.window.file_kinds import Kind, find_kind
from lbc_gui.window.run_parts import Parts


class Opener(QObject):
    """Opens files of all kinds together, and fills the menu of recent ones."""

    failed = Signal(str, str)
    """A sentence, and details."""
    said = Signal(str)

    def __init__(self, window: Parts, inspecting: CheckpointOpener, parent: QWidget) -> None:
        super().__init__(parent)
        self._window, self._inspecting = window, inspecting
        self._menu, self._settings = window.actions_.recent, window.settings
        DropTarget(parent).dropped.connect(self.open)
        self._menu.aboutToShow.connect(self._fill)
        window.session.opened.connect(self._run_opened)
        for source in (window.files, window.pages.latency, inspecting):
            source.opened.connect(self._remember)
        self._fill()

    @Slot(object)
    def open(self, paths: Sequence[Path]) -> None:
        """Open everything; what cannot be opened is one sentence each."""
        found: dict[Kind, list[Path]] = {kind: [] for kind in Kind}
        problems = []
        for path in paths:
            try:
                found[find_kind(path)].append(path)
            except FileNotFoundError:
                problems.append(f"{printable(str(path))} does not exist.")
            except OSError as error:
                problems.append(describe(f"{path} cannot be opened", error).message)
        if measurements := found[Kind.MEASUREMENT]:
            self._window.pages.setCurrentWidget(self._window.pages.latency)
            self._window.pages.latency.open_files(measurements)
        if checkpoints := found[Kind.CHECKPOINT]:
            self._inspecting.open(checkpoints[:2])
            problems += _left_out("Two checkpoints can be compared", checkpoints[2:])
        shown = [*found[Kind.RUN], *found[Kind.EXPERIMENT]]
        for path in shown[:1]:
            files = self._window.files
            (files.open_run if path in found[Kind.RUN] else files.open_experiment)(path)
        problems += _left_out("One run or experiment is shown at a time", shown[1:])
        if problems:
            self.failed.emit("\n".join(problems), "")

    @Slot(object)
    def _run_opened(self, run: OpenedRun) -> None:
        self._remember(run.folder)

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


def _left_out(why: str, paths: Sequence[Path]) -> list[str]:
    names = ", ".join(printable(path.name) for path in paths)
    return [f"{why}; not opened: {names}."] if paths else []
