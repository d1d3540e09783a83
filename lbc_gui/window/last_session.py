"""Brings back what was open when the window was closed or killed, and keeps noting it."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QObject, QTimer, Slot
from PySide6.QtWidgets import QMainWindow

from lbc.config import Experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.printable import is_unicode, printable
from lbc.pictures.mask_snapshot import MaskSnapshot
from lbc.pictures.score_snapshot import Snapshot
from lbc.runs.opened_run import OpenedRun, open_run
from lbc.runs.run_state import RunError
from lbc_gui.run.view_state import nearest_moment
from lbc_gui.window.completion import Completion
from lbc_gui.window.dock_layout import DockLayout
from lbc_gui.window.last_pages import LastPages
from lbc_gui.window.run_parts import Parts
from lbc_gui.window.session_file import (
    DamagedSessionError,
    PagesState,
    SessionFile,
    SessionState,
)

if TYPE_CHECKING:  # at run time it is imported behind the first paint
    from lbc.latency.measurement import Measurement

SAVE_MILLISECONDS = 1000
"""How often it looks for changes: splitters and docks emit no signal when they are moved."""


class LastSession(QObject):
    """Restores in steps, as the parts of the window are there; a problem is one sentence.

    After ``restore`` it writes what has changed every second, and when the window closes.
    """

    def __init__(
        self,
        window: Parts,
        docks: DockLayout,
        completion: Completion,
        restores: bool,
        parent: QMainWindow,
    ) -> None:
        """``restores``: open the ``run`` and show the ``experiment`` of the last session."""
        super().__init__(parent)
        self._window, self._docks = window, docks
        self._layout = window.settings.layout()
        self._last: SessionState | None = None
        self._written: SessionState | None = None
        self._epoch: float | None = None
        """The position in time that is to be restored once the moments are known."""
        self._unlisted: SessionState | None = None
        """Whose layer and pins are to be shown once the layers are known."""
        self._zoom: tuple[float, float, float, float] | None = None
        """What of the layer is to be visible once its picture is there."""
        self.experiment: Experiment | None = None
        self.run: OpenedRun | None = None
        self._problems: list[str] = []
        if window.settings.damaged:
            what = "layout, theme and what else was chosen are as at the first start"
            self._problems.append(f"{window.settings.path} is damaged: {what}.")
        self._writer = ThreadPoolExecutor(1, "session file")
        self._writing: Future[None] = Future()
        """What was written last; an OSError in it is shown the next time."""
        self._writing.set_result(None)
        self._file: SessionFile | None = None
        try:
            self._file = SessionFile(window.settings.path.parent)
        except OSError as error:
            self._problems.append(f"What is open cannot be saved for the next start: {error}.")
        if restores and self._file is not None:
            self._read(self._file)
        kept = PagesState() if self._last is None else self._last.pages
        self._pages = LastPages(window, kept, self._file.measurements if self._file else None, self)
        self._completion = completion
        self._timer = QTimer(self, interval=SAVE_MILLISECONDS)
        self._timer.timeout.connect(self.save)

    def _read(self, file: SessionFile) -> None:
        try:
            self._last = file.read()
            if self._last is not None:
                self.experiment = self._parse(file, self._last.experiment)
                self._window.experiment_panel.show_experiment(self.experiment)
        except DamagedSessionError as error:
            self._last = None
            self._problems.append(str(error))
        if self._last is not None and self._last.run:
            self._open(Path(self._last.run))
        if self._last is not None and self.run is None:
            self._enter_form(self._last)

    def _parse(self, file: SessionFile, document: dict[str, Any]) -> Experiment:
        try:
            return parse_experiment(document)
        except ExperimentError as error:
            file.reject(error)

    def _open(self, folder: Path) -> None:
        try:
            self.run = open_run(folder)
        except RunError as error:
            gone = False
            with suppress(OSError):  # which the error above names
                gone = not folder.exists()
            what = f"The run {printable(str(folder))}, which was open last, "
            self._problems.append(f"{what}no longer exists." if gone else str(error))

    @property
    def page(self) -> int:
        """The index of the page that was on screen last."""
        return 0 if self._last is None else self._last.page

    def _enter_form(self, last: SessionState) -> None:
        form = self._window.experiment_panel.form
        if last.form != last.experiment:
            try:
                form.enter_document(dict(last.form))
            except ValueError as error:
                self._problems.append(f"Changes of the experiment cannot be restored: {error}.")

    def restore(self, run: OpenedRun | None) -> None:
        """Show page, layer, moment and changes, and begin to write them; once ``run`` is open."""
        last, window = self._last, self._window
        if run is self.run:
            window.starting.offer_newest()
        if last is not None:
            if self.run is not None:
                self._enter_form(last)
                self._epoch = last.epoch
            if last.page < window.pages.count() and window.pages.isTabEnabled(last.page):
                window.pages.setCurrentIndex(last.page)
            window.pages.scores.look.choose(last.look)
            self._unlisted, self._zoom = last, last.zoom
            self._open_layer()
        self._completion.call_then(self._pages.restore)
        if self._problems:
            window.message.show_message("\n".join(self._problems))
        window.session.moments_arrived.connect(self._moments_arrived)
        window.session.events_arrived.connect(self._open_layer)
        window.session.snapshot_arrived.connect(self._snapshot_arrived)
        window.session.loaded.connect(self._forget)
        self._timer.start()
        parent = self.parent()
        assert parent is not None
        parent.installEventFilter(self)

    @Slot()
    def _open_layer(self) -> None:
        last, view = self._unlisted, self._window.view_state
        if last is not None and view.view.layers:
            if last.layer in (info.name for info in view.view.layers):
                view.open_layer(last.layer)
            view.restore_pins(last.pins)
            self._unlisted = None

    @Slot()
    def _moments_arrived(self) -> None:
        view = self._window.view_state
        if self._epoch is not None and view.view.moments:
            view.go_to(nearest_moment(view.view.moments, self._epoch))
            self._epoch = None

    @Slot(object)
    def _snapshot_arrived(self, snapshot: Snapshot | MaskSnapshot) -> None:
        page = self._window.pages.run_page
        if self._zoom is not None and page is not None and snapshot.request == page.request:
            page.heatmap.show_cells(*self._zoom)
            self._zoom = None

    @Slot()
    def _forget(self) -> None:
        self._epoch = self._zoom = None  # another run was opened

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Close:
            self._wait()
            self.save()
            self._wait()
        return False

    @Slot()
    def save(self) -> None:
        """Write what has changed since the last time."""
        layout = self._docks.layout()
        if layout != self._layout:
            self._layout = layout
            self._window.settings.save_layout(layout)
        if self._file is None or not self._writing.done():
            return
        try:
            self._writing.result()
        except OSError as error:
            self._file = None  # one sentence, not one each second
            self._window.log.say(f"What is open is no longer kept for the next start: {error}.")
            return
        state, measurements = self._state(), self._pages.unsaved_measurements()
        if state != self._written or measurements is not None:
            self._written = state
            # In a thread: a disk that others write to can keep a file waiting for half a second.
            self._writing = self._writer.submit(self._write, self._file, state, measurements)

    def _write(
        self, file: SessionFile, state: SessionState, measurements: tuple[Measurement, ...] | None
    ) -> None:
        file.write(state)
        if measurements is not None:
            self._pages.write_measurements(measurements)

    def _wait(self) -> None:
        """Wait until what is being written is written."""
        wait([self._writing])

    def _state(self) -> SessionState:
        window, form, last = self._window, self._window.experiment_panel.form, self._unlisted
        view, folder = window.view_state.view, window.session.folder
        page = window.pages.run_page
        at_end = view.moment is None or view.moment == len(view.moments) - 1
        run = "" if folder is None else str(folder.absolute())
        epoch = None if at_end else view.moments[view.moment or 0].epoch
        return SessionState(
            experiment=form.compared,
            form=form.document,
            run=run if is_unicode(run) else "",
            page=window.pages.currentIndex(),
            layer=(last.layer if last else view.layer) or "",
            epoch=epoch if self._epoch is None else self._epoch,
            pins=last.pins if last else view.pins,
            look=view.look,
            zoom=self._zoom or (page.heatmap.visible if page else None),
            pages=self._pages.state,
        )
