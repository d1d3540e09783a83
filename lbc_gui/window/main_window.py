"""The window: pages, panels and actions, and their connections to the session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, QTimer, Slot
from PySide6.QtGui import QCloseEvent, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QMainWindow, QWidget

from lbc.config import Experiment
from lbc.pictures.mask_snapshot import MaskSnapshot
from lbc.pictures.score_snapshot import Snapshot
from lbc.runs.events import Event, Intervened, Prepared, Resumed, Started, Steering
from lbc.runs.history_reader import MomentInfo
from lbc.runs.opened_run import OpenedRun
from lbc_gui.block.block_panel import BlockPanel
from lbc_gui.block.life_export import LifeExport
from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.export.report_export import ReportExport
from lbc_gui.export.view_export import ViewExport
from lbc_gui.inspector.entry_points import CheckpointOpener
from lbc_gui.run.failure_messages import FailureMessages
from lbc_gui.run.launch import Launch
from lbc_gui.run.log_panel import LogPanel
from lbc_gui.run.run_progress import RunProgress
from lbc_gui.run.session import Session, State
from lbc_gui.run.timeline import Timeline
from lbc_gui.run.view_state import View, ViewState
from lbc_gui.scores.score_view import ScoreView
from lbc_gui.settings import Settings
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.body_area import AROUND_PAGES, FittingArea
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.message_bar import MessageBar
from lbc_gui.widgets.text import Label
from lbc_gui.window.actions import Actions
from lbc_gui.window.completion import Completion
from lbc_gui.window.dock_layout import DockLayout
from lbc_gui.window.file_dialogs import Files
from lbc_gui.window.garbage_collection import GarbageCollector
from lbc_gui.window.help_menu import Help
from lbc_gui.window.navigation import Navigation
from lbc_gui.window.pages import Pages
from lbc_gui.window.shutdown import Shutdown
from lbc_gui.worker import Failed

if TYPE_CHECKING:  # at run time it is imported behind the first paint
    from lbc_gui.queue.run_queue import RunQueue

TITLE = "LBC Explorer"

FIRST_PAINT_MILLISECONDS = 1000
"""The longest wait for the window to be painted."""

LONGEST_LOADING = 3000
"""Milliseconds of loading after which the other pages wait no longer."""


class MainWindow(QMainWindow):
    """One experiment, one run, every view of it."""

    inspecting: CheckpointOpener
    queue: RunQueue

    def __init__(
        self, experiment: Experiment, runs: Path, settings: Settings, start: bool = False
    ) -> None:
        super().__init__()
        self.session = Session(runs, self)
        self.view_state = ViewState(self)
        self.experiment_panel = ExperimentPanel(lambda: settings.estimate)
        self.scores = ScoreView(self.view_state)
        self.pages = Pages(self.scores)
        self.block = BlockPanel(self.view_state)
        self.log = LogPanel()
        self.timeline = Timeline(self.view_state)
        self.message = MessageBar()
        self._hover, self._garbage = Label(), GarbageCollector(self)
        self._failures = FailureMessages(self.message, self.log, self._hover.setText)
        self.progress = RunProgress()
        self.actions_ = Actions(self)
        self._dock_layout = DockLayout(self, settings, self.actions_.themes)
        self._start, self._runs, self.settings = start, runs, settings
        self.starting = Launch(self.session, self.experiment_panel, self.message, settings, self)
        self.files = Files(lambda: self.experiment_panel.experiment, runs, self)
        self.reporting = ReportExport(self.session, self.view_state, self)
        self.closing = Shutdown(self, self.session)
        self.saving = ViewExport(self._run_name, self)
        form, parts = self.experiment_panel.form, (self.block, self.timeline, self.message)
        self.help = Help(self, self.actions_, settings, form, self.pages, *parts)
        self._life_export = LifeExport(
            self.block, self.view_state, self.saving, lambda: self.session.folder
        )
        self._lay_out()
        self._connect_actions()
        self._connect()
        self.experiment_panel.show_experiment(experiment)
        self._enable_actions()
        self._first = experiment
        self.complete, self._completion = False, Completion(self._build_others(), self)
        self.closing.wait_for(self._completion, self.experiment_panel.implications)
        self.closing.wait_for(self.saving, self.files.saving, self.help.saving)
        self._begin = QTimer(self, singleShot=True, interval=FIRST_PAINT_MILLISECONDS)

    def begin(
        self, inspect: Sequence[Path] = (), run: OpenedRun | None = None, restores: bool = False
    ) -> None:
        """Once the window is painted, show ``run`` or what was open last if it ``restores``, or
        prepare its experiment; and ``inspect``."""
        self._begin.timeout.connect(lambda: self._load_first(inspect, run, restores))
        self._begin.start()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._begin.isActive():
            self._begin.start(0)  # when its children are painted too

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._dock_layout.fit_width()

    def _load_first(self, inspect: Sequence[Path], run: OpenedRun | None, restores: bool) -> None:
        if self.closing.started:
            return
        from lbc_gui.window.last_session import LastSession

        self.curves = self.pages.add_curves(self.view_state)
        last = LastSession(self, self._dock_layout, self._completion, restores, self)
        experiment = self.experiment_panel.experiment or last.experiment or self._first
        run = run or last.run
        if run is not None or self._start or inspect or last.page:
            self._completion.finish()
        else:  # Run is enabled sooner where the other pages are built after it
            QTimer.singleShot(LONGEST_LOADING, self._completion.begin)
        if run is not None:
            self.session.open(run)
        elif self._start:
            self.starting.start(experiment, run=True)
        else:
            self.starting.prepare(experiment)
        last.restore(run)
        if inspect:
            self.inspecting.open(inspect)

    def sizeHint(self) -> QSize:
        return QSize(1280, 800)

    def show_failure(self, sentence: str, details: str) -> None:
        """Show what went wrong, in the message bar and in the log."""
        self._failures.show(sentence, details)

    @Slot(object)
    def _state_changed(self, state: State) -> None:
        self.progress.show_state(state)
        self.setWindowTitle(f"{self._run_name()} · {self.session.described} — {TITLE}")
        self._enable_actions()
        if state is not State.LOADING:
            self._completion.begin()

    def _run_name(self) -> str:
        return self.session.experiment.name if self.session.experiment else ""

    @Slot()
    def _loaded(self) -> None:
        self._state_changed(self.session.state)  # perhaps the same state, but of another run
        self.view_state.begin_run(live=self.session.shown_live)
        self.curves.clear_curves()
        if self.session.state is State.WAITING:
            self.view_state.set_layers(())

    @Slot(object)
    def _events_arrived(self, events: Sequence[Event | Failed]) -> None:
        for event in events:
            match event:
                case Prepared():
                    self._prepared(event)
                case Started() | Intervened(intervention=Steering()):
                    assert self.session.experiment is not None
                    self.experiment_panel.compare_with(self.session.experiment)
                    self._enable_actions()
                case Resumed():
                    self._enable_actions()
                    if event.warning:
                        self.message.show_message(event.warning)
                case Failed():
                    self._failed(event)
            self._failures.add(event)
            self.log.add(event)
        self.curves.add(events)
        self.progress.add(events)

    def _failed(self, failed: Failed) -> None:
        if self.session.unprepared:  # then nothing of the run before is true any more
            self.view_state.set_layers(())
            self.experiment_panel.show_unprepared()
            self.starting.show_unprepared(failed.message, failed.details)
        else:
            self.message.show_message(failed.message, failed.details)

    def _prepared(self, prepared: Prepared) -> None:
        assert self.session.experiment is not None
        self.experiment_panel.show_prepared(self.session.experiment, prepared)
        self.progress.show_prepared(prepared)
        self.curves.begin(prepared.layers, prepared.epochs)
        self.view_state.set_layers(prepared.layers)
        self._enable_actions()

    @Slot(object)
    def _opened(self, run: OpenedRun) -> None:
        self.message.hide()
        self.experiment_panel.show_experiment(run.experiment)
        self.progress.show_opened(run)
        self.curves.begin(run.layers, run.experiment.training.epochs)
        self.curves.add([*run.steps, *run.epochs, *run.numbers])
        self.view_state.set_layers(run.layers)
        self.log.say(f"Opened {run.folder}, a run that is {run.status}.")

    @Slot(object)
    def _moments_arrived(self, moments: Sequence[MomentInfo]) -> None:
        experiment = self.session.experiment
        self.view_state.set_moments(moments, experiment.training.epochs if experiment else 0)

    @Slot(object)
    def _snapshot_arrived(self, snapshot: Snapshot | MaskSnapshot) -> None:
        page = self.pages.run_page or self.scores
        if snapshot.request != page.request:
            return
        if isinstance(snapshot, MaskSnapshot):
            self.pages.masks.show_snapshot(snapshot)
        else:
            self.scores.show_snapshot(snapshot)
        self.scores.list.show_states(snapshot.layers)
        self.timeline.show_epoch(snapshot.epoch)
        self.block.show_snapshot(snapshot)

    @Slot(object, object)
    def _view_changed(self, before: View, view: View) -> None:
        if view.pins.all != before.pins.all:
            self.session.watch_pins(view.pins.all)
        if view.deleted is not before.deleted:
            self._enable_actions()
        self._ask()

    @Slot()
    def _ask(self) -> None:
        """Ask for what the page on screen shows."""
        request = (self.pages.run_page or self.scores).request
        if request is not None:
            self.session.look(request)

    @Slot(int)
    def _page_changed(self, _page: int) -> None:
        page = self.pages.run_page
        self._dock_layout.show_page(about_run=page is not None)
        self.timeline.setVisible(self.pages.shows_moment)
        if page is not None:
            self.scores.list.move_to(page.splitter)
            self._ask()

    @Slot()
    def _enable_actions(self) -> None:
        valid = self.experiment_panel.experiment is not None
        self.actions_.enable(self.session.state, valid, self.reporting.why_not)
        self.block.interventions.allow(self.session.state in (State.READY, State.PAUSED))

    def closeEvent(self, event: QCloseEvent) -> None:
        if self.closing.over:
            self._garbage.close()
            event.accept()
        else:
            event.ignore()
            self.closing.ask()

    def _connect_actions(self) -> None:
        actions, session, files = self.actions_, self.session, self.files
        for action, slot in (
            (actions.run, self.starting.run),
            (actions.pause, session.pause),
            (actions.step, session.step),
            (actions.stop, session.stop),
            (actions.reset, self.starting.reset),
            (actions.resume, self.starting.choose_run),
            (actions.open_run, files.choose_run),
            (actions.open, files.choose_experiment),
            (actions.save, files.choose_where_to_save),
            (actions.save_report, self.reporting.choose),
            (actions.save_picture, self.saving.save_picture),
            (actions.copy_picture, self.saving.copy_picture),
            (actions.save_data, self.saving.save_data),
            (actions.open_runs, files.show_runs),
            (actions.quit, self.close),
            (actions.reset_layout, self._dock_layout.reset),
            (actions.examples, files.open_example),
        ):
            action.triggered.connect(slot)

    def _connect(self) -> None:
        session, files = self.session, self.files
        panel, life = self.experiment_panel, self.block.life
        for signal, slot in (
            (files.experiment_opened, self.starting.open),
            (files.run_opened, self.starting.open_run),
            (self.starting.said, self.log.say),
            (session.state_changed, self._state_changed),
            (session.loaded, self._loaded),
            (session.events_arrived, self._events_arrived),
            (session.snapshot_arrived, self._snapshot_arrived),
            (session.moments_arrived, self._moments_arrived),
            (session.opened, self._opened),
            (session.failed, self.show_failure),
            (session.thumbnails_arrived, self.scores.list.show_thumbnails),
            (session.flips_arrived, self.scores.list.show_flips),
            (session.pin_weights_arrived, life.add_weights),
            (session.life_arrived, life.show_life),
            (self.scores.list.in_view_changed, session.show_thumbnails_of),
            (self.block.interventions.requested, session.intervene),
            (self.view_state.changed, self._view_changed),
            (self.view_state.changed, self._dock_layout.view_changed),
            (self.pages.currentChanged, self._page_changed),
            (panel.edited, self._enable_actions),
            (panel.examined, self._enable_actions),
            (panel.settled, self.starting.form_settled),
            (self.reporting.running_changed, self._enable_actions),
            (self.scores.hover_text, self._hover.setText),
        ):
            signal.connect(slot)
        self._failures.relay(files, self.saving, self.reporting, self.starting.remedies)
        self._failures.relay(panel.implications, panel.form.menu)

    def _lay_out(self) -> None:
        self.setWindowTitle(TITLE)
        central = QWidget()
        parts = (self.message, self.help.strip, (self.pages, 1), self.timeline)
        column(*parts, on=central).setContentsMargins(TIGHT, TIGHT, TIGHT, 0)
        self.setCentralWidget(FittingArea(central, AROUND_PAGES))
        self._dock_layout.place(self.experiment_panel, self.block, self.log, self.pages)
        bar = self.addToolBar("Run")
        bar.setObjectName("run_bar")
        bar.setMovable(False)
        bar.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.actions_.fill_toolbar(bar)
        bar.addWidget(self.progress)
        go = self.actions_.fill_menus(
            self.menuBar(),
            self.experiment_panel.actions_,
            [dock.toggleViewAction() for dock in self._dock_layout.docks],
            [self.block.interventions.pin, self.block.interventions.ban, self.timeline.fork],
        )
        Navigation(go, self.pages, self.view_state)
        self.statusBar().addWidget(self._hover, 1)
        self._dock_layout.restore()

    def _build_others(self) -> Iterator[None]:
        """Build the pages that are not on screen at first, and connect them, in several steps."""
        from lbc_gui.window.opener import Opener
        from lbc_gui.window.run_actions import RunActions

        self._add_queue()
        yield
        panel, session = self.experiment_panel, self.session
        yield from self.pages.complete(
            *(self.view_state, self._runs, self.settings, lambda: panel.experiment),
            *(lambda: session.finished_folder, self.starting.approves),
        )
        masks, inspector, latency = self.pages.masks, self.pages.inspector, self.pages.latency
        self.inspecting = CheckpointOpener(self, inspector, self.pages, self.message, self.log)
        self._failures.relay(Opener(self, self.inspecting, self))
        self._failures.relay(RunActions(self, self))
        jobs = (latency.measuring, latency.saving, *latency.estimate.jobs, inspector.reading)
        self.closing.wait_for(*jobs, self.reporting, self.starting.remedies)
        self.saving.add(self.scores, self.scores.heatmap)
        self.saving.add(masks, masks.heatmap)
        self.saving.add(inspector.layer, inspector.layer.view)
        for of_itself in (latency.plots, latency.estimate.plots, self.curves, self.block):
            self.saving.add(of_itself)
        self.actions_.inspect.triggered.connect(self.inspecting.choose)
        masks.request_changed.connect(self._ask)
        for view in (masks, inspector):
            view.hover_text.connect(self._hover.setText)
        inspector.failed.connect(self.show_failure)
        self._failures.relay(latency)
        for changed in (panel.settled, session.loaded, session.state_changed):
            changed.connect(latency.estimate.refresh)
        latency.estimate.choice_changed.connect(panel.show_gains)
        panel.show_gains()
        self.complete = True

    def _add_queue(self) -> None:
        from lbc_gui.queue.run_queue import RunQueue

        self.queue = RunQueue(self._runs, self.experiment_panel, self.message, self)
        column(self.queue.panel, on=self._dock_layout.queue)
        self.actions_.queue.triggered.connect(self.queue.add)
        self.queue.filled.connect(self._dock_layout.show_queue)
        self.closing.wait_for(self.queue.following)
        self._failures.relay(self.queue)
