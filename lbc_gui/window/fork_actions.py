"""Forks runs at the user's request: from the time slider, a block's history, or a row."""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QWidget

from lbc.runs.kept_checkpoints import experiment_at
from lbc.runs.own_runs import may_import
from lbc.runs.run_state import RunError
from lbc_gui.experiment.fields import FORK_ROWS
from lbc_gui.experiment.form import ExperimentForm
from lbc_gui.run.fork_dialog import ForkDialog
from lbc_gui.run.fork_job import ForkJob, ForkMade, ForkRequest, read_origin
from lbc_gui.run.interruption import ask_before
from lbc_gui.window.run_parts import Parts


class ForkActions(QObject):
    """Opens the dialog, and trains what it asks for here or through the queue."""

    said = Signal(str)
    failed = Signal(str, str)

    def __init__(self, window: Parts, parent: QWidget) -> None:
        super().__init__(parent)
        self._window, self._parent = window, parent
        self._job = ForkJob(window.session.runs, self)
        self._job.made.connect(self._made)
        self._job.said.connect(self.said)
        self._job.failed.connect(self.failed)
        window.closing.wait_for(self._job)
        window.session.fork_points_arrived.connect(window.view_state.set_fork_points)
        window.timeline.fork_requested.connect(self.fork_present)
        window.block.life.plot.fork_requested.connect(self.fork_present)

    @cached_property
    def _form(self) -> ExperimentForm:
        form = ExperimentForm(self._parent, FORK_ROWS, {})
        form.hide()
        return form

    @Slot(float)
    def fork_present(self, epoch: float) -> None:
        """Ask how the run on screen is to be forked at an epoch."""
        if self._window.session.folder is not None:
            self.fork(self._window.session.folder, epoch)

    def fork(self, folder: Path, epoch: float | None = None) -> None:
        """Ask how a run is to be forked; without an epoch, at the last moment before its end."""
        try:
            origin = read_origin(folder)
            point = origin.nearest(epoch)
            before = experiment_at(point)
        except RunError as error:
            self.failed.emit(str(error), "")
            return
        dialog = ForkDialog(origin, point, before, self._form, self._job, self._parent)
        dialog.confirmed.connect(self._confirmed)
        dialog.open()

    @Slot(object)
    def _confirmed(self, request: ForkRequest) -> None:
        origin = request.origin
        own, queued = may_import(origin.folder, request.before.model), request.queued
        if not own and (queued or request.control):
            self.failed.emit(
                f"The model of {origin.folder.name} is code, and you did not start this run on "
                "this computer: fork and train it here, where you are asked before it runs.", ""
            )  # fmt: skip
        elif queued:
            self._job.make(request)
        else:
            make = partial(self._job.make, request)
            ask_before("Fork", request.experiment.name, make, self._window.session, self._parent)

    @Slot(object)
    def _made(self, made: ForkMade) -> None:
        if made.request.queued:
            self._window.queue.filled.emit(True)
            return
        self._window.pages.setCurrentIndex(0)
        self._window.starting.resume(made.folder, asked=True)
