"""Checks and makes forks, in threads of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PySide6.QtCore import QObject, Signal, Slot

from lbc.config import Experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.os_errors import explain
from lbc.queue.commands import add_run, start
from lbc.runs.interventions import read_interventions
from lbc.runs.kept_checkpoints import ForkPoint, experiment_at, kept_moments
from lbc.runs.new_folder import new_run_path
from lbc.runs.run_state import RunError, read_state
from lbc_gui.run.view_state import nearest_fork_point
from lbc_gui.worker import Failed, Job, Worker, describe


@dataclass(frozen=True)
class Origin:
    """A run that can be forked, at one of the ``points``.

    ``finished`` is whether it is over, and ``intervened`` the epoch of the last intervention.
    """

    folder: Path
    points: tuple[ForkPoint, ...]
    finished: bool
    intervened: float

    def nearest(self, epoch: float | None) -> ForkPoint:
        """Where a fork begins that is wanted at an epoch, or at the end. Raises RunError."""
        end = experiment_at(self.points[-1]).training.epochs
        return nearest_fork_point(self.points, epoch, end) or self.points[0]

    def is_control(self, epoch: float) -> bool:
        """Whether the run is what its fork at an epoch, with nothing changed, would become."""
        return self.finished and self.intervened <= epoch


def read_origin(folder: Path) -> Origin:
    """Read what can be forked. Raises RunError if nothing can."""
    try:
        state = read_state(folder)
        done = [one.epoch for one in read_interventions(folder)]
    except OSError as error:
        raise RunError(explain(error, f"{error.filename or folder} cannot be read")) from error
    points = kept_moments(folder)
    if not points:
        raise RunError(
            f"{folder.name} has no checkpoint at which a fork could begin: one is kept at the end "
            "of every epoch, unless training.keep says otherwise."
        )
    return Origin(folder, points, state.status == "finished", max([0.0, *done]))


@dataclass(frozen=True)
class ForkRequest:
    """A fork of a run at an epoch, where it had the experiment ``before``.

    ``changes`` are the settings that differ, by path. ``queued``: it is to wait for its turn;
    ``control``: so is one without changes.
    """

    origin: Origin
    epoch: float
    before: Experiment
    experiment: Experiment
    changes: Mapping[str, object] = field(default_factory=dict, hash=False)
    queued: bool = False
    control: bool = False


@dataclass(frozen=True)
class Checked:
    """Why a fork is impossible: sentences by the setting that is to blame, and others."""

    request: ForkRequest
    fields: Mapping[str, str]
    others: tuple[str, ...]


@dataclass(frozen=True)
class ForkMade:
    """The folder of a fork."""

    request: ForkRequest
    folder: Path


class CheckThread(Worker):
    """Posts what speaks against a fork."""

    def __init__(self, request: ForkRequest, parent: QObject) -> None:
        super().__init__(parent)
        self._request = request

    def work(self) -> None:
        from lbc.training.fork import check_fork  # with torch, which takes seconds to load

        request, fields = self._request, {}
        folder, epoch = request.origin.folder, request.epoch
        reasons = check_fork(folder, epoch, request.experiment)
        for path, value in request.changes.items() if reasons else ():
            alone = _with_setting(request.before, path, value)
            found = () if alone is None else check_fork(folder, epoch, alone)
            if blamed := [reason for reason in found if reason in reasons]:
                fields[path] = " ".join(blamed)
        said = " ".join(fields.values())
        others = tuple(reason for reason in reasons if reason not in said)
        self.post(Checked(request, fields, others))

    def failure(self, error: Exception) -> Failed:
        return describe("The fork could not be checked", error)


class ForkThread(Worker):
    """Makes the fork, and what is queued with it."""

    def __init__(self, request: ForkRequest, runs: Path, parent: QObject) -> None:
        super().__init__(parent)
        self._request, self._runs = request, runs

    def work(self) -> None:
        from lbc.training.fork import fork_run

        request, origin = self._request, self._request.origin
        wanted = [(request.experiment, request.queued)]
        if request.control:
            control = {"name": f"{request.experiment.name}-control"}
            wanted.append((request.before.model_copy(update=control), True))
        for experiment, queued in wanted:
            folder = new_run_path(self._runs, experiment.name)
            fork_run(origin.folder, request.epoch, experiment, folder)
            done = "Forked"
            if queued:
                add_run(self._runs, folder)
                done = "Queued a fork of"
            self.post(f"{done} {origin.folder.name} at epoch {request.epoch:g}: {folder}.")
            if experiment is request.experiment:
                self.post(ForkMade(request, folder))
        if request.queued or request.control:
            start(self._runs)

    def failure(self, error: Exception) -> Failed:
        from lbc.training.fork import ForkError

        return describe("The fork could not be made", error, ForkError)


class ForkJob(Job):
    """Checks the latest request, and makes forks in a folder of runs."""

    checked = Signal(object)
    """Checked."""
    made = Signal(object)
    """ForkMade."""

    def __init__(self, runs: Path, parent: QObject) -> None:
        super().__init__(parent)
        self._runs = runs
        self._pending: ForkRequest | None = None
        self.arrived.connect(self._add)

    def check(self, request: ForkRequest) -> None:
        """Check a request; ``checked`` follows, unless another is to be checked by then."""
        self._pending = request
        if not any(isinstance(worker, CheckThread) for worker in self._workers):
            self._check_pending()

    def make(self, request: ForkRequest) -> None:
        """Make a fork; ``made`` or ``failed`` follows."""
        self._launch(ForkThread(request, self._runs, self))

    def _check_pending(self) -> None:
        request, self._pending = self._pending, None
        if request is not None:
            self._launch(CheckThread(request, self))

    def _worker_ended(self, worker: Worker) -> None:
        if not worker.cancelled.is_set() and isinstance(worker, CheckThread):
            self._check_pending()

    @Slot(object)
    def _add(self, events: Sequence[object]) -> None:
        for event in events:
            if isinstance(event, Checked) and self._pending is None:
                self.checked.emit(event)
            elif isinstance(event, ForkMade):
                self.made.emit(event)


def _with_setting(experiment: Experiment, path: str, value: object) -> Experiment | None:
    """An experiment with one setting changed; None if that is impossible without others."""
    document = experiment.model_dump(mode="json")
    *sections, name = path.split(".")
    inside = document
    for section in sections:
        inside = inside[section]
    inside[name] = value
    try:
        return parse_experiment(document)
    except ExperimentError:
        return None
