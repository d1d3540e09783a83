"""The panel Queue: its entries, and what a user can do with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QToolButton, QWidget

from lbc.queue.commands import clear, move, set_jobs, start, steer
from lbc.queue.entries import ACTIONS, STATES, Action, Place, Queue
from lbc_gui.help.explanations import help_button
from lbc_gui.icons import icon
from lbc_gui.queue.follower import Command, QueueMoment
from lbc_gui.queue.queue_table import QueueTable, lines_of
from lbc_gui.theme import GAP, TIGHT
from lbc_gui.widgets.buttons import push_button
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.number_boxes import NumberBox
from lbc_gui.widgets.text import Label, plain

JOBS_WIDTH = 64
OVER = ("finished", "failed", "cancelled")


class QueuePanel(QWidget):
    """Shows a QueueMoment; what the user wants is emitted as a command."""

    asked = Signal(object)
    """A function that changes the queue; it may take a while."""
    opened = Signal(Path)
    """The folder of a run to show."""

    def __init__(self, runs: Path) -> None:
        super().__init__()
        self._runs = runs
        self._moment = QueueMoment()
        self._actions: dict[str, QAction] = {}
        self.table = QueueTable()
        self.summary = Label()
        self.start = push_button(
            "Start", "Train the waiting runs in the background", self._start_clicked
        )
        self.jobs = NumberBox(whole=True, least=1)
        self.jobs.setToolTip("How many runs train at a time; they share the cores")
        self.jobs.setAccessibleName("Runs at a time")
        self.jobs.setKeyboardTracking(False)
        self.jobs.valueChanged.connect(self._jobs_changed)
        self.notice = Label(wordWrap=True)
        self.notice.setObjectName("problem")
        self.jobs.setFixedWidth(JOBS_WIDTH)
        buttons = row()
        for action in self._make_actions():
            button = QToolButton(autoRaise=True)
            button.setDefaultAction(action)
            buttons.addWidget(button)
            self.table.addAction(action)
        jobs = (Label("At a time"), self.jobs, help_button("Queue"))
        above = row(buttons, self.start, (self.summary, 1), *jobs)
        above.setSpacing(GAP)
        layout = column(above, self.notice, (self.table, 1), on=self)
        layout.setSpacing(TIGHT)
        self.table.dropped.connect(self._move_before)
        self.table.doubleClicked.connect(self._open_run)
        self.table.selectionModel().selectionChanged.connect(self._enable)
        self.table.selectionModel().currentChanged.connect(self._enable)  # follows the selection
        self.show_moment(self._moment)

    def show_moment(self, moment: QueueMoment) -> None:
        """Show the queue as it is now."""
        added = len(moment.queue.entries) > len(self._moment.queue.entries)
        self._moment = moment
        self.table.show_lines(lines_of(moment), reveal=added)
        self.summary.setText(describe_states(moment.queue) or "Nothing is queued")
        self.notice.setText(moment.notice)
        self.notice.setVisible(bool(moment.notice))
        idle = not moment.working and moment.queue.count("waiting", "running") > 0
        self.start.setVisible(idle)
        if not self.jobs.hasFocus():
            self.jobs.blockSignals(True)
            self.jobs.enter(moment.queue.jobs)
            self.jobs.blockSignals(False)
        self._enable()

    # -- commands -------------------------------------------------------------------------------

    def _make_actions(self) -> list[QAction]:
        pause, resume = "Save it and let it wait", "Let it wait for its turn again"
        return [
            self._action("pause", "Pause", pause, "pause", "", partial(self._steer, "pause")),
            self._action("resume", "Resume", resume, "resume", "", partial(self._steer, "resume")),
            self._action("retry", "Retry", "Train failed or cancelled runs again", "reset", "",
                         partial(self._steer, "retry")),
            self._action("cancel", "Cancel", "Cancel the run; its folder is kept", "stop",
                         "Del", partial(self._steer, "cancel")),
            self._action("up", "Move up", "Train it earlier", "up", "Ctrl+Shift+Up",
                         partial(self._move, "up")),
            self._action("down", "Move down", "Train it later", "down", "Ctrl+Shift+Down",
                         partial(self._move, "down")),
            self._action("top", "Move to the top", "Train it next", "top", "Ctrl+Shift+Home",
                         partial(self._move, "top")),
            self._action("open", "Open the run", "Show the run of the chosen entry", "run",
                         "Return", self._open_run),
            self._action("clear", "Clear", "Remove ended runs from the list; all are kept",
                         "close", "", self._clear),
        ]  # fmt: skip

    def _action(
        self,
        name: str,
        text: str,
        tip: str,
        sign: str,
        shortcut: str,
        slot: Callable[[], object],
    ) -> QAction:
        action = QAction(icon(sign), text, self)
        if shortcut:
            action.setShortcut(QKeySequence(shortcut))
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        action.setToolTip(plain(f"{text}: {tip}" + (f" ({shortcut})" if shortcut else "")))
        action.triggered.connect(lambda: slot())
        self._actions[name] = action
        return action

    def _ask(self, command: Command) -> None:
        self.asked.emit(command)

    def _steer(self, action: Action) -> None:
        """Apply an action to the chosen entries for which it is possible, or to all."""
        runs, ids = self._runs, self._possible(action)

        def command() -> None:
            steer(runs, action, ids)
            if action in ("resume", "retry"):
                start(runs)

        self._ask(command)

    def _move(self, place: Place) -> None:
        self._ask(partial(move, self._runs, self.table.chosen_ids, place))

    @Slot(object, object)
    def _move_before(self, ids: list[int], before: int | None) -> None:
        place: Place | int = "bottom" if before is None else before
        if ids and before not in ids:
            self._ask(partial(move, self._runs, ids, place))

    def _clear(self) -> None:
        ids = self.table.chosen_ids
        entries = self._moment.queue.entries
        chosen = [one.id for one in entries if one.id in ids and one.state in OVER]
        self._ask(partial(clear, self._runs, chosen or None))

    @Slot()
    def _start_clicked(self) -> None:
        self._ask(partial(start, self._runs))

    @Slot()
    def _jobs_changed(self) -> None:
        entry = self.jobs.entry()
        if isinstance(entry, int):
            self._ask(partial(set_jobs, self._runs, entry))

    @Slot()
    def _open_run(self) -> None:
        current = self.table.current
        if current is not None and self._actions["open"].isEnabled():
            self.opened.emit(self._runs / current.entry.folder)

    # -- what is possible -----------------------------------------------------------------------

    def _possible(self, action: Action) -> list[int]:
        states, _ = ACTIONS[action]
        chosen = self.table.chosen_ids
        return [
            entry.id
            for entry in self._moment.queue.entries
            if entry.state in states and (entry.id in chosen or not chosen)
        ]

    @Slot()
    def _enable(self) -> None:
        chosen, entries = self.table.chosen_ids, self._moment.queue.entries
        for action in ACTIONS:
            needs_choice = action == "cancel" and not chosen
            self._actions[action].setEnabled(bool(self._possible(action)) and not needs_choice)
        for name in ("up", "down", "top"):
            self._actions[name].setEnabled(bool(chosen))
        self._actions["clear"].setEnabled(any(entry.state in OVER for entry in entries))
        current = self.table.current
        begun = current is not None and current.entry.state not in ("waiting", "cancelled")
        self._actions["open"].setEnabled(begun)


def describe_states(queue: Queue) -> str:
    """How many entries are in each state, for example "2 running, 13 waiting"."""
    counts = {state: queue.count(state) for state in STATES}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)
