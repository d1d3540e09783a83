"""A run on a full disk loses no data and continues once there is space again."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lbc.config import Experiment
from lbc.runs.events import EpochDone, Event, Finished, Prepared, StepDone, StorageProblem
from lbc.runs.records import read_records
from lbc.training.control import Control
from lbc.training.failures import TrainingError
from lbc.training.trainer import Trainer
from tests.training.test_control import wait

if sys.platform == "win32":
    pytest.skip("needs limits on file sizes", allow_module_level=True)

import resource

# The event after which the disk is full, and the largest file in bytes that can be written then.
MOMENTS: dict[str, tuple[Callable[[Event], bool], int]] = {
    "folder": (lambda event: isinstance(event, Prepared), 0),
    "step": (lambda event: isinstance(event, StepDone) and event.step == 5, 300),
    "history": (lambda event: isinstance(event, StepDone) and event.step == 8, 9_000),
    "checkpoint": (lambda event: isinstance(event, StepDone) and event.step == 8, 150_000),
    "model": (lambda event: isinstance(event, EpochDone) and event.epoch == 2, 50_000),
}


class Disk:
    """A disk that becomes full at a given event."""

    def __init__(self, moment: str) -> None:
        self.full_at, self.size = MOMENTS[moment]
        self.events: list[Event] = []
        self.free = resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        if self.full_at(event):
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.free[1]))

    def free_space(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.free)


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    disk = Disk(request.param)
    yield disk
    disk.free_space()


each_moment = pytest.mark.parametrize("disk", MOMENTS, indirect=True)


@each_moment
def test_an_unattended_run_ends_with_a_message_and_loses_nothing(
    disk: Disk, quick: Callable[..., Experiment], tmp_path: Path
) -> None:
    with pytest.raises(TrainingError) as caught:
        Trainer(quick(), tmp_path / "run", emit=disk.on_event).train()
    disk.free_space()
    message = str(caught.value)
    assert message.startswith(f"The run could not be written to {tmp_path}")
    assert message.endswith("size of files. Earlier data is kept.") and "\n" not in message
    steps = [event.step for event in disk.events if isinstance(event, StepDone)]
    if not steps:
        assert list((tmp_path / "run").iterdir()) == []
        return
    kept = read_records(tmp_path / "run" / "steps.records")["step"].tolist()
    assert kept == steps
    assert not list((tmp_path / "run").glob(".*"))


@each_moment
def test_an_attended_run_pauses_and_continues_once_there_is_space(
    disk: Disk, quick: Callable[..., Experiment], tmp_path: Path
) -> None:
    Trainer(quick(), tmp_path / "expected").train()
    control = Control()
    trainer = Trainer(quick(), tmp_path / "run", control, disk.on_event, attended=True)
    thread = threading.Thread(target=trainer.train, daemon=True)
    thread.start()
    for _ in range(2):  # the first time the user presses Run without having freed space
        problem = problem_of(disk)
        assert str(tmp_path / "run") in problem.message and "press Run" in problem.message
        assert control.paused
        disk.events.remove(problem)
        control.run()
    problem_of(disk)
    disk.free_space()
    control.run()
    thread.join(60)
    assert not thread.is_alive()
    last = disk.events[-1]
    assert isinstance(last, Finished) and last.status == "finished"
    for name in ("model.safetensors", "scores.history"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "expected" / name).read_bytes()
    steps = read_records(tmp_path / "run" / "steps.records")
    expected = read_records(tmp_path / "expected" / "steps.records")
    for column in ("step", "epoch", "loss", "lr"):
        assert steps[column].tolist() == expected[column].tolist()
    assert len(read_records(tmp_path / "run" / "epochs.records")["epoch"]) == 2


def problem_of(disk: Disk) -> StorageProblem:
    """Wait for the first StorageProblem and return it."""
    wait(lambda: any(isinstance(event, StorageProblem) for event in disk.events))
    return next(event for event in disk.events if isinstance(event, StorageProblem))


@pytest.mark.parametrize("disk", ["step"], indirect=True)
def test_an_attended_run_that_is_stopped_ends(
    disk: Disk, quick: Callable[..., Experiment], tmp_path: Path
) -> None:
    control = Control()

    def emit(event: Event) -> None:
        disk.on_event(event)
        if isinstance(event, StorageProblem):
            control.stop()

    with pytest.raises(TrainingError, match="The run was stopped"):
        Trainer(quick(), tmp_path / "run", control, emit, attended=True).train()
    # Not in the fixture: pytest writes its report before the fixture is torn down.
    disk.free_space()
