"""What is added to a run's records becomes events, and nothing is lost or told twice."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from lbc.config import parse_experiment
from lbc.following.run_tail import RunTail
from lbc.runs.events import EpochDone, Intervened, Intervention, Resumed, StepDone
from lbc.runs.interventions import InterventionLog
from lbc.runs.metrics import EPOCH_COLUMNS, STEP_COLUMNS, read_epochs, read_steps
from lbc.runs.opened_run import OpenedRun
from lbc.runs.records import RecordWriter

PIN = Intervention("pin", "hidden", 1, 2)


def write_steps(folder: Path, first: int, last: int, lr: float = 0.1) -> None:
    """Let the run have the steps up to ``last``, of which those from ``first`` on are new."""
    with closing(RecordWriter(folder / "steps.records", STEP_COLUMNS)) as file:
        file.truncate(first - 1)
        for step in range(first, last + 1):
            file.append([step, step / 4, 1 / step, lr, step / 10])


def write_epoch(folder: Path, epoch: int) -> None:
    with closing(RecordWriter(folder / "epochs.records", EPOCH_COLUMNS)) as file:
        file.truncate(epoch - 1)
        file.append([epoch, 0.5, 0.4, 0.9, 6, 1.0, epoch])


def opened(folder: Path) -> OpenedRun:
    steps, epochs = read_steps(folder), read_epochs(folder)
    return OpenedRun(folder, parse_experiment({}), "running", (), steps, epochs)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_steps(tmp_path, 1, 5)
    write_epoch(tmp_path, 1)
    return tmp_path


def numbers(events: Sequence[object]) -> list[int]:
    return [event.step for event in events if isinstance(event, StepDone)]


def test_only_what_is_new_is_returned(run: Path) -> None:
    tail = RunTail(opened(run))
    assert tail.read() == []
    write_steps(run, 6, 8)
    write_epoch(run, 2)
    with (run / "steps.records").open("ab") as file:
        file.write(b"half a row")
    events = tail.read()
    assert numbers(events) == [6, 7, 8]
    assert [event.epoch for event in events if isinstance(event, EpochDone)] == [2]
    assert tail.read() == []
    write_steps(run, 9, 9)
    assert numbers(tail.read()) == [9]


def test_what_came_between_opening_and_following_is_returned(run: Path) -> None:
    one = opened(run)
    write_steps(run, 6, 7)
    assert numbers(RunTail(one).read()) == [6, 7]


@pytest.mark.parametrize("known", [False, True])
def test_a_run_that_is_resumed_from_an_earlier_step_begins_anew(run: Path, known: bool) -> None:
    write_steps(run, 6, 9)
    tail = RunTail(opened(run))
    if known:
        assert tail.read() == []
    write_steps(run, 5, 12, lr=0.2)
    (resumed,) = tail.read()
    assert isinstance(resumed, Resumed)
    assert numbers(resumed.steps) == list(range(1, 13)) and len(resumed.epochs) == 1
    assert resumed.steps[4].lr == 0.2
    write_steps(run, 13, 13)
    assert numbers(tail.read()) == [13]


def test_interventions_are_returned_once(run: Path) -> None:
    tail, log = RunTail(opened(run)), InterventionLog(run / "interventions.jsonl")
    assert tail.read() == []
    log.append(Intervened(PIN, 5, 1.25, 2))
    assert tail.read() == [Intervened(PIN, 5, 1.25, 2)]
    assert tail.read() == []
    log.resume(0, step=99)
    assert tail.read() == []
    log.append(Intervened(PIN, 6, 1.5, 2))
    assert tail.read() == [Intervened(PIN, 6, 1.5, 2)]
    assert RunTail(opened(run)).read() == []


def test_nothing_is_lost_while_a_file_cannot_be_read(run: Path) -> None:
    tail = RunTail(opened(run))
    assert tail.read() == []
    write_steps(run, 6, 7)
    (run / "epochs.records").rename(run / "away")
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            tail.read()
    (run / "away").rename(run / "epochs.records")
    write_steps(run, 8, 8)
    (again,) = tail.read()
    assert isinstance(again, Resumed) and numbers(again.steps) == list(range(1, 9))


@pytest.mark.parametrize("step", [-1, float("nan"), float("inf"), 1e300])
def test_an_impossible_row_is_a_sentence(run: Path, step: float) -> None:
    tail = RunTail(opened(run))
    with closing(RecordWriter(run / "steps.records", STEP_COLUMNS)) as file:
        file.append([step, 2, 0, 0, 0])
    with pytest.raises(ValueError, match=r"is damaged: .* is no step"):
        tail.read()
