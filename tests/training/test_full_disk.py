"""A run whose disk is full loses nothing, and goes on where somebody makes room."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lbc.config import Experiment
from lbc.runs.events import EpochDone, Event, Finished, Prepared, StepDone, StorageProblem
from lbc.runs.records import read_records
from lbc.training.control import Control
from lbc.training.failures import TrainingError
from lbc.training.trainer import Trainer

if sys.platform == "win32":
    pytest.skip("needs limits on file sizes", allow_module_level=True)

import resource

# From which event on, and beyond which size of a file in bytes, the kernel refuses to write.
MOMENTS: dict[str, tuple[Callable[[Event], bool], int]] = {
    "folder": (lambda event: isinstance(event, Prepared), 0),
    "step": (lambda event: isinstance(event, StepDone) and event.step == 5, 300),
    "history": (lambda event: isinstance(event, StepDone) and event.step == 8, 9_000),
    "checkpoint": (lambda event: isinstance(event, StepDone) and event.step == 8, 150_000),
    "model": (lambda event: isinstance(event, EpochDone) and event.epoch == 2, 50_000),
}


class Disk:
    """Fills itself once, when it sees a certain event."""

    def __init__(self, moment: str) -> None:
        self.full_at, self.size = MOMENTS[moment]
        self.events: list[Event] = []
        self.free = resource.getrlimit(resource.RLIMIT_FSIZE)

    def see(self, event: Event) -> None:
        self.events.append(event)
        if self.full_at(event):
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.free[1]))

    def make_room(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.free)


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    disk = Disk(request.param)
    yield disk
    disk.make_room()


each_moment = pytest.mark.parametrize("disk", MOMENTS, indirect=True)


@each_moment
def test_alone_the_run_ends_with_a_sentence_and_nothing_is_lost(
    disk: Disk, quick: Callable[..., Experiment], tmp_path: Path
) -> None:
    with pytest.raises(TrainingError) as caught:
        Trainer(quick(), tmp_path / "run", emit=disk.see).train()
    disk.make_room()
    said = str(caught.value)
    assert said.startswith(f"The run could not be written to {tmp_path}") and "\n" not in said
    assert said.endswith("What was written before is kept.")
    steps = [event.step for event in disk.events if isinstance(event, StepDone)]
    if not steps:
        assert list((tmp_path / "run").iterdir()) == []
        return
    kept = read_records(tmp_path / "run" / "steps.records")["step"].tolist()
    assert kept == steps
    assert not list((tmp_path / "run").glob(".*"))


@each_moment
def test_attended_the_run_pauses_and_goes_on_once_there_is_room(
    disk: Disk, quick: Callable[..., Experiment], tmp_path: Path
) -> None:
    Trainer(quick(), tmp_path / "expected").train()
    control = Control()
    trainer = Trainer(quick(), tmp_path / "run", control, disk.see, attended=True)
    thread = threading.Thread(target=trainer.train, daemon=True)
    thread.start()
    for _ in range(2):  # the first time the user runs on without having made room
        problem = problem_of(disk)
        assert str(tmp_path / "run") in problem.message and "press Run" in problem.message
        assert control.paused
        disk.events.remove(problem)
        control.run()
    problem_of(disk)
    disk.make_room()
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
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for event in disk.events:
            if isinstance(event, StorageProblem):
                return event
        time.sleep(0.002)
    raise AssertionError(disk.events)


@pytest.mark.parametrize("disk", ["step"], indirect=True)
def test_attended_a_stopped_run_gives_up(
    disk: Disk, quick: Callable[..., Experiment], tmp_path: Path
) -> None:
    control = Control()

    def see(event: Event) -> None:
        disk.see(event)
        if isinstance(event, StorageProblem):
            control.stop()

    with pytest.raises(TrainingError, match="The run was stopped"):
        Trainer(quick(), tmp_path / "run", control, see, attended=True).train()
    # Here, not in the fixture: pytest writes its own report before that is torn down.
    disk.make_room()
